import { readFile, readdir, readlink, realpath, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { systemCode } from '../errors.ts'

/**
 * Processes that have a file below `directory` open, as `name (pid n)`. Linux; processes that this user may not look into
 * are not seen. A process in a container knows its files by other paths: they are known by their inodes too, those
 * directly in the directory and one level below. A shell that merely stands there does not count.
 */
export async function processesUsing(directory: string): Promise<string[]> {
  const place = { path: await realpath(directory), inodes: await inodesBelow(directory, 1) }
  const found: string[] = []
  for (const pid of await entriesOf('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue
    if (await usesDirectory(pid, place)) found.push(`${await commandOf(pid)} (pid ${pid})`)
  }
  return found
}

interface Place {
  path: string
  inodes: ReadonlySet<string>
}

async function usesDirectory(pid: string, place: Place): Promise<boolean> {
  const descriptors = join('/proc', pid, 'fd')
  for (const name of await entriesOf(descriptors)) {
    const link = join(descriptors, name)
    const path = await targetOf(link)
    if (path === undefined || !path.startsWith(sep)) continue
    if (path === place.path || path.startsWith(place.path + sep)) return true
    const inode = place.inodes.size === 0 ? undefined : await inodeOf(link)
    if (inode !== undefined && place.inodes.has(inode)) return true
  }
  return false
}

async function inodesBelow(directory: string, levels: number): Promise<Set<string>> {
  const inodes = new Set<string>()
  const own = await inodeOf(directory)
  if (own !== undefined) inodes.add(own)
  for (const name of await entriesOf(directory)) {
    const path = join(directory, name)
    const inode = await inodeOf(path)
    if (inode !== undefined) inodes.add(inode)
    if (levels > 0) for (const below of await inodesBelow(path, levels - 1)) inodes.add(below)
  }
  return inodes
}

async function inodeOf(path: string): Promise<string | undefined> {
  try {
    const stats = await stat(path, { bigint: true })
    // A file with several links may be open as part of a snapshot or a clone.
    return stats.isFile() && stats.nlink > 1n ? undefined : `${stats.dev}:${stats.ino}`
  } catch (error) {
    return ignoreGone(error, undefined)
  }
}

async function entriesOf(path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    return ignoreGone(error, [])
  }
}

async function targetOf(link: string): Promise<string | undefined> {
  try {
    return await readlink(link)
  } catch (error) {
    return ignoreGone(error, undefined)
  }
}

async function commandOf(pid: string): Promise<string> {
  try {
    return (await readFile(join('/proc', pid, 'comm'), 'utf8')).trim()
  } catch (error) {
    return ignoreGone(error, 'a process')
  }
}

/** Processes end while they are looked at, and others are not ours to look at. */
function ignoreGone<T>(error: unknown, answer: T): T {
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENOTDIR', 'EINVAL', 'ENXIO'].includes(systemCode(error) ?? '')) return answer
  throw error
}
