import { type StandaloneFacts, standsAlone } from './standalone-log.ts'
import type { StreamInventory } from './wal-plan.ts'

/** A recovery point that a log may be replayed onto. */
export interface NeedPoint {
  createdAt: number
  /** What was in memory is in it. */
  headStored: boolean
  /** End of its newest in-order block, ms; null without blocks. */
  bound: number | null
}

/** The newest generation of one server in one repository. */
export interface NeedStream {
  generation: Pick<StreamInventory['generation'], 'startedAt' | 'gap'> & StandaloneFacts
  checkpoints: readonly { bound: number | null }[]
  /** From when on the server's own log may be damaged, ms: what follows is in its memory alone. Undefined without damage. */
  damagedSince: number | undefined
  /** When it was found that out-of-order samples are in a block and in no log, ms. */
  lateSince?: number | undefined
}

/**
 * Why a recovery point with the head is wanted now: samples are in the server's memory, or in its blocks, and in no stream. Where there was
 * none at all (`first`) it is the operator's to make it; it may be on its way.
 */
export interface RecoveryNeed {
  kind: 'gap' | 'late' | 'damage' | 'unreachable' | 'first'
  reason: string
}

/** What a damaged log costs at most: the server's memory is stored again after so long, ms. */
export const damageRepeatMs = 15 * 60_000

/** Undefined when what is shipped can be restored without loss. */
export function recoveryNeed({ generation, checkpoints, damagedSince, lateSince }: NeedStream, points: readonly NeedPoint[], nowMs: number): RecoveryNeed | undefined {
  const headSince = (sinceMs: number) => points.some(({ createdAt, headStored }) => headStored && createdAt >= sinceMs)
  if (damagedSince !== undefined && !headSince(Math.max(damagedSince, nowMs - damageRepeatMs))) return { kind: 'damage', reason: 'Prometheus\'s own log is damaged: what follows is in the server\'s memory alone' }
  if (generation.gap !== null && !headSince(generation.startedAt)) return { kind: 'gap', reason: `there is a gap in the shipped log: ${generation.gap.reason}` }
  if (lateSince !== undefined && !points.some(({ createdAt }) => createdAt >= lateSince)) return { kind: 'late', reason: 'out-of-order samples went into a block before their log was seen' }
  if (standsAlone(generation)) return undefined
  if (points.length === 0) return { kind: 'first', reason: 'there is no recovery point that the shipped log could be replayed onto' }
  const starts = [...checkpoints.map(({ bound }) => bound), ...(generation.checkpoint === null ? [generation.bound] : [])]
  // Its checkpoint is not stored yet: no recovery point would help.
  if (starts.length === 0) return undefined
  const reached = points.some(({ bound }) => starts.some((start) => start === null || (bound !== null && start <= bound)))
  return reached ? undefined : { kind: 'unreachable', reason: 'no recovery point has the blocks that the shipped log goes on from' }
}
