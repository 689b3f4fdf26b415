import { planBackup } from '../../src/domain/backup-plan.ts'
import { defaultCompactedSpanMs } from '../../src/domain/compaction-cover.ts'
import { recoveryPointId } from '../../src/domain/recovery-point.ts'
import { type Retention, type RetentionDecision, planRetention } from '../../src/domain/retention.ts'
import { type Tier, tiersOf } from '../../src/domain/tiers.ts'
import { type SimulatedBlock, SimulatedTsdb } from './simulated-tsdb.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const delayMs = 48 * hourMs
const minBlockMs = 2 * hourMs
const maxBlockMs = 36 * hourMs

export interface SimulatedPoint {
  id: string
  createdAt: number
  tiers: Tier[]
  blocks: readonly string[]
}

export interface YearsRequest {
  startMs: number
  endMs: number
  timezone: string
  retention: Retention
  /** Whether the blocks that the recovery points name are simulated too. */
  blocks: boolean
  /** Called after every expiry, which is daily. */
  onExpiry?(state: { nowMs: number; kept: readonly SimulatedPoint[]; decisions: readonly RetentionDecision[]; storedBytes: number }): void
}

export interface YearsOutcome {
  kept: SimulatedPoint[]
  made: number
  /** Blocks that are stored and neither named nor waiting for their removal. */
  forgotten: string[]
  /** Bytes of blocks that were ever stored, and that are stored in the end. */
  uploadedBytes: number
  storedBytes: number
  /** A recovery point named a block that was not stored: how often it was looked, and what was found. */
  looks: number
  missing: string[]
}

/**
 * Hourly backups and a daily expiry over years, in numbers alone: the tiers, the retention and the choice of blocks are the program's
 * own, the TSDB and the store are simulated, blocks go 48 hours after the last recovery point that named them.
 */
export function simulateYears(request: YearsRequest): YearsOutcome {
  const { startMs, endMs, timezone, retention } = request
  const tsdb = new SimulatedTsdb(startMs, { minBlockMs, maxBlockMs, retentionMs: 15 * dayMs, samplesPerHour: 240_000, bytesPerSample: 1.5, indexBytes: 150_000, firstSampleMs: 7_345 })
  const compactedSpanMs = defaultCompactedSpanMs(minBlockMs, maxBlockMs)
  const stored = new Map<string, SimulatedBlock>()
  const marked = new Map<string, number>()
  const newestOf = new Map<Tier, SimulatedPoint>()
  const outcome: YearsOutcome = { kept: [], made: 0, forgotten: [], uploadedBytes: 0, storedBytes: 0, looks: 0, missing: [] }
  for (let nowMs = startMs; nowMs < endMs; nowMs += hourMs) {
    const point: SimulatedPoint = { id: recoveryPointId(new Date(nowMs), 'abcdef'), createdAt: nowMs, tiers: tiersOf(nowMs, [...newestOf.values()], timezone), blocks: request.blocks ? backup(nowMs) : [] }
    for (const tier of point.tiers) newestOf.set(tier, point)
    outcome.kept.push(point)
    outcome.made += 1
    if (outcome.made % 24 === 0) expire(nowMs)
  }
  const named = new Set(outcome.kept.flatMap((point) => point.blocks))
  outcome.forgotten = [...stored.keys()].filter((ulid) => !named.has(ulid) && !marked.has(ulid))
  return outcome

  function backup(nowMs: number): readonly string[] {
    tsdb.advance(nowMs)
    const previous = (outcome.kept.at(-1)?.blocks ?? []).flatMap((ulid) => stored.get(ulid) ?? [])
    const plan = planBackup(tsdb.blocks, previous, compactedSpanMs)
    for (const ulid of plan.upload) {
      const block = tsdb.blocks.find((candidate) => candidate.ulid === ulid) as SimulatedBlock
      stored.set(ulid, { ...block })
      outcome.uploadedBytes += block.sizeBytes
      outcome.storedBytes += block.sizeBytes
    }
    for (const ulid of plan.named) marked.delete(ulid)
    return plan.named
  }

  function expire(nowMs: number): void {
    const decisions = planRetention(outcome.kept, { retention, holds: new Map(), nowMs, timezone })
    const staying = new Set(decisions.filter(({ keep }) => keep).map(({ id }) => id))
    outcome.kept = outcome.kept.filter(({ id }) => staying.has(id))
    const named = new Set(outcome.kept.flatMap((point) => point.blocks))
    for (const [ulid, block] of stored) {
      const markedAtMs = marked.get(ulid)
      if (named.has(ulid)) marked.delete(ulid)
      else if (markedAtMs === undefined) marked.set(ulid, nowMs)
      else if (nowMs - markedAtMs >= delayMs) {
        stored.delete(ulid)
        marked.delete(ulid)
        outcome.storedBytes -= block.sizeBytes
      }
    }
    for (const point of outcome.kept) {
      outcome.looks += 1
      for (const ulid of point.blocks) if (!stored.has(ulid)) outcome.missing.push(`${point.id} at ${new Date(nowMs).toISOString()}: ${ulid}`)
    }
    request.onExpiry?.({ nowMs, kept: outcome.kept, decisions, storedBytes: outcome.storedBytes })
  }
}
