import { join } from 'node:path'
import type { PlannedBlock } from '../../domain/restore-plan.ts'
import { type LabelledDeletion, cutBlock, deleteInBlock } from '../../tsdb/cut-block.ts'
import type { Stopwatch } from '../stopwatch.ts'

export interface CutRequest {
  staging: string
  /** Whether the newest sample that is left is wanted. */
  measure: boolean
  watch: Stopwatch
  signal: AbortSignal
}

/** Deletes in the blocks in staging what was deleted in blocks that they were merged into later. */
export async function deleteInBlocks(blocks: readonly PlannedBlock[], deletions: readonly LabelledDeletion[], request: Pick<CutRequest, 'staging' | 'signal'>): Promise<void> {
  for (const { ulid, minTime, maxTime } of blocks) {
    const within = deletions.filter(({ mint, maxt }) => mint < BigInt(maxTime) && maxt >= BigInt(minTime))
    if (within.length > 0) await deleteInBlock(join(request.staging, ulid), within, request)
  }
}

/**
 * Cuts the blocks in staging that reach beyond the moment.
 * @returns with `measure` the time of the newest sample that is known to be left, ms; undefined when there was nothing to cut
 */
export async function cutBlocks(blocks: readonly PlannedBlock[], request: CutRequest): Promise<{ newestSampleMs: number | undefined } | undefined> {
  const { staging, measure, watch, signal } = request
  if (!blocks.some((block) => block.cutAfterMs !== undefined)) return undefined
  return watch.time('cut blocks', async () => {
    let newest: number | undefined
    // Newest first: of those that end before what was found nothing newer can come.
    for (const { ulid, maxTime, cutAfterMs } of blocks) {
      if (cutAfterMs === undefined && (!measure || maxTime - 1 <= (newest ?? Number.NEGATIVE_INFINITY))) continue
      const { newestSampleMs } = await cutBlock(join(staging, ulid), { afterMs: cutAfterMs ?? maxTime, maxTime, signal })
      if (newestSampleMs !== undefined) newest = Math.max(newest ?? newestSampleMs, newestSampleMs)
    }
    return { newestSampleMs: newest }
  })
}
