import { type WalPiece, chainFrom } from './wal-stream.ts'

/**
 * Segments of the log of out-of-order samples of which pieces are missing that may have been logged by a moment, ms: something follows what
 * hangs together. A segment that is missing whole is none of them: out-of-order compaction removes the oldest at any time.
 */
export function brokenLateSegments(pieces: readonly WalPiece[], untilMs: number): number[] {
  const segments = [...new Set(pieces.map((piece) => piece.segment))].sort((a, b) => a - b)
  return segments.filter((segment) => {
    const own = pieces.filter((piece) => piece.segment === segment)
    const last = chainFrom(own, segment).pieces.at(-1)
    if (last !== undefined && last.seenAt > untilMs) return false
    return own.some((piece) => piece.end > (last?.end ?? 0))
  })
}
