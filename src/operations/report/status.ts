import { restoresAlone } from '../../domain/standalone-log.ts'
import { judgeProtection } from '../../domain/stream-health.ts'
import { formatPosition } from '../../domain/wal-stream.ts'
import { readVerifications } from '../../repository/records.ts'
import type { Clock } from '../../system/clock.ts'
import { type CostContext, costs } from './cost.ts'
import type { ReadContext } from './list.ts'
import { type RepositorySource, damageOf, pointsOf, readSources, requireListed } from '../repository-sources.ts'
import type { InstanceStatus, RepositoryStatus, StatusReport, StatusRequest } from './status-report.ts'
import { readStreams } from '../wal-streams.ts'

export interface StatusContext extends ReadContext {
  /** How often the configured shipper gives a sign of life, ms. */
  shipIntervalMs: number
  clock: Clock
  /** What it takes to tell what storage costs; absent where nobody asks. */
  costs?: Omit<CostContext, 'signal'>
}

/** An outage of a store is waited out by the shipper: the same has to be granted to its sign of life. */
const leastSilenceMs = 60_000

/**
 * How well every instance is protected now, from the repositories alone, so that any machine can ask. The time of loss is judged by samples,
 * not by files: an idle server and a dead shipper are told apart by the sign of life.
 */
export async function status(context: StatusContext, request: StatusRequest): Promise<StatusReport> {
  const { signal, clock } = context
  const nowMs = clock.now().getTime()
  const sources = await readSources(context.repositories, { ...request, signal })
  if (request.instance !== undefined) await requireListed(sources, request.instance, context.signal)
  const report: StatusReport = { instances: [], damaged: sources.repositories.flatMap(damageOf), unreachable: sources.unreachable }
  const names = [...new Set(sources.repositories.flatMap((source) => source.instances.map((instance) => instance.name)))].sort()
  for (const name of names) {
    const repositories: Measured[] = []
    for (const source of sources.repositories) {
      const { streams, damaged } = await readStreams([source], { instance: name, signal })
      report.damaged.push(...damaged)
      repositories.push(measure(source, name, streams))
    }
    if (repositories.every(({ lastRecoveryPointAtMs, generation }) => lastRecoveryPointAtMs === null && generation === null)) continue
    const verifiedAt = await lastVerified(sources.repositories, name, signal)
    report.instances.push(describe({ name, verifiedAt, nowMs, silentAfterMs: Math.max(leastSilenceMs, 3 * context.shipIntervalMs) }, repositories))
  }
  if (request.cost !== true || context.costs === undefined) return report
  // Blocks are everybody's: whose they are takes the manifests of all instances.
  const all = request.instance === undefined ? sources : await readSources(context.repositories, { repositories: request.repositories, signal })
  return { ...report, cost: await costs(all.repositories, { ...context.costs, signal }) }
}

interface Measured {
  name: string
  generation: string | null
  shippedTo: string | null
  newestSampleMs: number | null
  heartbeatAtMs: number | null
  lastRecoveryPointAtMs: number | null
  /** Its newest log is restored without any recovery point. */
  restoresAlone: boolean
}

function measure(source: RepositorySource, instance: string, streams: Awaited<ReturnType<typeof readStreams>>['streams']): Measured {
  const newest = [...streams].sort((a, b) => b.generation.startedAt - a.generation.startedAt)[0]
  const pieces = streams.flatMap((stream) => stream.wal)
  const ends = (newest?.wal ?? []).map((piece) => ({ segment: piece.segment, offset: piece.end })).sort((a, b) => b.segment - a.segment || b.offset - a.offset)
  return {
    name: source.name,
    generation: newest?.generation.id ?? null,
    shippedTo: ends[0] === undefined ? null : formatPosition(ends[0]),
    restoresAlone: restoresAlone(streams),
    newestSampleMs: latest(pieces.map((piece) => piece.newestSample)),
    heartbeatAtMs: latest(streams.map((stream) => stream.heartbeat?.at ?? null)),
    lastRecoveryPointAtMs: latest(pointsOf(source, instance).map((point) => point.createdAt)),
  }
}

function describe(of: { name: string; verifiedAt: string | null; nowMs: number; silentAfterMs: number }, measured: readonly Measured[]): InstanceStatus {
  const { nowMs, silentAfterMs } = of
  const show = (one: Measured): RepositoryStatus => ({
    name: one.name,
    rpoSeconds: one.newestSampleMs === null || (one.lastRecoveryPointAtMs === null && !one.restoresAlone) ? null : Math.max(0, (nowMs - one.newestSampleMs) / 1000),
    shippedTo: one.shippedTo,
    generation: one.generation,
    newestSample: iso(one.newestSampleMs),
    heartbeatAt: iso(one.heartbeatAtMs),
    lastRecoveryPointAt: iso(one.lastRecoveryPointAtMs),
  })
  const [furthest] = [...measured].sort((a, b) => (b.newestSampleMs ?? 0) - (a.newestSampleMs ?? 0) || (b.lastRecoveryPointAtMs ?? 0) - (a.lastRecoveryPointAtMs ?? 0))
  const heartbeatAtMs = latest(measured.map((one) => one.heartbeatAtMs))
  const lastRecoveryPointAtMs = latest(measured.map((one) => one.lastRecoveryPointAtMs))
  const judged = judgeProtection({ nowMs, newestSampleMs: furthest?.newestSampleMs ?? null, heartbeatAtMs, lastRecoveryPointAtMs, restoresAlone: measured.some((one) => one.restoresAlone), silentAfterMs })
  return {
    ...show(furthest as Measured),
    name: of.name,
    heartbeatAt: iso(heartbeatAtMs),
    lastRecoveryPointAt: iso(lastRecoveryPointAtMs),
    lastVerifiedAt: of.verifiedAt,
    lastDrill: null,
    ...judged,
    repositories: measured.map(show),
  }
}

async function lastVerified(sources: readonly RepositorySource[], instance: string, signal: AbortSignal): Promise<string | null> {
  const records = await Promise.all(sources.map(({ store }) => readVerifications(store, instance, { limit: 1, signal })))
  return records.flat().map((record) => record.finishedAt).sort().at(-1) ?? null
}

function latest(times: readonly (number | null)[]): number | null {
  return times.reduce<number | null>((newest, time) => (time === null ? newest : Math.max(newest ?? time, time)), null)
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
