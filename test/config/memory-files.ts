import type { ConfigFiles } from '../../src/config/fields.ts'

/** Files that exist only here: a path and its text. */
export function memoryFiles(texts: Record<string, string>): ConfigFiles {
  return {
    readText: (path) => texts[path],
    whyUnreadable: (path) => (texts[path] === undefined ? 'which does not exist' : undefined),
  }
}
