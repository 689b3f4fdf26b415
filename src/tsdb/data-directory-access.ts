import { constants } from 'node:fs'
import { access, mkdir, realpath, stat, statfs } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { systemCode } from '../errors.ts'
import { dataFileError } from './file-errors.ts'

/** Whether two paths lead to the same directory, also by a bind mount; undefined when one of them is not there on this machine. */
export async function sameDirectory(left: string, right: string): Promise<boolean | undefined> {
  try {
    const [a, b] = await Promise.all([stat(left, { bigint: true }), stat(right, { bigint: true })])
    return a.dev === b.dev && a.ino === b.ino
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(systemCode(error) ?? '')) return undefined
    throw error
  }
}

/** Whether `path` is `directory` or would be below it, symbolic links followed as far as either exists. */
export async function liesIn(path: string, directory: string): Promise<boolean> {
  const [inner, outer] = await Promise.all([realPathOf(resolve(path)), realPathOf(resolve(directory))])
  return inner === outer || inner.startsWith(outer.endsWith(sep) ? outer : outer + sep)
}

async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes(systemCode(error) ?? '') || path === dirname(path)) return path
    return join(await realPathOf(dirname(path)), basename(path))
  }
}

/** Owner, device and free space of a directory or, where it is not there yet, of the nearest one above it. */
export interface DirectoryFacts {
  path: string
  uid: number
  gid: number
  mode: number
  device: number
  freeBytes: number
}

/** @throws DATA_DIR_UNREADABLE */
export async function directoryFacts(path: string): Promise<DirectoryFacts> {
  for (let existing = path; ; existing = dirname(existing)) {
    try {
      const [stats, filesystem] = await Promise.all([stat(existing), statfs(existing)])
      const freeBlocks = process.getuid?.() === 0 ? filesystem.bfree : filesystem.bavail
      return { path: existing, uid: stats.uid, gid: stats.gid, mode: stats.mode & 0o7777, device: stats.dev, freeBytes: freeBlocks * filesystem.bsize }
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '') && existing !== dirname(existing)) continue
      throw dataFileError(error, existing)
    }
  }
}

/** What keeps this process from creating and removing names in the directory (or, where it is missing, above it); undefined where nothing does. */
export async function writeObstacle(path: string): Promise<'read-only' | 'denied' | undefined> {
  for (let existing = path; ; existing = dirname(existing)) {
    try {
      await access(existing, constants.W_OK | constants.X_OK)
      return undefined
    } catch (error) {
      if (systemCode(error) === 'EROFS') return 'read-only'
      if (systemCode(error) !== 'ENOENT' || existing === dirname(existing)) return 'denied'
    }
  }
}

export async function mayWrite(path: string): Promise<boolean> {
  return (await writeObstacle(path)) === undefined
}

/** Makes `<data directory>/snapshots` known to be on the data directory's own file system: snapshots are hard links. */
export async function snapshotsOnSameDevice(dataDir: string): Promise<boolean> {
  const [data, snapshots] = await Promise.all([directoryFacts(dataDir), directoryFacts(join(dataDir, 'snapshots'))])
  return data.device === snapshots.device
}

/** The directory and those above it. @throws FILE_SYSTEM, DATA_DIR_UNREADABLE */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true })
  } catch (error) {
    throw dataFileError(error, path)
  }
}
