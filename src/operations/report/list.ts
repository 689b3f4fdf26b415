import { windowBeforeLog } from '../../domain/later-blocks.ts'
import { exactWindows, streamGaps } from '../../domain/reachable.ts'
import { headPlace, recoveryPointBytes } from '../../domain/recovery-point.ts'
import { newestTimeline } from '../../domain/wal-plan.ts'
import { standaloneBases } from '../../domain/standalone-log.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import type { NamedStore } from '../backup/backup.ts'
import type { ListReport, ListRequest, ListedRecoveryPoint, RecoverableWindow } from './list-report.ts'
import { damageOf, holdOn, pointsOf, readSources, requireListed } from '../repository-sources.ts'
import { type ReadStream, readStreams } from '../wal-streams.ts'

export interface ReadContext {
  repositories: readonly NamedStore[]
  signal: AbortSignal
}

/**
 * What can be restored, of every instance: newest last. Damaged manifests and repositories out of reach are named.
 * @throws INSTANCE_NOT_FOUND for one that was asked for and is in no repository
 */
export async function list(context: ReadContext, request: ListRequest): Promise<ListReport> {
  const sources = await readSources(context.repositories, { ...request, signal: context.signal })
  if (request.instance !== undefined) await requireListed(sources, request.instance, context.signal)
  const names = [...new Set(sources.repositories.flatMap((source) => source.instances.map((instance) => instance.name)))].sort()
  const report: ListReport = { instances: [], damaged: sources.repositories.flatMap(damageOf), unreachable: sources.unreachable }
  for (const name of names) {
    const listed = new Map<string, ListedRecoveryPoint>()
    for (const source of sources.repositories) {
      const instance = source.instances.find((candidate) => candidate.name === name)
      for (const point of instance?.points ?? []) {
        const known = listed.get(point.id)
        if (known === undefined) listed.set(point.id, describe(point, source.name, holdOn(sources, point)))
        else known.repositories.push(source.name)
      }
    }
    const recoveryPoints = [...listed.values()].sort((a, b) => (a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : a.id < b.id ? -1 : 1))
    const { streams, damaged } = await readStreams(sources.repositories, { instance: name, signal: context.signal })
    report.damaged.push(...damaged)
    const points = sources.repositories.flatMap((source) => pointsOf(source, name))
    report.instances.push({ name, recoverable: windows(points, streams), gaps: gapsOf(streams), branches: branchesOf(streams), recoveryPoints })
  }
  return report
}

/** Any moment that the log reaches, or blocks that replaced it; beside them the recovery points themselves, in runs. */
function windows(points: readonly StoredRecoveryPoint[], streams: readonly ReadStream[]): RecoverableWindow[] {
  const byLog = exactWindows([...points, ...standaloneBases(streams)], streams)
  const older = windowBeforeLog(points, streams)
  const exact = [...(older === undefined ? [] : [{ ...older, by: 'later-blocks' as const }]), ...byLog.map((window) => ({ ...window, by: 'log' as const }))]
  const times = [...new Set(points.map((point) => point.createdAt))].sort((a, b) => a - b)
  const beside = times.filter((time) => !exact.some(({ fromMs, toMs }) => fromMs <= time && time <= toMs))
  const runs: { fromMs: number; toMs: number }[] = []
  for (const time of beside) {
    const run = runs.at(-1)
    if (run === undefined || exact.some(({ fromMs }) => run.toMs < fromMs && fromMs < time)) runs.push({ fromMs: time, toMs: time })
    else run.toMs = time
  }
  const all = [...exact, ...runs.map((run) => ({ ...run, by: 'recovery-points' as const }))]
  return all.sort((a, b) => a.fromMs - b.fromMs).map(({ fromMs, toMs, by }) => ({ from: iso(fromMs), to: iso(toMs), exact: by !== 'recovery-points', by }))
}

function gapsOf(streams: readonly ReadStream[]): ListReport['instances'][number]['gaps'] {
  return streamGaps(streams).map(({ fromMs, toMs, reason, repository }) => ({ from: fromMs === null ? null : iso(fromMs), to: iso(toMs), reason, repository }))
}

function branchesOf(streams: readonly ReadStream[]): ListReport['instances'][number]['branches'] {
  const followed = new Set(newestTimeline(streams).map(({ stream }) => stream))
  return streams.filter((stream) => !followed.has(stream)).map(({ generation, repository, wal, heartbeat }) => {
    const lastMs = wal.reduce((last, piece) => Math.max(last, piece.seenAt), heartbeat?.at ?? Number.NEGATIVE_INFINITY)
    return { generation: generation.id, repository, from: iso(generation.startedAt), to: Number.isFinite(lastMs) ? iso(lastMs) : null }
  })
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

function describe(point: StoredRecoveryPoint, repository: string, hold: ListedRecoveryPoint['hold']): ListedRecoveryPoint {
  return {
    id: point.id,
    createdAt: new Date(point.createdAt).toISOString(),
    maxTime: point.maxTime === null ? null : new Date(point.maxTime).toISOString(),
    tiers: point.tiers,
    bytes: recoveryPointBytes(point),
    blocks: point.blocks.length + (point.head.kind === 'block' ? 1 : 0),
    archives: point.archives.map(({ component }) => component),
    headIncluded: headPlace(point.head) === 'stored',
    head: headPlace(point.head),
    held: hold !== null,
    hold,
    repositories: [repository],
  }
}
