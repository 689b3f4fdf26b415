import { z } from 'zod'
import { PromDrError, hasCode } from '../errors.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { readSmallObject } from './documents.ts'
import { deletionMarkKey } from './layout.ts'

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
export async function readDeletionMark(store: ObjectStore, ulid: string, options: { signal?: AbortSignal | undefined } = {}): Promise<number | undefined> {
  const key = deletionMarkKey(ulid)
  try {
    const text = (await readSmallObject(store, key, 64 * 1024, options)).toString('utf8')
    return markSchema.parse(JSON.parse(text)).deletion_time * 1000
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
    if (error instanceof PromDrError && error.code !== 'DAMAGED') throw error
    throw new PromDrError('DAMAGED', `${key} is no deletion mark`, { hint: 'look at it, and remove it if nothing else manages this bucket', cause: error, details: { key } })
  }
}

/** Whether a backup may still take the mark back. Otherwise the block counts as absent. */
export function mayTakeBack(markedAtMs: number, storeNowMs: number): boolean {
  return storeNowMs - markedAtMs < deletionDelayMs - deletionMarginMs
}
