import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'

/** One import or re-export of a source file. */
export interface SourceImport {
  /** As written: `node:fs`, `commander`, `../errors.ts`. */
  specifier: string
  /** Nothing of it remains after compilation. */
  typeOnly: boolean
}

export interface SourceFile {
  /** Relative to the source folder, with `/`: `stores/s3-store.ts`. */
  path: string
  /** Without comments. */
  code: string
  lineCount: number
  imports: SourceImport[]
}

/** Every TypeScript file below `folder`. */
export function readSources(folder: string): SourceFile[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => parseSource(relative(folder, path), readFileSync(path, 'utf8')))
}

export function parseSource(path: string, text: string): SourceFile {
  const code = withoutComments(text)
  return { path, code, lineCount: text.replace(/\n$/, '').split('\n').length, imports: importsOf(code) }
}

/** The path below the source folder that a relative import means; undefined for packages and Node's own modules. */
export function resolveImport(from: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? normalize(join(dirname(from), specifier)) : undefined
}

/** Block comments, and line comments at the start of a line or after a blank: `https://…` in a string stays. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}

const fromClause = /^(?:import|export)\s+(type\s+)?([^'";]*?)\s*from\s*'([^']+)'/gm
const bareImport = /^import\s*'([^']+)'/gm
const dynamicImport = /\bimport\(\s*'([^']+)'/g

function importsOf(code: string): SourceImport[] {
  const named = [...code.matchAll(fromClause)].map(([, type, clause, specifier]) => ({
    specifier: specifier!,
    typeOnly: type !== undefined || namesOnlyTypes(clause!),
  }))
  const others = [...code.matchAll(bareImport), ...code.matchAll(dynamicImport)].map((match) => ({ specifier: match[1]!, typeOnly: false }))
  return [...named, ...others]
}

/** `{ type A, type B }`, without a default or namespace import beside it. */
function namesOnlyTypes(clause: string): boolean {
  const names = /^\{([^}]*)\}$/.exec(clause.trim())?.[1]
  if (names === undefined) return false
  const entries = names.split(',').map((name) => name.trim()).filter((name) => name !== '')
  return entries.length > 0 && entries.every((name) => name.startsWith('type '))
}
