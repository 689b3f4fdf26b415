import { dirname } from 'node:path'
import picomatch from 'picomatch'
import { glob } from 'tinyglobby'

/** Names of paths: absolute, either one file or directory, or a pattern with `*`, `?`, `[…]`, `{…}`. */
export type PathPattern = string

export function isPattern(path: PathPattern): boolean {
  return picomatch.scan(path).isGlob
}

/** What is there now for a pattern, sorted; a path without wildcards is itself, whether it is there or not. */
export async function pathsOf(pattern: PathPattern): Promise<string[]> {
  if (!isPattern(pattern)) return [pattern]
  const found = await glob(pattern, { absolute: true, onlyFiles: false, expandDirectories: false, followSymbolicLinks: true, cwd: '/' })
  return found.map((path) => (path.length > 1 ? path.replace(/\/$/, '') : path)).sort()
}

/** Whether a path is one that the patterns name, or lies below one: nothing else may be written to. */
export function isNamedBy(patterns: readonly PathPattern[], path: string): boolean {
  return patterns.some((pattern) => {
    const matches = isPattern(pattern) ? picomatch(pattern) : (candidate: string) => candidate === pattern
    for (let at = path; at !== dirname(at); at = dirname(at)) if (matches(at)) return true
    return false
  })
}
