import type { Dirent } from 'node:fs'
import { lstat, open, readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { BlockMeta } from '../domain/block.ts'
import { isUlid } from '../domain/ulid.ts'
import { PromDrError, systemCode } from '../errors.ts'
import { chunkFilePath, maxBlockMetaBytes, parseBlockMeta } from './block-meta.ts'
import { dataFileError, onDataFile } from './file-errors.ts'

export interface BlockFile {
  /** Below the block's directory, with `/`: `index`, `chunks/000001`, `meta.json`, `tombstones`. */
  relPath: string
  path: string
  sizeBytes: number
}

export interface BlockDirectory {
  ulid: string
  path: string
  /** What never changes once the block is there: `chunks/000001`… and `index`, in this order. */
  immutableFiles: BlockFile[]
  metaFile: BlockFile
  /** Absent where nothing was ever deleted and the file was not restored: as good as an empty one. */
  tombstonesFile?: BlockFile
  /** Names that Prometheus does not know either. They are no part of the block. */
  unknownNames: string[]
}

/**
 * The files of the block in `path`, whose last component is the ULID. Nothing is read from them.
 * @throws DAMAGED when a file that makes up a block is missing or is not a regular file (symbolic links are refused),
 * DATA_DIR_UNREADABLE when the directory is not there or may not be read.
 */
export async function readBlockDirectory(path: string): Promise<BlockDirectory> {
  const ulid = basename(path)
  if (!isUlid(ulid)) throw damaged(path, 'its name is not a ULID')
  const entries = await onDataFile(path, readdir(path, { withFileTypes: true }))
  const names = new Map(entries.map((entry) => [entry.name, entry]))
  const chunksEntry = names.get('chunks')
  if (chunksEntry === undefined) throw damaged(path, 'it has no chunks directory')
  if (!chunksEntry.isDirectory()) throw damaged(path, `chunks is ${kindOf(chunksEntry)}, not a directory`)
  const chunks = await listChunkFiles(path)
  const index = await blockFile(path, 'index')
  const metaFile = await blockFile(path, 'meta.json')
  const known = new Set(['chunks', 'index', 'meta.json', 'tombstones'])
  return {
    ulid,
    path,
    immutableFiles: [...chunks.files, index],
    metaFile,
    ...(names.has('tombstones') ? { tombstonesFile: await blockFile(path, 'tombstones') } : {}),
    unknownNames: [...[...names.keys()].filter((name) => !known.has(name)), ...chunks.unknownNames].sort(),
  }
}

/**
 * Reads and checks meta.json of the block in `path`; `text` is the file as it is.
 * @throws DAMAGED (also when it is not there: `details.missing` is its name), DATA_DIR_UNREADABLE
 */
export async function readBlockMeta(path: string): Promise<{ meta: BlockMeta; text: string }> {
  const file = await blockFile(path, 'meta.json')
  if (file.sizeBytes > maxBlockMetaBytes) throw damaged(path, `meta.json has ${file.sizeBytes} bytes, more than ${maxBlockMetaBytes}`)
  const text = (await readBounded(file.path, maxBlockMetaBytes)).toString('utf8')
  return { meta: parseBlockMeta(text, basename(path)), text }
}

/** The whole of a small file. @throws DAMAGED when it has more than `limitBytes`. */
export async function readBounded(path: string, limitBytes: number): Promise<Buffer> {
  const handle = await onDataFile(path, open(path, 'r'))
  try {
    const { size } = await handle.stat()
    if (size > limitBytes) throw damaged(path, `it has ${size} bytes, more than ${limitBytes}`)
    return await handle.readFile()
  } catch (error) {
    throw dataFileError(error, path)
  } finally {
    await handle.close()
  }
}

async function listChunkFiles(blockPath: string): Promise<{ files: BlockFile[]; unknownNames: string[] }> {
  const chunksPath = join(blockPath, 'chunks')
  const names = (await onDataFile(chunksPath, readdir(chunksPath))).sort()
  const segments = names.filter((name) => /^[0-9]{6}$/.test(name))
  const files: BlockFile[] = []
  for (const name of segments) {
    const expected = chunkFilePath(files.length + 1)
    if (`chunks/${name}` !== expected) throw damaged(blockPath, `${expected} is missing`)
    files.push(await blockFile(blockPath, expected))
  }
  return { files, unknownNames: names.filter((name) => !segments.includes(name)).map((name) => `chunks/${name}`) }
}

async function blockFile(blockPath: string, relPath: string): Promise<BlockFile> {
  const path = join(blockPath, relPath)
  try {
    const stats = await lstat(path)
    if (!stats.isFile()) throw damaged(blockPath, `${relPath} is ${kindOf(stats)}, not a file`)
    return { relPath, path, sizeBytes: stats.size }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') throw damaged(blockPath, `${relPath} is missing`, { missing: relPath })
    throw dataFileError(error, path)
  }
}

function kindOf(entry: Pick<Dirent, 'isSymbolicLink' | 'isDirectory' | 'isFile'>): string {
  if (entry.isSymbolicLink()) return 'a symbolic link'
  if (entry.isDirectory()) return 'a directory'
  return entry.isFile() ? 'a file' : 'a special file'
}

function damaged(path: string, problem: string, facts: { missing?: string } = {}): PromDrError {
  return new PromDrError('DAMAGED', `block directory ${path}: ${problem}`, { details: { path, ...facts } })
}
