import { type Document, LineCounter, isMap, isNode, isPair, isScalar, isSeq, parseDocument, visit } from 'yaml'
import type { Path, Problem } from './problems.ts'

/** The configuration file: what it says, what is wrong with it, and on which line each value stands. */
export interface ConfigDocument {
  /** Plain data; undefined for an empty file. */
  content: unknown
  problems: Problem[]
  /** The line of the value, or of its key, or of the nearest mapping around it. */
  lineOf(path: Path): number | undefined
}

/** Parses YAML and puts variables in. Syntax errors leave `content` undefined. */
export function parseConfigDocument(text: string, variables: ReadonlyMap<string, string>): ConfigDocument {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const lineAt = (offset: number) => lines.linePos(offset).line
  const problems: Problem[] = document.errors.map((error) => ({ path: [], message: error.message, line: lineAt(error.pos[0]) }))
  if (problems.length > 0) return { content: undefined, problems, lineOf: () => undefined }
  visit(document, {
    Scalar(key, node) {
      if (key === 'key' || typeof node.value !== 'string') return
      const { value, unset } = substitute(node.value, variables)
      node.value = value
      for (const name of unset) {
        problems.push({
          path: [],
          message: `the variable ${name} is not set (in the environment or in .env); \${${name}:-default} would give it a default`,
          line: lineAt(node.range?.[0] ?? 0),
        })
      }
    },
  })
  return { content: document.toJS() ?? undefined, problems, lineOf: (path) => lineOf(document, path, lineAt) }
}

/** `${NAME}` and `${NAME:-default}` (for unset or empty); `$${` is a literal `${`. */
function substitute(text: string, variables: ReadonlyMap<string, string>): { value: string; unset: string[] } {
  const unset: string[] = []
  const value = text.replace(/\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g, (_, literal, name, fallback) => {
    if (literal !== undefined) return literal
    const found = variables.get(name)
    if (fallback !== undefined) return found === undefined || found === '' ? fallback : found
    if (found === undefined) unset.push(name)
    return found ?? ''
  })
  return { value, unset }
}

/** The names a text asks for, so that a variable of the user's own is not taken for a misspelt setting. */
export function variablesIn(text: string): Set<string> {
  return new Set([...text.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)/g)].map((match) => match[1] ?? ''))
}

function lineOf(document: Document, path: Path, lineAt: (offset: number) => number): number | undefined {
  let node: unknown = document.contents
  let line: number | undefined
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === step)
      if (pair === undefined) break
      line = startOf(pair.key, lineAt) ?? line
      node = pair.value
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step]
      line = startOf(isPair(node) ? node.key : node, lineAt) ?? line
    } else break
  }
  return line
}

function startOf(node: unknown, lineAt: (offset: number) => number): number | undefined {
  return isNode(node) && node.range ? lineAt(node.range[0]) : undefined
}
