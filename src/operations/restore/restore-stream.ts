import { brokenLateSegments } from '../../domain/late-log.ts'
import { cutAt, laterPoints, windowBeforeLog } from '../../domain/later-blocks.ts'
import { exactWindows } from '../../domain/reachable.ts'
import type { RestoreMoment, RestorePlan } from '../../domain/restore-plan.ts'
import { type WalReplay, blocksUntil, chooseReplay, loggedUntil, piecesUntil } from '../../domain/wal-plan.ts'
import { PromDrError } from '../../errors.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import { deletionsFor } from '../ship/block-deletions.ts'
import type { LogDeletion } from './log-deletions.ts'
import { type Sources, pointsOf } from '../repository-sources.ts'
import { standalonePoints } from './standalone-points.ts'
import { type ReadStream, type ReadStreams, type StreamDamage, objectName, readStreams, withoutObjects } from '../wal-streams.ts'

/** Prometheus's own default. */
const defaultScrapeTimeoutMs = 10_000

/** The log that a restore replays, and the moment it is cut at. */
export interface StreamChoice {
  replay: WalReplay
  stream: ReadStream
  /** ms; undefined takes everything there is. */
  atMs: number | undefined
  /** Documents of the streams that cannot be read. */
  damaged: readonly StreamDamage[]
  /** True when it is not the moment that was asked for but the one before it. */
  nearest: boolean
  /** What the log is replayed onto where that is nothing; undefined where it is a recovery point. */
  alone: StoredRecoveryPoint | undefined
}

export interface StreamRequest {
  instance: string
  at: RestoreMoment
  nearest: boolean
  /** The generation that the timeline ends in; default: the newest. */
  generation?: string | undefined
  /** Takes blocks that were made later for any moment that the log does not reach, not only for those that are older than the log. */
  laterBlocks?: boolean | undefined
  /** Keys of log objects that are known to be damaged, and what is wrong, by key. */
  damaged?: ReadonlyMap<string, string>
  /** Called for every document of the streams that cannot be read, also where no stream is the answer then. */
  onUnread?: (document: StreamDamage) => void
  signal: AbortSignal
}

/**
 * Whether the WAL stream brings the server to the moment: undefined when a recovery point alone is the answer (one was asked for, or is
 * newer than everything that was shipped), `later-blocks` when blocks that were made after the moment are.
 * @throws MOMENT_UNREACHABLE for a time that neither the stream nor a recovery point reaches, naming what is near
 */
export async function chooseStream(sources: Sources, request: StreamRequest): Promise<StreamChoice | 'later-blocks' | undefined> {
  const { instance, damaged = new Map<string, string>() } = request
  const stored = sources.repositories.flatMap((source) => pointsOf(source, instance))
  const at = momentOf(request.at, stored)
  if (at.kind === 'recovery-point') return undefined
  const read = await readStreams(sources.repositories, request)
  if (request.onUnread !== undefined) read.damaged.forEach(request.onUnread)
  const generation = request.generation ?? generationOf(request.at, stored, read.streams)
  const alone = await standalonePoints(read.streams)
  const left = { streams: withoutObjects(read.streams, damaged), damaged: read.damaged, alone }
  const { streams } = left
  const points = [...stored, ...alone]
  requireGeneration(streams, generation)
  if (streams.length === 0) return request.at.kind === 'time' && at.kind === 'time' && takesLaterBlocks(points, [], { ...request, atMs: at.ms }) ? 'later-blocks' : undefined
  if (at.kind === 'latest') {
    const newest = Math.max(...points.filter(holdsHead).map((point) => point.createdAt))
    const replay = withLateSamples(streams, (some) => chooseReplay(points, some, { atMs: 'latest', generation }), { stored: read.streams, points, furthest: true })
    if (replay === undefined || loggedUntil(replay) <= newest) return undefined
    return choice(damaged.size === 0 ? replay : { ...replay, stoppedBy: 'gap' }, left, { nearest: false })
  }
  const exact = withLateSamples(streams, (some) => chooseReplay(points, some, { atMs: at.ms, generation }), { stored: read.streams, points, furthest: false })
  if (exact !== undefined) return choice(exact, left, { nearest: false })
  // The shipper died before it brought the last of what this recovery point left to it: as far as there is.
  if (request.at.kind === 'recovery-point') return before(points, left, { ...request, generation, nearest: true, atMs: at.ms, damaged })
  if (points.some((point) => holdsHead(point) && point.createdAt === at.ms)) return undefined
  if (takesLaterBlocks(points, streams, { ...request, atMs: at.ms })) return 'later-blocks'
  return before(points, left, { ...request, atMs: at.ms, damaged })
}

/**
 * How long after a moment its samples may still be logged: a scrape that began before it has its timeout to end. The server may have been
 * configured otherwise since the recovery point was made.
 */
export function slackMs(point: StoredRecoveryPoint, stream: Pick<ReadStream, 'heartbeat'> | undefined): number {
  return Math.max(point.source.scrapeTimeoutMs ?? defaultScrapeTimeoutMs, point.source.outOfOrderWindowMs ?? 0, stream?.heartbeat?.longestDelayMs ?? 0)
}

/**
 * The log that was chosen, from a repository that has its out-of-order samples too where there is one that reaches as far. Where there is none,
 * what is left of them is better than nothing, but it is not the moment.
 */
function withLateSamples(streams: readonly ReadStream[], choose: (some: readonly ReadStream[]) => WalReplay | undefined, of: { stored: readonly ReadStream[]; points: readonly StoredRecoveryPoint[]; furthest: boolean }): WalReplay | undefined {
  const first = choose(streams)
  let left = streams
  for (let replay = first; replay !== undefined && (!of.furthest || loggedUntil(replay) >= (first === undefined ? 0 : loggedUntil(first))); replay = choose(left)) {
    if (!lacksLateSamples(replay, streams, of)) return replay
    left = left.filter(({ repository }) => repository !== replay?.repository)
  }
  return first && { ...first, stoppedBy: 'gap', lacksLateSamples: true }
}

function lacksLateSamples(replay: WalReplay, streams: readonly ReadStream[], { stored, points }: { stored: readonly ReadStream[]; points: readonly StoredRecoveryPoint[] }): boolean {
  const base = points.find(({ id }) => id === replay.baseId)
  const streamIn = (some: readonly ReadStream[]) => some.find((stream) => stream.repository === replay.repository && stream.generation.id === replay.generation)
  const untilMs = (replay.cutAt ?? Number.POSITIVE_INFINITY) + (base === undefined ? 0 : slackMs(base, streamIn(stored)))
  const of = (some: readonly ReadStream[]) => streamIn(some)?.wbl ?? []
  return of(streams).length < of(stored).length || brokenLateSegments(of(streams), untilMs).length > 0
}

/**
 * Whether blocks that were made after a moment bring it back: when it is older than the log, between recovery points; when nothing came after it
 * until the recovery point was made; when that was asked for.
 */
function takesLaterBlocks(points: readonly StoredRecoveryPoint[], streams: readonly ReadStream[], request: StreamRequest & { atMs: number }): boolean {
  const { atMs, generation, laterBlocks } = request
  const later = laterPoints(points, atMs)
  if (later.length === 0 || generation !== undefined || points.some((point) => holdsHead(point) && point.createdAt === atMs)) return false
  const older = windowBeforeLog(points, streams)
  return laterBlocks === true || (older !== undefined && older.fromMs <= atMs && atMs <= older.toMs) || later.some((point) => holdsHead(point) && point.maxTime !== null && point.maxTime <= atMs)
}

/** A recovery point whose head is in the log stands for the moment at which it was made. */
function momentOf(at: RestoreMoment, points: readonly StoredRecoveryPoint[]): RestoreMoment {
  const point = at.kind === 'recovery-point' ? points.find(({ id }) => id === at.id) : undefined
  return point?.head.kind === 'wal' ? { kind: 'time', ms: point.createdAt } : at
}

/** The generation that the head of a recovery point is in, where it is stored: a restore since may have left that history behind. */
function generationOf(at: RestoreMoment, points: readonly StoredRecoveryPoint[], streams: readonly ReadStream[]): string | undefined {
  const head = at.kind === 'recovery-point' ? points.find(({ id }) => id === at.id)?.head : undefined
  return head?.kind === 'wal' && streams.some((stream) => stream.generation.id === head.generation) ? head.generation : undefined
}

/** Whether it holds all that the server had: without its head it is only good up to its blocks. */
function holdsHead({ head }: StoredRecoveryPoint): boolean {
  return head.kind === 'block' || head.kind === 'empty'
}

function requireGeneration(streams: readonly ReadStream[], generation: string | undefined): void {
  if (generation === undefined || streams.some((stream) => stream.generation.id === generation)) return
  const known = [...new Set(streams.map((stream) => stream.generation.id))].sort()
  throw new PromDrError('MOMENT_UNREACHABLE', `there is no generation ${generation} of the WAL`, { hint: known.length === 0 ? 'nothing was shipped for this instance' : `there are ${known.join(', ')}` })
}

interface Planned extends ReadStreams {
  alone: readonly StoredRecoveryPoint[]
}

/** The end of the log before a moment that cannot be reached, when it is later than the recovery point before it. */
function before(points: readonly StoredRecoveryPoint[], read: Planned, request: StreamRequest & { atMs: number; damaged: ReadonlyMap<string, string> }): StreamChoice | undefined {
  const { atMs, generation } = request
  const { streams } = read
  const damaged = new Map([...request.damaged, ...read.damaged.map(({ repository, key, reason }) => [objectName(repository, key), reason] as const)])
  const windows = exactWindows(points, streams, generation)
  const earlier = windows.filter((window) => window.toMs < atMs).at(-1)
  const later = windows.find((window) => window.fromMs > atMs)
  const whole = points.filter(holdsHead).sort((a, b) => a.createdAt - b.createdAt)
  const pointBefore = whole.filter((point) => point.createdAt <= atMs).at(-1)
  const pointAfter = whole.find((point) => point.createdAt > atMs)
  if (request.nearest) {
    if (earlier === undefined || (pointBefore !== undefined && pointBefore.createdAt > earlier.toMs)) return undefined
    const replay = chooseReplay(points, streams, { atMs: earlier.toMs, generation })
    return replay === undefined ? undefined : choice(replay, read, { nearest: true })
  }
  const low = Math.max(earlier?.toMs ?? Number.NEGATIVE_INFINITY, pointBefore?.createdAt ?? Number.NEGATIVE_INFINITY)
  const high = Math.min(later?.fromMs ?? Number.POSITIVE_INFINITY, pointAfter?.createdAt ?? Number.POSITIVE_INFINITY)
  throw unreachable(atMs, { low: isoOf(low), high: isoOf(high), damaged })
}

function unreachable(atMs: number, near: { low: string | null; high: string | null; damaged: ReadonlyMap<string, string> }): PromDrError {
  const { low, high, damaged } = near
  const [broken] = damaged
  const why = broken !== undefined ? `the log before it is damaged: ${broken[0]}: ${broken[1]}` : low === null ? 'it is before the first moment that was backed up' : high === null ? 'nothing was shipped after the newest moment' : 'the log has a gap there'
  const nearest = [low && `before it ${low}`, high && `after it ${high}`].filter((text) => text !== null).join(', ')
  return new PromDrError('MOMENT_UNREACHABLE', `${new Date(atMs).toISOString()} cannot be reached: ${why}; nearest is ${nearest}`, {
    hint: low === null ? `restore --at ${high ?? 'latest'}` : `restore --at ${low}, or add --nearest to take that moment`,
    details: { before: low, after: high },
  })
}

function isoOf(ms: number): string | null {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : null
}

function choice(replay: WalReplay, { streams, damaged, alone }: Planned, { nearest }: Pick<StreamChoice, 'nearest'>): StreamChoice {
  const stream = streams.find((candidate) => candidate.repository === replay.repository && candidate.generation.id === replay.generation)
  if (stream === undefined) throw new PromDrError('INTERNAL', `the stream ${replay.generation} was planned with but is not there`)
  return { replay, stream, atMs: replay.cutAt, nearest, damaged, alone: alone.find(({ id }) => id === replay.baseId) }
}

export function unreadWarning({ repository, reason }: StreamDamage): string {
  return `${repository}: ${reason}: what it says of the log is not known`
}

/**
 * The plan of the base recovery point with the log on top: without its head block, which the log stands for better (scrapes in
 * flight), without in-order blocks that reach beyond the moment, with the deletions in blocks that were seen by then.
 */
export function withStream(plan: RestorePlan<StoredRecoveryPoint>, choice: StreamChoice, request: { slackMs: number; includeDeletes: boolean; looks: readonly number[] }): { plan: RestorePlan<StoredRecoveryPoint>; logDeletions: LogDeletion[] } {
  const { replay, stream, atMs, nearest } = choice
  const limit = atMs ?? Number.POSITIVE_INFINITY
  const deletions = deletionsFor(plan.point, stream, { limitMs: limit, includeDeletes: request.includeDeletes, looks: request.looks })
  // A block of out-of-order samples may hold some that targets dated ahead.
  const blocks = cutAt(blocksUntil(plan.point.blocks, limit), limit)
    .map((block) => ({ ...block, ...deletions.tombstones.get(block.ulid) }))
    .sort((a, b) => b.maxTime - a.maxTime || (a.ulid < b.ulid ? 1 : -1))
  const shipped = piecesUntil(replay.pieces, limit + request.slackMs).reduce<number | null>((newest, piece) => (piece.newestSample === null ? newest : Math.max(newest ?? piece.newestSample, piece.newestSample)), null)
  const newestBlock = blocks.reduce<number | null>((newest, block) => Math.max(newest ?? block.maxTime - 1, block.maxTime - 1), null)
  const reached = Math.max(shipped ?? Number.NEGATIVE_INFINITY, newestBlock ?? Number.NEGATIVE_INFINITY)
  const shortLog = atMs !== undefined && !nearest && replay.knownUntil !== undefined && replay.knownUntil < limit + request.slackMs ? [`the log is known up to ${new Date(replay.knownUntil).toISOString()}: of scrapes that began before the moment and ended after that, samples may be missing`] : []
  const withLog: RestorePlan<StoredRecoveryPoint> = {
    ...plan,
    point: { ...plan.point, head: { kind: 'empty' } },
    blocks,
    recoverableAt: Number.isFinite(reached) ? Math.min(reached, limit) : null,
    stoppedBy: nearest ? 'nearest' : replay.stoppedBy,
    warnings: [...plan.warnings.filter((warning) => !/without the head|its head in the shipped WAL/.test(warning)), ...deletions.warnings, ...(replay.lacksLateSamples === true ? ['pieces of the log of out-of-order samples are damaged or missing: samples that came late are missing'] : []), ...choice.damaged.map(unreadWarning), ...shortLog],
  }
  return { plan: withLog, logDeletions: deletions.inLog }
}
