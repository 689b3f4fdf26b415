import { z } from 'zod'
import { PromDrError, hasCode } from '../errors.ts'
import { type ObjectStore, bytesBody } from '../stores/object-store.ts'
import { readSmallObject, signalOf } from './documents.ts'
import { deletionMarkKey } from './layout.ts'

interface Options {
  signal?: AbortSignal | undefined
}

/** A marked block is removed when its mark is this old by the store's clock and still nothing names it. */
export const deletionDelayMs = 48 * 3_600_000
/** How long before that a backup stops taking marks back, so that it and a removal never meet. */
export const deletionMarginMs = 2 * 3_600_000

/** Thanos's format (pkg/block/metadata/markers.go), so that it carries no checksum of ours. */
const markSchema = z.looseObject({ id: z.string(), version: z.literal(1), deletion_time: z.number().int() })

/**
 * When the block was marked, ms; undefined when it is not marked.
 * @throws DAMAGED when the mark cannot be read: how old it is is then not known
 */
export async function readDeletionMark(store: ObjectStore, ulid: string, options: Options = {}): Promise<number | undefined> {
  return readMark(store, deletionMarkKey(ulid), options)
}

/** As `readDeletionMark`, of anything that has its mark under that key. */
export async function readMark(store: ObjectStore, key: string, options: Options = {}): Promise<number | undefined> {
  try {
    const text = (await readSmallObject(store, key, 64 * 1024, options)).toString('utf8')
    return markSchema.parse(JSON.parse(text)).deletion_time * 1000
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
    if (error instanceof PromDrError && error.code !== 'DAMAGED') throw error
    throw new PromDrError('DAMAGED', `${key} is no deletion mark`, { hint: 'look at it, and remove it if nothing else manages this bucket', cause: error, details: { key } })
  }
}

/** Marks something for removal from `atMs` on, by the store's clock. The time is rounded up: a mark is never taken for older than it is. */
export async function writeMark(store: ObjectStore, key: string, mark: { id: string; atMs: number } & Options): Promise<void> {
  const document = { id: mark.id, version: 1, details: 'named by no recovery point', deletion_time: Math.ceil(mark.atMs / 1000) }
  await store.put(key, bytesBody(Buffer.from(JSON.stringify(document))), signalOf(mark))
}

/** Whether a backup may still take the mark back. Otherwise the block counts as absent. */
export function mayTakeBack(markedAtMs: number, storeNowMs: number): boolean {
  return storeNowMs - markedAtMs < deletionDelayMs - deletionMarginMs
}

/** The time has come: unless something names it after all, what is marked is removed. */
export function isOfAge(markedAtMs: number, storeNowMs: number): boolean {
  return storeNowMs - markedAtMs >= deletionDelayMs
}

/**
 * Makes something that may be marked fit to be named again: takes its mark back while that is safe.
 * @returns false when the mark is too old, so that what is marked counts as absent
 */
export async function takeBackMark(store: ObjectStore, key: string, options: Options = {}): Promise<boolean> {
  const markedAtMs = await readMark(store, key, options)
  if (markedAtMs === undefined) return true
  if (!mayTakeBack(markedAtMs, (await store.now(signalOf(options))).getTime())) return false
  await store.delete([key], signalOf(options))
  return true
}
