import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isUlid } from '../domain/ulid.ts'
import { hasCode, systemCode } from '../errors.ts'
import { dataFileError, onDataFile } from './file-errors.ts'

/** prom-dr's own names inside a data directory; Prometheus ignores them. */
export const ownNamePrefix = '.prom-dr-'

export interface LocalBlock {
  ulid: string
  path: string
}

export interface LocalBlocks {
  /** In ULID order. */
  blocks: LocalBlock[]
  /** Without meta.json: being written or being deleted, or what a crash left; Prometheus skips them. */
  unfinished: LocalBlock[]
}

/**
 * The blocks directly below a data directory or one snapshot of it. `.tmp…` directories are not blocks. On a live server
 * a block may be gone a moment later.
 * @throws DATA_DIR_UNREADABLE
 */
export async function listBlocks(dataDir: string): Promise<LocalBlocks> {
  const entries = await onDataFile(dataDir, readdir(dataDir, { withFileTypes: true }))
  const found: LocalBlocks = { blocks: [], unfinished: [] }
  const ulids = entries.filter((entry) => entry.isDirectory() && isUlid(entry.name)).map((entry) => entry.name)
  for (const ulid of ulids.sort()) {
    const block = { ulid, path: join(dataDir, ulid) }
    const list = (await exists(join(block.path, 'meta.json'))) ? found.blocks : found.unfinished
    list.push(block)
  }
  return found
}

export interface LocalSnapshot {
  /** `<UTC time>-<random>`, as the server answered when it was taken. */
  name: string
  path: string
}

/** The snapshots that lie in a data directory, whoever took them; oldest first. */
export async function listSnapshots(dataDir: string): Promise<LocalSnapshot[]> {
  const directory = join(dataDir, 'snapshots')
  try {
    const entries = await readdir(directory, { withFileTypes: true })
    const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
    return names.sort().map((name) => ({ name, path: join(directory, name) }))
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw dataFileError(error, directory)
  }
}

export type DirectoryState = 'missing' | 'symbolic link' | 'not a directory' | 'empty' | 'occupied'

export interface DirectoryContents {
  state: DirectoryState
  /** What makes it occupied, sorted. */
  names: string[]
}

/**
 * What is at `path`, as a place for a data directory. A filesystem's `lost+found` and prom-dr's own names do not count, so
 * that a fresh mount point and the target of an interrupted restore are empty.
 */
export async function directoryContents(path: string): Promise<DirectoryContents> {
  try {
    const stats = await lstat(path)
    if (stats.isSymbolicLink()) return { state: 'symbolic link', names: [] }
    if (!stats.isDirectory()) return { state: 'not a directory', names: [] }
    const names = (await readdir(path)).filter((name) => name !== 'lost+found' && !name.startsWith(ownNamePrefix))
    return { state: names.length === 0 ? 'empty' : 'occupied', names: names.sort() }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return { state: 'missing', names: [] }
    // Something above it is a file.
    if (systemCode(error) === 'ENOTDIR') return { state: 'not a directory', names: [] }
    throw dataFileError(error, path)
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await onDataFile(path, lstat(path))
    return true
  } catch (error) {
    if (hasCode(error, 'DATA_DIR_UNREADABLE') && systemCode(error.cause) === 'ENOENT') return false
    throw error
  }
}
