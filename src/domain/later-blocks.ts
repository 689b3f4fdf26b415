import type { NamedBlock } from './recovery-point.ts'
import type { PlannablePoint, PlannedBlock } from './restore-plan.ts'
import { type MomentWindow, exactWindows } from './reachable.ts'
import { type StreamInventory, replayBoundMs } from './wal-plan.ts'

/** How a moment before a recovery point was made is brought back from that recovery point. */
export interface LaterBlocks<Point extends PlannablePoint> {
  /** The recovery point, with the blocks that are wanted of it and of the one before the moment. */
  point: Point
  /** The newest recovery point made at or before the moment. */
  before: Point | undefined
  /** Blocks whose deletions are taken as they were before the moment: those made since may have come later. */
  undeleted: string[]
  /** Whether anything but the later recovery point's own blocks and deletions is in it. */
  mixed: boolean
}

/** The last moment, ms, up to which a recovery point has every sample in its blocks; undefined when nothing is known to be complete. */
export function completeUntilMs(point: PlannablePoint): number | undefined {
  if (point.head.kind === 'block' || point.head.kind === 'empty') return point.createdAt
  const bound = replayBoundMs(point.blocks)
  return bound === null ? undefined : Math.min(bound - 1, point.createdAt)
}

/** Recovery points made after a moment that have every sample up to it, the one made first before the others. */
export function laterPoints<Point extends PlannablePoint>(points: readonly Point[], atMs: number): Point[] {
  const holding = points.filter((point) => point.createdAt > atMs && (completeUntilMs(point) ?? Number.NEGATIVE_INFINITY) >= atMs && allOf(point).some((block) => block.minTime <= atMs))
  return holding.sort((a, b) => a.createdAt - b.createdAt)
}

/**
 * The moments between recovery points that are older than all that the log reaches: there blocks that were made later are what is left of
 * it. Undefined when there are none, also in a repository without any log; a gap of the log is not among them.
 */
export function windowBeforeLog(points: readonly PlannablePoint[], streams: readonly StreamInventory[]): MomentWindow | undefined {
  const fromMs = Math.min(...points.map((point) => point.createdAt))
  const later = points.filter((point) => point.createdAt > fromMs).map((point) => completeUntilMs(point) ?? Number.NEGATIVE_INFINITY)
  const [byLog] = exactWindows(points, streams)
  const toMs = Math.min((byLog?.fromMs ?? Number.NEGATIVE_INFINITY) - 1, Math.max(...later))
  return toMs > fromMs ? { fromMs, toMs } : undefined
}

/**
 * A moment between two recovery points from the blocks of both: those of the earlier one, which no later deletion touched, continued by
 * those of the later one, which hold the rest. A block written after the moment has the deletions in it that were made until then, and samples
 * that came late; where the earlier recovery point has as much in blocks of its own, those are taken, and of a block that both name the
 * deletions of the earlier one, unless `includeDeletes` wants the later ones.
 */
export function joinLaterBlocks<Point extends PlannablePoint>(points: readonly Point[], later: Point, request: { atMs: number; includeDeletes: boolean }): LaterBlocks<Point> {
  const { atMs, includeDeletes } = request
  const before = points.filter((point) => point.createdAt <= atMs).sort((a, b) => a.createdAt - b.createdAt).at(-1)
  const own = new Map(later.blocks.map((block) => [block.ulid, block]))
  const kept = new Map((before?.blocks ?? []).filter((block) => block.minTime <= atMs).map((block) => [block.ulid, block]))
  const boundMs = replayBoundMs([...kept.values()]) ?? Number.NEGATIVE_INFINITY
  const undeleted: string[] = []
  for (const block of later.blocks) {
    if (block.minTime > atMs) continue
    const shared = kept.get(block.ulid)
    if (shared !== undefined) {
      if (shared.tombstones?.sha256 === block.tombstones?.sha256) continue
      if (includeDeletes) kept.set(block.ulid, block)
      else undeleted.push(block.ulid)
      continue
    }
    // What was compacted into it. Prometheus would remove it beside its successor.
    const replaced = [...kept.values()].filter((other) => !own.has(other.ulid) && other.minTime >= block.minTime && other.maxTime <= block.maxTime)
    const hasMore = block.numSamples > replaced.reduce((sum, { numSamples }) => sum + numSamples, 0)
    if (block.maxTime <= boundMs && !hasMore) continue
    for (const { ulid } of replaced) kept.delete(ulid)
    kept.set(block.ulid, block)
  }
  const { head } = later
  const blocks = [...kept.values()]
  const mixed = blocks.some((block) => own.get(block.ulid)?.tombstones?.sha256 !== block.tombstones?.sha256 || !own.has(block.ulid))
  return { point: { ...later, blocks, head: head.kind === 'block' && head.block.minTime <= atMs ? head : { kind: 'empty' } }, before, undeleted, mixed }
}

/** Marks the blocks that reach beyond a moment. */
export function cutAt(blocks: readonly NamedBlock[], atMs: number): PlannedBlock[] {
  return blocks.map((block) => (block.maxTime - 1 > atMs ? { ...block, cutAfterMs: atMs } : block))
}

function allOf({ blocks, head }: PlannablePoint): NamedBlock[] {
  return head.kind === 'block' ? [...blocks, head.block] : [...blocks]
}
