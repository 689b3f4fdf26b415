import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { namingFiles, referencesIn } from './archived-references.ts'
import { escapeGoPattern, matchesGoPattern } from './go-glob.ts'
import { type Layout, configOf } from './layout.ts'
import type { LocatedReference } from './survey.ts'

export interface RewrittenCopy {
  configFile: string
  /** Paths in the copy of the files that are this to the configuration. */
  filesOf(role: Layout['files'][string]['role']): string[]
  /** A program's words about the copy, with the paths as they are in the archive. */
  inArchivePaths(text: string): string
  /** What the configuration names and the archive does not hold. */
  absent: LocatedReference[]
}

/**
 * Runs `look` on a copy of an archived configuration in which every path is that of the archived file, so that a program judges what was
 * archived and reads nothing else of this machine. Only the scalars that hold paths are changed; the rest of the text stays as it is,
 * byte for byte. Credentials that are not in the archive are empty files. The copy is private, lies beside the archived files so that it goes with them
 * where this process is killed, and goes afterwards.
 * @throws COMPONENT_FAILED when a configuration file is no YAML
 */
export async function withRewrittenCopy<T>(directory: string, layout: Layout, look: (copy: RewrittenCopy) => Promise<T>): Promise<T> {
  const scratch = await mkdtemp(join(dirname(directory), '.prom-dr-check-'))
  try {
    const copy = new ConfigurationCopy(directory, layout, scratch)
    await copy.make()
    return await look(copy)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

class ConfigurationCopy implements RewrittenCopy {
  readonly absent: LocatedReference[] = []
  readonly #directory: string
  readonly #layout: Layout
  readonly #scratch: string
  /** Archive paths by paths in the copy. */
  readonly #shown: [copied: string, archived: string][] = []
  #patternCount = 0

  constructor(directory: string, layout: Layout, scratch: string) {
    this.#directory = directory
    this.#layout = layout
    this.#scratch = scratch
  }

  get configFile(): string {
    return this.#pathOf(configOf(this.#layout))
  }

  filesOf(role: Layout['files'][string]['role']): string[] {
    return Object.keys(this.#layout.files).filter((path) => this.#layout.files[path]?.role === role).map((path) => this.#pathOf(path))
  }

  inArchivePaths(text: string): string {
    const shown = this.#shown.reduce((left, [copied, archived]) => left.replaceAll(copied, archived), text)
    return shown.replaceAll(`${join(this.#scratch, 'files')}/`, '').replaceAll(`${this.#scratch}/`, '')
  }

  async make(): Promise<void> {
    await writeFile(join(this.#scratch, 'absent'), '')
    for (const path of Object.keys(this.#layout.files)) {
      await mkdir(dirname(this.#pathOf(path)), { recursive: true })
      await cp(join(this.#directory, path), this.#pathOf(path))
    }
    for (const path of namingFiles(this.#layout)) await this.#rewrite(path)
  }

  #pathOf(archivePath: string): string {
    return join(this.#scratch, 'files', archivePath)
  }

  async #rewrite(archivePath: string): Promise<void> {
    const { text, references } = await referencesIn(this.#directory, this.#layout, archivePath)
    let rewritten = text
    for (const reference of references.sort((a, b) => b.start - a.start)) {
      const scalar = JSON.stringify(await this.#replacementOf(reference))
      rewritten = rewritten.slice(0, reference.start) + scalar + rewritten.slice(reference.end)
    }
    await writeFile(this.#pathOf(archivePath), rewritten)
  }

  async #replacementOf(reference: LocatedReference): Promise<string> {
    const isLiteral = reference.role === 'credential'
    const matches = Object.entries(this.#layout.files).filter(([, { path }]) => (isLiteral ? path === reference.pattern : matchesGoPattern(reference.pattern, path)))
    if (isLiteral) {
      const [match] = matches
      if (match === undefined) this.absent.push(reference)
      return match === undefined ? join(this.#scratch, 'absent') : this.#pathOf(match[0])
    }
    if (matches.length === 0) this.absent.push(reference)
    return this.#patternFor(matches.map(([path]) => path), reference.value)
  }

  /** A directory of links to the files, so that one pattern stays one pattern. */
  async #patternFor(archivePaths: readonly string[], written: string): Promise<string> {
    this.#patternCount += 1
    const directory = join(this.#scratch, 'patterns', String(this.#patternCount))
    await mkdir(directory, { recursive: true })
    for (const [index, path] of archivePaths.entries()) {
      const link = join(directory, `${index}-${basename(path)}`)
      await symlink(this.#pathOf(path), link)
      this.#shown.push([link, path])
    }
    const extension = extname(written)
    const pattern = `${escapeGoPattern(directory)}/*${/^\.\w+$/.test(extension) ? extension : ''}`
    this.#shown.push([pattern, written])
    return pattern
  }
}
