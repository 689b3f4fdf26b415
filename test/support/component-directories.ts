import { lstat, readFile, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { CollectOptions, RestoreComponentOptions } from '../../src/components/component.ts'

export const collecting = (options: Partial<CollectOptions> = {}): CollectOptions => ({ secrets: false, signal: new AbortController().signal, ...options })

export const restoring = (options: Partial<RestoreComponentOptions> = {}): RestoreComponentOptions => ({ force: false, dryRun: false, parts: [], signal: new AbortController().signal, ...options })

/** What lies below a directory: text of files, `-> target` of links, by path. */
export async function readTree(directory: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const path of (await readdir(directory, { recursive: true })).sort()) {
    const stats = await lstat(join(directory, path))
    if (stats.isFile()) found[path] = await readFile(join(directory, path), 'utf8')
    else if (stats.isSymbolicLink()) found[path] = `-> ${await readlink(join(directory, path))}`
  }
  return found
}
