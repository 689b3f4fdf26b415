import type { RestoreMoment, RestorePlan } from '../domain/restore-plan.ts'
import { type WalReplay, chooseReplay, piecesUntil } from '../domain/wal-plan.ts'
import { PromDrError } from '../errors.ts'
import type { StoredRecoveryPoint } from '../repository/recovery-point-schema.ts'
import { type Sources, pointsOf } from './repository-sources.ts'
import { type ReadStream, readStreams } from './wal-streams.ts'

/** The log that a restore replays, and the moment it is cut at. */
export interface StreamChoice {
  replay: WalReplay
  stream: ReadStream
  /** ms; undefined takes everything there is. */
  atMs: number | undefined
  /** True when it is not the moment that was asked for but the one before it. */
  nearest: boolean
}

export interface StreamRequest {
  instance: string
  at: RestoreMoment
  nearest: boolean
  signal: AbortSignal
}

/**
 * Whether the WAL stream brings the server to the moment: undefined when recovery points alone are the answer (one was asked for, or is
 * newer than everything that was shipped).
 * @throws MOMENT_UNREACHABLE for a time that neither the stream nor a recovery point reaches, naming what is near
 */
export async function chooseStream(sources: Sources, request: StreamRequest): Promise<StreamChoice | undefined> {
  const { at, instance } = request
  if (at.kind === 'recovery-point') return undefined
  const streams = await readStreams(sources.repositories, request)
  if (streams.length === 0) return undefined
  const points = sources.repositories.flatMap((source) => pointsOf(source, instance))
  const newest = Math.max(...points.map((point) => point.createdAt))
  if (at.kind === 'latest') {
    const replay = chooseReplay(points, streams, 'latest')
    return replay === undefined || replay.knownUntil <= newest ? undefined : choice(replay, streams, { atMs: undefined, nearest: false })
  }
  const exact = chooseReplay(points, streams, { atMs: at.ms })
  if (exact !== undefined) return choice(exact, streams, { atMs: at.ms, nearest: false })
  if (points.some((point) => (point.maxTime ?? point.createdAt) <= at.ms && at.ms <= point.createdAt)) return undefined
  return before(points, streams, { ...request, atMs: at.ms })
}

/** The end of the log before a moment that cannot be reached, when it is later than the recovery point before it. */
function before(points: readonly StoredRecoveryPoint[], streams: readonly ReadStream[], request: StreamRequest & { atMs: number }): StreamChoice | undefined {
  const { atMs } = request
  const older = points.filter((point) => point.createdAt <= atMs)
  const replay = chooseReplay(older, streams, 'latest')
  const newest = Math.max(...older.map((point) => point.createdAt), Number.NEGATIVE_INFINITY)
  if (replay === undefined || replay.knownUntil <= newest || replay.knownUntil > atMs) return undefined
  if (request.nearest) return choice(replay, streams, { atMs: undefined, nearest: true })
  const after = points.filter((point) => point.createdAt > atMs).sort((a, b) => a.createdAt - b.createdAt)[0]
  const reached = new Date(replay.knownUntil).toISOString()
  const why = replay.stoppedBy === 'gap' ? 'the log has a gap there' : 'nothing was shipped after that'
  const later = after === undefined ? '' : `, after it ${new Date(after.createdAt).toISOString()} (${after.id})`
  throw new PromDrError('MOMENT_UNREACHABLE', `${new Date(atMs).toISOString()} cannot be reached: ${why}; nearest is before it ${reached}${later}`, {
    hint: `restore --at ${reached}, or add --nearest to take that moment`,
    details: { before: reached, after: after?.id ?? null },
  })
}

function choice(replay: WalReplay, streams: readonly ReadStream[], at: Pick<StreamChoice, 'atMs' | 'nearest'>): StreamChoice {
  const stream = streams.find((candidate) => candidate.repository === replay.repository && candidate.generation.id === replay.generation)
  if (stream === undefined) throw new PromDrError('INTERNAL', `the stream ${replay.generation} was planned with but is not there`)
  return { replay, stream, ...at }
}

/**
 * The plan of the base recovery point with the log on top: without its head block, which the log stands for better (scrapes in
 * flight), without in-order blocks that reach beyond the moment, with the deletions in blocks that were seen by then.
 */
export function withStream(plan: RestorePlan<StoredRecoveryPoint>, { replay, stream, atMs, nearest }: StreamChoice, slackMs: number): RestorePlan<StoredRecoveryPoint> {
  const limit = atMs ?? Number.POSITIVE_INFINITY
  const deletions = new Map(stream.deletions.filter((deletion) => deletion.seenAt <= limit && deletion.seenAt > plan.point.createdAt).map((deletion) => [deletion.ulid, { sha256: deletion.sha256, sizeBytes: deletion.sizeBytes }]))
  const blocks = plan.point.blocks
    .filter((block) => !block.inOrder || block.maxTime <= limit)
    .map((block) => ({ ...block, ...(deletions.has(block.ulid) && { tombstones: deletions.get(block.ulid) as { sha256: string; sizeBytes: number } }) }))
    .sort((a, b) => b.maxTime - a.maxTime || (a.ulid < b.ulid ? 1 : -1))
  const shipped = piecesUntil(replay.pieces, limit + slackMs).reduce<number | null>((newest, piece) => (piece.newestSample === null ? newest : Math.max(newest ?? piece.newestSample, piece.newestSample)), null)
  const newestBlock = blocks.reduce<number | null>((newest, block) => Math.max(newest ?? block.maxTime - 1, block.maxTime - 1), null)
  const reached = Math.max(shipped ?? Number.NEGATIVE_INFINITY, newestBlock ?? Number.NEGATIVE_INFINITY)
  return {
    ...plan,
    point: { ...plan.point, head: { kind: 'empty' } },
    blocks,
    recoverableAt: Number.isFinite(reached) ? Math.min(reached, limit) : null,
    stoppedBy: nearest ? 'nearest' : replay.stoppedBy,
    warnings: plan.warnings.filter((warning) => !warning.includes('without the head')),
  }
}
