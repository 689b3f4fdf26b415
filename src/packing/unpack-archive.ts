import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createGunzip } from 'node:zlib'
import { type NamedArchive, isArchivePath } from '../domain/archive.ts'
import { PromDrError, messageOf, systemCode } from '../errors.ts'
import { fileFailure, onFile } from './file-failures.ts'
import { readTar } from './tar-entries.ts'
import { throughStream } from './through-stream.ts'
import { writeNewFile } from './write-file.ts'

export interface UnpackRequest {
  archive: Pick<NamedArchive, 'component' | 'contentSha256' | 'files'>
  /** An empty directory that nobody else writes to; undefined checks everything and writes nothing. */
  into: string | undefined
  signal: AbortSignal
}

/**
 * Unpacks a tar.gz that is as hostile as whoever could write to its repository: only files that the archive's list has, each once, in its
 * size and with its digest, come to be, below `into`, in directories that this made. What the tar itself says of paths, kinds, owners and
 * links decides nothing. The list bounds what is written; a longer stream is not read to its end.
 * @throws DAMAGED (what was right until then is left to the caller, who throws the directory away), DISK_FULL, INTERRUPTED
 */
export async function unpackArchive(compressed: AsyncIterable<Uint8Array>, request: UnpackRequest): Promise<void> {
  const { archive, into, signal } = request
  const hostile = archive.files.find(({ path }) => !isArchivePath(path))
  if (hostile !== undefined) throw damaged(archive, `its list names ${JSON.stringify(hostile.path)}`)
  const missing = new Map(archive.files.map((file) => [file.path, file]))
  const content = createHash('sha256')
  for await (const entry of readTar(hashed(plain(compressed, signal), content))) {
    const expected = missing.get(entry.path)
    missing.delete(entry.path)
    if (expected === undefined) throw damaged(archive, `it holds ${JSON.stringify(entry.path)}, which ${archive.files.some(({ path }) => path === entry.path) ? 'it held already' : 'is not in its list'}`)
    if (entry.sizeBytes !== expected.sizeBytes || entry.mode !== expected.mode) throw damaged(archive, `${entry.path} has another size or mode in it than in its list`)
    const sha256 = into === undefined ? await digestOf(entry.body) : await writeEntry(join(into, entry.path), entry)
    if (sha256 === expected.sha256) continue
    if (into !== undefined) await onFile(into, rm(join(into, entry.path)))
    throw damaged(archive, `${entry.path} has SHA-256 ${sha256} in it instead of ${expected.sha256}`)
  }
  const [absent] = missing.keys()
  if (absent !== undefined) throw damaged(archive, `${absent} is in its list and not in it`)
  const digest = content.digest('hex')
  if (digest !== archive.contentSha256) throw damaged(archive, `its content has SHA-256 ${digest} instead of ${archive.contentSha256}`)
}

/** A stored file as a stream; its failures are named. */
export async function* readLocalFile(path: string): AsyncGenerator<Buffer> {
  try {
    yield* createReadStream(path, { highWaterMark: 256 * 1024 })
  } catch (error) {
    throw fileFailure(error, path)
  }
}

async function writeEntry(path: string, entry: { mode: number; body: AsyncIterable<Buffer> }): Promise<string> {
  await onFile(path, mkdir(dirname(path), { recursive: true, mode: 0o700 }))
  // Exclusive: on a file system that takes two names for one, the second is refused.
  return (await writeNewFile(path, entry.body, { mode: entry.mode })).sha256
}

async function digestOf(body: AsyncIterable<Buffer>): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of body) hash.update(piece)
  return hash.digest('hex')
}

async function* hashed(chunks: AsyncIterable<Buffer>, hash: { update(bytes: Buffer): unknown }): AsyncGenerator<Buffer> {
  for await (const piece of chunks) {
    hash.update(piece)
    yield piece
  }
}

async function* plain(compressed: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Buffer> {
  try {
    yield* throughStream(compressed, createGunzip(), signal)
  } catch (error) {
    if (systemCode(error)?.startsWith('Z_') !== true) throw error
    throw new PromDrError('DAMAGED', `the archive cannot be decompressed: ${messageOf(error)}`, { hint: 'run "prom-dr verify"; another repository may have a good copy', cause: error })
  }
}

function damaged(archive: UnpackRequest['archive'], reason: string): PromDrError {
  return new PromDrError('DAMAGED', `the archive of ${archive.component} is not what its recovery point says: ${reason}`, { hint: 'nothing of it was used; run "prom-dr verify", another repository may have a good copy' })
}
