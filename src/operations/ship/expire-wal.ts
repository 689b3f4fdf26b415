import { type WindowGeneration, planWalWindow } from '../../domain/wal-window.ts'
import { replayBoundMs } from '../../domain/wal-plan.ts'
import { readRecoveryPoints } from '../../repository/recovery-points.ts'
import { removeCheckpoint, removeGeneration, removeRemains, removeSegments } from '../../repository/wal-removal.ts'
import { listPieces, readCheckpoints, readGenerations, readHeartbeat } from '../../repository/wal-stream.ts'
import type { Logger } from '../../system/logger.ts'
import type { ShipperContext } from './wal-shipper.ts'

/**
 * Removes the WAL that the window no longer needs (`domain/wal-window.ts` decides). Nothing is removed while a manifest cannot be
 * read: it may be the one that needs it. A crash leaves objects that no reader begins with, and that the next run removes.
 * @returns the number of pieces and checkpoints removed
 */
export async function expireWal(context: ShipperContext & { logger: Logger }, options: { current: string; windowMs: number }): Promise<number> {
  const { store, instance, signal, logger } = context
  const nowMs = context.now().getTime()
  const generations = await readGenerations(store, instance, { signal })
  if (generations.every(({ startedAt }) => startedAt > nowMs - options.windowMs)) return 0
  const { points, damaged } = await readRecoveryPoints(store, instance, { signal })
  if (damaged.length > 0) {
    logger.error({ instance, manifests: damaged.map(({ key }) => key) }, 'old WAL is kept: a manifest cannot be read, and may need it')
    return 0
  }
  const stored = await Promise.all(generations.map(async ({ id, startedAt }): Promise<WindowGeneration> => {
    const of = { generation: id, signal }
    const [wal, wbl, checkpoints, heartbeat] = await Promise.all([listPieces(store, instance, { ...of, log: 'wal' }), listPieces(store, instance, { ...of, log: 'wbl' }), readCheckpoints(store, instance, of), readHeartbeat(store, instance, of)])
    const newestSample = wal.reduce<number | null>((newest, piece) => (piece.newestSample === null ? newest : Math.max(newest ?? piece.newestSample, piece.newestSample)), null)
    const lastSeenAt = [...wal, ...wbl].reduce((last, piece) => Math.max(last, piece.seenAt), Math.max(startedAt, heartbeat?.at ?? 0))
    return { id, startedAt, current: id === options.current, lastSeenAt, newestSample, checkpoints, wal, wbl }
  }))
  const removals = planWalWindow(stored, points.map(({ createdAt, head, blocks }) => ({ createdAt, headInGeneration: head.kind === 'wal' ? head.generation : undefined, bound: replayBoundMs(blocks) })), { nowMs, windowMs: options.windowMs })
  let removed = 0
  for (const { generation, upTo, checkpoints, pieces, reason } of removals) {
    logger.info({ instance, generation, upTo: upTo ?? 'its end', objects: pieces.length, reason }, 'old WAL is removed')
    if (upTo === undefined) await removeGeneration(store, instance, { generation, signal })
    else {
      for (const segment of checkpoints) await removeCheckpoint(store, instance, { generation, segment, signal })
      await removeSegments(store, instance, { generation, pieces, signal })
    }
    removed += pieces.length + checkpoints.length
  }
  const known = stored.map(({ id, checkpoints }) => ({ id, checkpoints: checkpoints.map(({ segment }) => segment) }))
  const remains = await removeRemains(store, instance, { known: known.filter(({ id }) => !removals.some(({ generation, upTo }) => generation === id && upTo === undefined)), beforeMs: nowMs - options.windowMs, signal })
  if (remains.length > 0) logger.info({ instance, prefixes: remains }, 'what an earlier removal left is removed')
  return removed
}
