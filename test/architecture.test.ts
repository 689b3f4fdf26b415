import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { breaches, lengthBreaches } from './support/architecture-rules.ts'
import { parseSource, readSources } from './support/source-imports.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

describe('the sources', () => {
  it('keep to the import table, the doors to the machine and named exports, without circles', () => {
    const sources = readSources(join(root, 'src'))
    expect(sources.length).toBeGreaterThan(0)
    expect(breaches(sources)).toEqual([])
  })

  it.each(['src', 'bench'])('are short files in %s/', (folder) => {
    expect(lengthBreaches(readSources(join(root, folder)))).toEqual([])
  })
})

describe('the checker', () => {
  const errors = parseSource('errors.ts', '')
  const check = (...files: [path: string, text: string][]) => breaches([errors, ...files.map(([path, text]) => parseSource(path, text))])

  it('lets every folder use errors.ts, itself and the folders of its row', () => {
    const plan = "import { PromDrError } from '../errors.ts'\nimport type { Block } from './block.ts'\n"
    const store = "import { readFile } from 'node:fs/promises'\nimport {\n  formatBytes,\n} from '../domain/block.ts'\n"
    expect(check(['domain/block.ts', ''], ['domain/plan.ts', plan], ['stores/file-store.ts', store])).toEqual([])
  })

  it('names the file and the row when a folder imports one that is closed to it', () => {
    const found = check(['stores/file-store.ts', ''], ['domain/plan.ts', "import { openFileStore } from '../stores/file-store.ts'"])
    expect(found).toEqual(['domain/plan.ts: domain/ may not import stores/file-store.ts as a value (it may import errors.ts)'])
  })

  it('tells types from values where only types are open', () => {
    const types = "import type { Backup } from '../operations/backup.ts'\nimport { type Backup as Again } from '../operations/backup.ts'"
    expect(check(['operations/backup.ts', ''], ['cli/context.ts', types])).toEqual([])
    const values = "import { type Backup, createBackup } from '../operations/backup.ts'"
    expect(check(['operations/backup.ts', ''], ['cli/context.ts', values])).toHaveLength(1)
  })

  it('lets only compose.ts reach the implementation of an adapter', () => {
    const use = "import { openS3Store } from './stores/s3-store.ts'"
    expect(check(['stores/s3-store.ts', ''], ['compose.ts', use])).toEqual([])
    expect(check(['stores/s3-store.ts', ''], ['operations/backup.ts', use.replace('./', '../')])).toHaveLength(1)
  })

  it.each(["import { readFile } from 'node:fs/promises'", "import * as http from 'http'", "await import('node:child_process')", "await fetch('http://localhost')"])('keeps the doors to the machine: %s', (code) => {
    expect(check(['operations/backup.ts', code])).toHaveLength(1)
    expect(check(['system/files.ts', code])).toEqual([])
  })

  it('does not take a comment or a string for an import', () => {
    const code = "/** import { a } from '../stores/s3-store.ts' */\n// import 'node:fs'\nconst text = `import(x) from 'y'`\n"
    expect(check(['domain/plan.ts', code])).toEqual([])
  })

  it('refuses default exports, process.exit, unknown folders and imports without .ts', () => {
    expect(check(['domain/a.ts', 'export default 1'])).toEqual(['domain/a.ts: has a default export; exports are named'])
    expect(check(['cli/a.ts', 'process.exit(1)'])).toEqual(['cli/a.ts: calls process.exit; only the launcher in bin/ exits'])
    expect(check(['utils/a.ts', ''])).toEqual(['utils/a.ts: the folder utils/ has no row in the import table'])
    expect(check(['domain/a.ts', ''], ['domain/b.ts', "import { a } from './a.js'"])).toHaveLength(1)
  })

  it('shows a circle of imports in full', () => {
    const found = check(['domain/a.ts', "import { b } from './b.ts'"], ['domain/b.ts', "import { c } from './c.ts'"], ['domain/c.ts', "export { a } from './a.ts'"])
    expect(found).toEqual(['domain/a.ts: imports run in a circle: domain/a.ts → domain/b.ts → domain/c.ts → domain/a.ts'])
  })

  it('refuses files longer than the limit', () => {
    expect(lengthBreaches([parseSource('domain/a.ts', 'x\n'.repeat(400))])).toEqual([])
    expect(lengthBreaches([parseSource('domain/a.ts', 'x\n'.repeat(401))])).toHaveLength(1)
  })
})
