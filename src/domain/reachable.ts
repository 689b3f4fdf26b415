import { type ReplayBase, type StreamInventory, newestTimeline, replayOnto } from './wal-plan.ts'
import { chainFrom } from './wal-stream.ts'

/** A range of moments, both ends included, ms. */
export interface MomentWindow {
  fromMs: number
  toMs: number
}

/** A range of moments that cannot be reached between two that can, ms. */
export interface StreamGap {
  repository: string
  /** Null: nothing before it is known. */
  fromMs: number | null
  toMs: number
  reason: string
}

/** Every moment that a log brings some base to, oldest first; windows that touch are one. */
export function exactWindows(bases: readonly ReplayBase[], streams: readonly StreamInventory[], last?: string): MomentWindow[] {
  const windows: MomentWindow[] = []
  for (const { stream, untilMs, leadsOn } of newestTimeline(streams, last)) {
    for (const base of bases) {
      const replay = leadsOn(base) ? replayOnto(base, stream, untilMs) : undefined
      const toMs = Math.min(replay?.knownUntil ?? Number.NEGATIVE_INFINITY, untilMs)
      if (toMs >= base.createdAt) windows.push({ fromMs: base.createdAt, toMs })
    }
  }
  return merged(windows)
}

function merged(windows: readonly MomentWindow[]): MomentWindow[] {
  const result: MomentWindow[] = []
  for (const window of [...windows].sort((a, b) => a.fromMs - b.fromMs || a.toMs - b.toMs)) {
    const before = result.at(-1)
    if (before === undefined || window.fromMs > before.toMs) result.push({ ...window })
    else before.toMs = Math.max(before.toMs, window.toMs)
  }
  return result
}

/** What the streams lack: what a shipper knew was lost when it began anew, and pieces that are not in the repository. */
export function streamGaps(streams: readonly StreamInventory[]): StreamGap[] {
  const gaps: StreamGap[] = []
  for (const stream of streams) {
    const { repository, generation } = stream
    if (generation.gap !== null) gaps.push({ repository, fromMs: generation.gap.from, toMs: generation.gap.to, reason: generation.gap.reason })
    gaps.push(...missingPieces(stream))
  }
  return gaps.sort((a, b) => a.toMs - b.toMs)
}

/** The log of a generation need only go on from its oldest checkpoint: what is before that may have expired. */
function missingPieces(stream: StreamInventory): StreamGap[] {
  const { repository, generation, wal, checkpoints } = stream
  const gaps: StreamGap[] = []
  const oldest = wal.reduce((least, { segment }) => Math.min(least, segment), Number.POSITIVE_INFINITY)
  const starts = checkpoints.map((checkpoint) => checkpoint.segment + 1).sort((a, b) => a - b)
  let first = generation.firstSegment
  if (oldest > first) first = starts.find((segment) => segment >= oldest) ?? first
  for (;;) {
    const { end, seenAt, position } = chainFrom(wal.filter((piece) => piece.segment >= first), first)
    if (end.kind === 'end') return gaps
    const next = starts.find((segment) => segment > (position?.segment ?? first))
    const after = wal.filter((piece) => piece.segment >= (next ?? end.at.segment) && (seenAt === null || piece.seenAt > seenAt))
    const toMs = after.reduce((least, piece) => Math.min(least, piece.seenAt), Number.POSITIVE_INFINITY)
    if (Number.isFinite(toMs)) gaps.push({ repository, fromMs: seenAt, toMs, reason: `segment ${String(end.at.segment).padStart(8, '0')} of generation ${generation.id} is missing in the repository from byte ${end.at.offset} on` })
    if (next === undefined) return gaps
    first = next
  }
}
