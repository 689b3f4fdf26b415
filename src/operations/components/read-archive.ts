import { join } from 'node:path'
import { type NamedArchive, isEncrypted } from '../../domain/archive.ts'
import type { Encryption } from '../../domain/encryption.ts'
import { PromDrError, hasCode } from '../../errors.ts'
import { readLocalFile, unpackArchive } from '../../packing/unpack-archive.ts'
import { removeFile, writeNewFile } from '../../packing/write-file.ts'
import { keyOfArchive, openArchive } from '../../repository/archives.ts'
import type { ObjectStore } from '../../stores/object-store.ts'

export interface ReadArchiveRequest {
  store: ObjectStore
  instance: string
  archive: NamedArchive
  /** Without it only archives in the clear can be read. */
  opening: Pick<Encryption, 'decrypt'> | undefined
  /** A private directory for what is fetched. */
  scratch: string
  /** An empty private directory; undefined checks everything and keeps nothing. */
  into: string | undefined
  signal: AbortSignal
}

/**
 * Brings an archive's files into a directory: fetched whole, its digest compared before anything looks into it, opened, unpacked, and every
 * file compared with the manifest's list. @returns the bytes that were fetched
 * @throws DAMAGED and OBJECT_NOT_FOUND with the object's key in `details`, KEY_MISSING, STORE_*, DISK_FULL
 */
export async function readArchive(request: ReadArchiveRequest): Promise<number> {
  const { archive, scratch, into, signal } = request
  const key = keyOfArchive(request.instance, archive)
  const fetched = join(scratch, `${archive.component}.${archive.stored.sha256}.fetched`)
  try {
    await fetchObject(request, fetched)
    await unpackArchive(opened(request, fetched), { archive, into, signal })
  } catch (error) {
    if (!hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND', 'KEY_MISSING')) throw error
    const message = error.code === 'KEY_MISSING' && error.message.startsWith('it ') ? `the archive of ${archive.component} cannot be opened: ${error.message}` : error.message
    throw new PromDrError(error.code, message, { ...(error.hint !== undefined && { hint: error.hint }), cause: error, details: { ...error.details, key } })
  } finally {
    await removeFile(fetched)
  }
  return archive.stored.sizeBytes
}

/** Checks what is stored by its digest alone, for those who hold no key. */
export async function checkStoredArchive(request: Omit<ReadArchiveRequest, 'into' | 'opening'>): Promise<number> {
  const fetched = join(request.scratch, `${request.archive.component}.${request.archive.stored.sha256}.fetched`)
  try {
    await fetchObject(request, fetched)
  } finally {
    await removeFile(fetched)
  }
  return request.archive.stored.sizeBytes
}

async function fetchObject({ store, instance, archive, signal }: Omit<ReadArchiveRequest, 'into' | 'opening' | 'scratch'>, path: string): Promise<void> {
  const { sha256, sizeBytes } = await writeNewFile(path, bounded(await openArchive(store, instance, { archive, signal }), archive.stored.sizeBytes))
  if (sizeBytes === archive.stored.sizeBytes && sha256 === archive.stored.sha256) return
  const key = keyOfArchive(instance, archive)
  throw new PromDrError('DAMAGED', `${key} has SHA-256 ${sha256}`, { hint: 'another repository may have a good copy: run "prom-dr verify --read-data"', details: { key } })
}

async function* bounded(chunks: AsyncIterable<Uint8Array>, mostBytes: number): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for await (const piece of chunks) {
    bytes += piece.byteLength
    if (bytes > mostBytes) throw new PromDrError('DAMAGED', `an archive has more than its ${mostBytes} bytes`)
    yield piece
  }
}

function opened({ archive, opening }: ReadArchiveRequest, path: string): AsyncIterable<Uint8Array> {
  const stored = readLocalFile(path)
  if (!isEncrypted(archive)) return stored
  if (opening !== undefined) return opening.decrypt(stored)
  throw new PromDrError('KEY_MISSING', `the archive of ${archive.component} is encrypted for ${archive.stored.recipients?.join(', ') || 'a passphrase'}`, { hint: 'set encryption.identityFile in the configuration' })
}
