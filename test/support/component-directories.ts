import { chmod, lstat, mkdir, readFile, readdir, readlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { CollectOptions, RestoreComponentOptions } from '../../src/components/component.ts'

export const collecting = (options: Partial<CollectOptions> = {}): CollectOptions => ({ secrets: false, signal: new AbortController().signal, ...options })

export const restoring = (options: Partial<RestoreComponentOptions> = {}): RestoreComponentOptions => ({ force: false, dryRun: false, parts: [], signal: new AbortController().signal, ...options })

/** Writes files by their paths below a directory. */
export async function writeTree(directory: string, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), text)
    await chmod(join(directory, path), 0o644)
  }
}

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
