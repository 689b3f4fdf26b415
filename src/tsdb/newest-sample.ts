import { visitSeries } from './index-series.ts'
import type { Tombstone } from './tombstones.ts'

type Interval = Pick<Tombstone, 'mint' | 'maxt'>

export interface NewestSampleOptions {
  /** Deletions in force in the block. */
  tombstones?: readonly Tombstone[] | undefined
  signal?: AbortSignal | undefined
}

/**
 * The time in ms of the newest sample of a block, as its index knows it: a chunk's end is the time of its last sample, while the block's
 * own maxTime is the end of its range. Chunks whose last sample is deleted do not count, so that the answer may be too early and is never
 * too late.
 * @returns undefined when no sample is known to be left @throws DAMAGED, DATA_DIR_UNREADABLE, the signal's reason
 */
export async function newestSampleMs(indexPath: string, options: NewestSampleOptions = {}): Promise<number | undefined> {
  const deleted = byReference(options.tombstones ?? [])
  let newest: number | undefined
  await visitSeries(indexPath, ({ ref, chunks }) => {
    const intervals = deleted.get(ref)
    chunks((_, lastMs) => {
      if (newest !== undefined && lastMs <= newest) return
      if (intervals === undefined || !intervals.some(({ mint, maxt }) => mint <= BigInt(lastMs) && BigInt(lastMs) <= maxt)) newest = lastMs
    })
  }, options)
  return newest
}

/** By the reference that the index knows the series by. */
function byReference(tombstones: readonly Tombstone[]): Map<number, Interval[]> {
  const found = new Map<number, Interval[]>()
  for (const { seriesRef, ...interval } of tombstones) {
    const reference = Number(seriesRef)
    const intervals = found.get(reference)
    if (intervals === undefined) found.set(reference, [interval])
    else intervals.push(interval)
  }
  return found
}
