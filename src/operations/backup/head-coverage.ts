import { replayOnto } from '../../domain/wal-plan.ts'
import { listRecoveryPointIds } from '../../repository/recovery-points.ts'
import { openTiers } from './backup-inventory.ts'
import type { NamedStore } from './backup-context.ts'
import { readStreams } from '../wal-streams.ts'

export interface CoverageRequest {
  instance: string
  /** Whose log it must be. */
  machineId: string
  dataDir: string
  /** End of the newest in-order block that the server has, ms; null when it has none. */
  bound: number | null
  nowMs: number
  timezone: string
  signal: AbortSignal
}

/** A sign of life that is older does not promise that the shipper will bring what is in memory now. */
const freshMs = 60_000
/** Recovery points that stand for a day or longer outlive the log: they hold all that they name themselves. */
const lastingTiers = new Set(['daily', 'weekly', 'monthly', 'yearly'])

/**
 * The generation whose log in this repository stands for what the server has in memory, judged by what is read back from there: it is this
 * server's newest, it lives, and it goes on without a gap from where the server's blocks end. Undefined where a recovery point
 * made now needs the head.
 */
export async function streamCoversHead(repository: NamedStore, request: CoverageRequest): Promise<string | undefined> {
  const { instance, bound, nowMs, timezone, signal } = request
  const { streams, damaged } = await readStreams([repository], { instance, signal })
  const stream = [...streams].sort((a, b) => b.generation.startedAt - a.generation.startedAt)[0]
  if (stream === undefined || damaged.length > 0) return undefined
  const { generation, heartbeat } = stream
  if (generation.machineId !== request.machineId || generation.dataDir !== request.dataDir) return undefined
  if (heartbeat === undefined || nowMs - heartbeat.at > freshMs) return undefined
  const replay = replayOnto({ id: '', createdAt: nowMs, blocks: bound === null ? [] : [{ inOrder: true, maxTime: bound }] }, stream)
  if (replay === undefined || replay.stoppedBy !== 'end' || replay.knownUntil === undefined || nowMs - replay.knownUntil > freshMs) return undefined
  const { ids } = await listRecoveryPointIds(repository.store, instance, { signal })
  const tiers = await openTiers(ids, { store: repository.store, instance, createdAt: nowMs, timezone, signal })
  return tiers.some((tier) => lastingTiers.has(tier)) ? undefined : generation.id
}
