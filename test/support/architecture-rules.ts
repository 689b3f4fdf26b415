import type { SourceFile, SourceImport } from './source-imports.ts'
import { resolveImport } from './source-imports.ts'

/** What a folder of src/ may import besides itself and src/errors.ts. */
interface FolderRule {
  /** Folders whose values and types it may use. */
  values: string[]
  /** Folders of which it may use types only: what is constructed elsewhere and handed in. */
  types?: string[]
  /** Single files it may use although their folder is closed to it. */
  files?: string[]
}

/** The files that describe adapters to those who are handed one. */
const interfaceFiles = ['stores/object-store.ts', 'peers/peer.ts', 'notifiers/notifier.ts', 'components/component.ts']

/** The import table of ARCHITECTURE.md, as data. A new folder needs a row. */
export const importTable: Record<string, FolderRule> = {
  domain: { values: [] },
  repository: { values: ['domain'], types: ['system'], files: ['stores/object-store.ts'] },
  operations: { values: ['domain', 'repository', 'tsdb', 'packing'], types: ['system', 'integrations', 'components'], files: interfaceFiles },
  components: { values: ['domain', 'integrations', 'system'] },
  stores: { values: ['domain', 'system'] },
  tsdb: { values: ['domain', 'system'] },
  packing: { values: ['domain', 'system'] },
  peers: { values: ['domain', 'system'] },
  integrations: { values: ['domain', 'system'] },
  notifiers: { values: ['domain', 'system'] },
  scheduler: { values: ['domain'], types: ['operations', 'system'] },
  reports: { values: ['domain'] },
  cli: { values: ['domain', 'config', 'reports', 'scheduler'], types: ['operations'] },
  config: { values: ['domain', 'system'] },
  system: { values: [] },
  // A user at a shell: it runs the built command, deletes directories, and asks the servers itself.
  quickstart: { values: ['domain', 'integrations', 'system'], types: ['operations'] },
}

/** Files directly in src/: the one that constructs the adapters and the one the launcher starts. */
const wiringFiles = ['compose.ts', 'compose-components.ts', 'compose-stores.ts', 'main.ts', 'version.ts']

const doors = ['system', 'stores', 'tsdb', 'packing', 'integrations', 'components', 'quickstart']
const guardedModules = ['fs', 'fs/promises', 'child_process', 'http', 'https', 'http2', 'net', 'tls', 'dgram'].flatMap((name) => [name, `node:${name}`])

export const longestFile = 400

/** Each breach as `file: rule`. */
export function breaches(sources: SourceFile[]): string[] {
  return [...sources.flatMap((source) => [...importBreaches(source, sources), ...codeBreaches(source)]), ...cycles(sources).map((cycle) => `${cycle[0]}: imports run in a circle: ${cycle.join(' → ')}`)]
}

export function lengthBreaches(sources: SourceFile[]): string[] {
  return sources.filter((source) => source.lineCount > longestFile).map((source) => `${source.path}: has ${source.lineCount} lines, and ${longestFile} is the limit: split it by what it does`)
}

function importBreaches(source: SourceFile, sources: SourceFile[]): string[] {
  const folder = folderOf(source.path)
  const rule = importTable[folder]
  if (rule === undefined && !isFree(source.path)) return [`${source.path}: the folder ${folder}/ has no row in the import table`]
  return source.imports.flatMap((entry) => {
    const target = resolveImport(source.path, entry.specifier)
    if (target === undefined) return moduleBreach(source, entry)
    if (!sources.some((candidate) => candidate.path === target)) return [`${source.path}: imports ${entry.specifier}, which is not a file of src/ (imports end in .ts)`]
    if (rule === undefined || mayImport(folder, rule, { target, typeOnly: entry.typeOnly })) return []
    return [`${source.path}: ${folder}/ may not import ${target}${entry.typeOnly ? '' : ' as a value'} (${describeRule(rule)})`]
  })
}

function mayImport(folder: string, rule: FolderRule, { target, typeOnly }: { target: string; typeOnly: boolean }): boolean {
  if (target === 'errors.ts') return true
  const targetFolder = folderOf(target)
  if (targetFolder === folder || rule.values.includes(targetFolder) || rule.files?.includes(target)) return true
  return typeOnly && rule.types?.includes(targetFolder) === true
}

function describeRule(rule: FolderRule): string {
  const parts = [`it may import ${['errors.ts', ...rule.values, ...(rule.files ?? [])].join(', ')}`]
  if (rule.types !== undefined) parts.push(`and types of ${rule.types.join(', ')}`)
  return parts.join(' ')
}

function moduleBreach(source: SourceFile, entry: SourceImport): string[] {
  if (!guardedModules.includes(entry.specifier) || entry.typeOnly || doors.includes(folderOf(source.path))) return []
  return [`${source.path}: ${entry.specifier} is used only in ${doors.join('/, ')}/; go through src/system`]
}

function codeBreaches(source: SourceFile): string[] {
  const found: string[] = []
  if (/^export\s+default\b/m.test(source.code)) found.push(`${source.path}: has a default export; exports are named`)
  if (/\bprocess\.exit\(/.test(source.code)) found.push(`${source.path}: calls process.exit; only the launcher in bin/ exits`)
  const hasOwnFetch = /\b(?:function|const) fetch\b/.test(source.code)
  if (!hasOwnFetch && /(?<![.\w])fetch\(/.test(source.code) && !doors.includes(folderOf(source.path))) found.push(`${source.path}: calls fetch; go through src/system or src/integrations`)
  return found
}

/** Each circle once, starting from its first file by name. Types count: a circle of types is one module in two files. */
function cycles(sources: SourceFile[]): string[][] {
  const edges = new Map(sources.map((source) => [source.path, source.imports.flatMap((entry) => resolveImport(source.path, entry.specifier) ?? [])]))
  const done = new Set<string>()
  const found: string[][] = []
  const visit = (path: string, trail: string[]): void => {
    const start = trail.indexOf(path)
    if (start >= 0) found.push([...trail.slice(start), path])
    if (start >= 0 || done.has(path)) return
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path])
    done.add(path)
  }
  for (const path of edges.keys()) visit(path, [])
  return found
}

function folderOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : '.'
}

function isFree(path: string): boolean {
  return path === 'errors.ts' || wiringFiles.includes(path)
}
