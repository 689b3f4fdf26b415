import { lstat, readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { systemCode } from '../../errors.ts'

/*
 * Patterns as Go's path/filepath has them, by which Prometheus and Alertmanager find their files: `*` and `?` within one name (a leading
 * dot is nothing special), `[a-z]`, `[^a-z]`, and a backslash that takes the next character as it is. There is no `**` and no `{a,b}`.
 */

const special = /[*?[\\]/

export function isGoPattern(pattern: string): boolean {
  return special.test(pattern)
}

/** The pattern that matches exactly this path. */
export function escapeGoPattern(path: string): string {
  return path.replaceAll(/[*?[\\]/g, '\\$&')
}

/** filepath.Match: of the whole path. A pattern that Go refuses matches nothing. */
export function matchesGoPattern(pattern: string, path: string): boolean {
  const names = path.split('/')
  const parts = pattern.split('/')
  return parts.length === names.length && parts.every((part, index) => matcherOf(part)(names[index] as string))
}

/** filepath.Glob: what is there for an absolute pattern, sorted; directories that cannot be read hold nothing. */
export async function pathsMatching(pattern: string): Promise<string[]> {
  if (!isGoPattern(pattern)) return (await isThere(pattern)) ? [pattern] : []
  const parent = dirname(pattern)
  const directories = isGoPattern(parent) ? await pathsMatching(parent) : [parent]
  const matches = matcherOf(basename(pattern))
  const found = await Promise.all(directories.map(async (directory) => (await namesIn(directory)).filter(matches).map((name) => join(directory, name))))
  return found.flat().sort()
}

function matcherOf(part: string): (name: string) => boolean {
  const source = regularExpressionOf(part)
  if (source === undefined) return () => false
  const expression = new RegExp(`^${source}$`, 'su')
  return (name) => expression.test(name)
}

/** Undefined for what Go calls a bad pattern. */
function regularExpressionOf(part: string): string | undefined {
  const characters = [...part]
  let source = ''
  for (let at = 0; at < characters.length; at += 1) {
    const character = characters[at] as string
    if (character === '*') source += '[^/]*'
    else if (character === '?') source += '[^/]'
    else if (character === '[') {
      const end = classEnd(characters, at)
      const inner = end === undefined ? undefined : classSource(characters.slice(at + 1, end))
      if (end === undefined || inner === undefined) return undefined
      source += inner
      at = end
    } else if (character === '\\') {
      at += 1
      if (at >= characters.length) return undefined
      source += literal(characters[at] as string)
    } else source += literal(character)
  }
  return source
}

/** Undefined for a class that does not end, and for an empty one: Go wants `]` and `-` escaped where they stand for themselves. */
function classEnd(characters: readonly string[], start: number): number | undefined {
  const first = characters[start + 1] === '^' ? start + 2 : start + 1
  for (let at = first; at < characters.length; at += 1) {
    if (characters[at] === '\\') at += 1
    else if (characters[at] === ']') return at > first ? at : undefined
  }
  return undefined
}

function classSource(inner: readonly string[]): string | undefined {
  const negated = inner[0] === '^'
  const rest = inner.slice(negated ? 1 : 0)
  let source = ''
  const next = (): string | undefined => {
    const character = rest.shift()
    return character === '\\' ? rest.shift() : character === '-' ? undefined : character
  }
  while (rest.length > 0) {
    const low = next()
    const isRange = rest[0] === '-'
    if (isRange) rest.shift()
    const high = isRange ? next() : low
    if (low === undefined || high === undefined) return undefined
    if (low <= high) source += `${literal(low)}-${literal(high)}`
  }
  if (source === '') return negated ? '[^/]' : '[]'
  return `[${negated ? '^' : ''}${source}]`
}

function literal(character: string): string {
  return character === '' ? '' : `\\u{${(character.codePointAt(0) as number).toString(16)}}`
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (systemCode(error) !== undefined) return false
    throw error
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await stat(directory)).isDirectory() ? await readdir(directory) : []
  } catch (error) {
    if (systemCode(error) !== undefined) return []
    throw error
  }
}
