import { PromDrError } from '../errors.ts'
import { type Head, type NamedBlock, holdsTsdb } from './recovery-point.ts'

/** A recovery point as planning needs it; the rest of it is carried along. */
export interface PlannablePoint {
  id: string
  createdAt: number
  maxTime: number | null
  blocks: readonly NamedBlock[]
  head: Head
}

/** What one source (a repository) offers. */
export interface PlanSource<Point extends PlannablePoint> {
  name: string
  points: readonly Point[]
}

export type RestoreMoment = { kind: 'latest' } | { kind: 'time'; ms: number } | { kind: 'recovery-point'; id: string }

/**
 * Where a restore ends: at the recovery point (nothing follows it), or earlier: as was allowed, or because what is newer is damaged;
 * with the WAL stream at the moment asked for, at the stream's end, or where it breaks.
 */
export type StoppedBy = 'recovery-point' | 'nearest' | 'damaged' | 'moment' | 'end' | 'gap'

/** A block of which only the samples up to a moment may be wanted. */
export interface PlannedBlock extends NamedBlock {
  /** Samples later than this, ms, are cut away by tombstones; absent where the block is wanted whole. */
  cutAfterMs?: number | undefined
}

export interface RestorePlan<Point extends PlannablePoint> {
  point: Point
  /** Sources that have it; the first is read from, the others stand in for what it lost. */
  sources: string[]
  /** The time of the newest sample that the restore brings back, ms; null when there is none. */
  recoverableAt: number | null
  stoppedBy: StoppedBy
  /** Newest first: the order in which they are fetched and put in place. */
  blocks: PlannedBlock[]
  warnings: string[]
}

/**
 * Chooses the recovery point that brings a TSDB back to a moment. One holds what there was when it was made: what was deleted or came late
 * after an earlier moment is in it too (`later-blocks.ts` says when it answers for that all the same). Between recovery points the plan
 * is refused rather than made for another moment than was asked for.
 *
 * @throws NO_RECOVERY_POINT when there is none at all or none of that id, MOMENT_UNREACHABLE with the nearest moments
 */
export function planRestore<Point extends PlannablePoint>(sources: readonly PlanSource<Point>[], at: RestoreMoment, options: { nearest: boolean }): RestorePlan<Point> {
  const points = distinctPoints(sources)
  if (points.length === 0) {
    throw new PromDrError('NO_RECOVERY_POINT', 'there is no recovery point to restore', { hint: 'run "prom-dr list" to see what the repositories hold; check "instance" and the repository\'s prefix' })
  }
  const { point, stoppedBy } = choosePoint(points, at, options)
  const blocks = point.head.kind === 'block' ? [...point.blocks, point.head.block] : [...point.blocks]
  return {
    point,
    sources: sources.filter((source) => source.points.some((candidate) => candidate.id === point.id)).map((source) => source.name),
    recoverableAt: point.maxTime,
    stoppedBy,
    blocks: blocks.sort((a, b) => b.maxTime - a.maxTime || (a.ulid < b.ulid ? 1 : -1)),
    warnings: warningsOf(point, at),
  }
}

function warningsOf(point: PlannablePoint, at: RestoreMoment): string[] {
  const warnings: string[] = []
  if (point.head.kind === 'omitted') warnings.push(`recovery point ${point.id} was made without the head: samples newer than its newest block are not in it`)
  if (point.head.kind === 'wal') warnings.push(`recovery point ${point.id} has its head in the shipped WAL (generation ${point.head.generation}), which cannot be followed to it: samples newer than its newest block are missing`)
  if (at.kind === 'time' && point.maxTime !== null && point.maxTime > at.ms) {
    warnings.push(`recovery point ${point.id} has samples that their targets dated ahead, up to ${new Date(point.maxTime).toISOString()}`)
  }
  return warnings
}

/** Oldest first; the same recovery point in several sources counts once. Those of components alone are none to restore a TSDB from. */
function distinctPoints<Point extends PlannablePoint>(sources: readonly PlanSource<Point>[]): Point[] {
  const byId = new Map<string, Point>()
  for (const point of sources.flatMap((source) => source.points)) if (holdsTsdb(point) && !byId.has(point.id)) byId.set(point.id, point)
  return [...byId.values()].sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
}

function choosePoint<Point extends PlannablePoint>(points: readonly Point[], at: RestoreMoment, options: { nearest: boolean }): { point: Point; stoppedBy: StoppedBy } {
  if (at.kind === 'latest') return { point: points.at(-1) as Point, stoppedBy: 'recovery-point' }
  if (at.kind === 'recovery-point') {
    const point = points.find((candidate) => candidate.id === at.id)
    if (point !== undefined) return { point, stoppedBy: 'recovery-point' }
    throw new PromDrError('NO_RECOVERY_POINT', `there is no recovery point ${at.id}`, { hint: 'run "prom-dr list" to see the ids; one of components alone is restored with --only' })
  }
  const before = points.filter((point) => point.createdAt <= at.ms).at(-1)
  if (before?.createdAt === at.ms) return { point: before, stoppedBy: 'recovery-point' }
  if (options.nearest && before !== undefined) return { point: before, stoppedBy: 'nearest' }
  throw unreachable(points, at.ms, before)
}

function unreachable(points: readonly PlannablePoint[], atMs: number, before: PlannablePoint | undefined): PromDrError {
  const after = points.find((point) => point.createdAt > atMs)
  const asked = new Date(atMs).toISOString()
  const name = (point: PlannablePoint) => `${new Date(point.createdAt).toISOString()} (${point.id})`
  const why = before === undefined ? 'it is before the first recovery point' : after === undefined ? 'it is after the newest recovery point' : 'it lies between two recovery points'
  const nearest = [before && `before it ${name(before)}`, after && `after it ${name(after)}`].filter((text) => text !== undefined).join(', ')
  return new PromDrError('MOMENT_UNREACHABLE', `${asked} cannot be reached: ${why}; nearest is ${nearest}`, {
    hint: before === undefined ? `restore --at ${after?.id ?? 'latest'}` : `restore --at ${before.id}, or add --nearest to take the one before`,
    details: { before: before?.id ?? null, after: after?.id ?? null },
  })
}
