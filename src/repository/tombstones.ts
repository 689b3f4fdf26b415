import { createHash } from 'node:crypto'
import type { NamedBlock } from '../domain/recovery-point.ts'
import { PromDrError } from '../errors.ts'
import { type ObjectStore, bytesBody } from '../stores/object-store.ts'
import { readSmallObject, signalOf } from './documents.ts'
import { markKeyOf, tombstonesKey } from './layout.ts'

interface Options {
  signal?: AbortSignal | undefined
}

/** A block's `tombstones` file, named by its content. */
export interface StoredTombstones {
  sha256: string
  sizeBytes: number
}

/** Stores the deletions of a block, once per content. @returns what the manifest names, and the bytes newly stored */
export async function storeTombstones(store: ObjectStore, instance: string, request: { bytes: Uint8Array } & Options): Promise<StoredTombstones & { uploadedBytes: number }> {
  const { bytes } = request
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const key = tombstonesKey(instance, sha256)
  const marked = (await store.head(markKeyOf(key), signalOf(request))) !== undefined
  // Whoever removes it looks for the mark just before.
  if (marked) await store.delete([markKeyOf(key)], signalOf(request))
  const known = await store.head(key, signalOf(request))
  const stored = { sha256, sizeBytes: bytes.byteLength }
  if (known?.sizeBytes === bytes.byteLength && !marked) return { ...stored, uploadedBytes: 0 }
  // An object of another size under this name is damaged: its name is the digest of what belongs there.
  await store.put(key, { ...bytesBody(bytes), sha256 }, signalOf(request))
  return { ...stored, uploadedBytes: bytes.byteLength }
}

/** The last look before the manifest. @throws CONTENTION naming the first deletions that are not there any more */
export async function recheckTombstones(store: ObjectStore, instance: string, request: { blocks: readonly NamedBlock[] } & Options): Promise<void> {
  for (const { ulid, tombstones } of request.blocks) {
    if (tombstones === undefined) continue
    const found = await store.head(tombstonesKey(instance, tombstones.sha256), signalOf(request))
    if (found?.sizeBytes === tombstones.sizeBytes) continue
    throw new PromDrError('CONTENTION', `the deletions of block ${ulid} went while the backup ran in ${store.url}`, { hint: 'nothing was committed; run the same command again' })
  }
}

/** @throws OBJECT_NOT_FOUND, DAMAGED */
export async function readTombstones(store: ObjectStore, instance: string, request: StoredTombstones & Options): Promise<Buffer> {
  const key = tombstonesKey(instance, request.sha256)
  const bytes = await readSmallObject(store, key, request.sizeBytes, request)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (sha256 !== request.sha256) {
    throw new PromDrError('DAMAGED', `${key} has SHA-256 ${sha256}`, { hint: 'another repository may have a good copy: run "prom-dr verify"', details: { key } })
  }
  return bytes
}
