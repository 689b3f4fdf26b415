/** A place in a log of segments, as Prometheus counts: bytes from the start of the segment's file. */
export interface WalPosition {
  segment: number
  offset: number
}

export type WalLog = 'wal' | 'wbl'

/** How a segment ended that is followed by another. */
export interface SegmentEnd {
  segment: number
  /** Final length in bytes. */
  length: number
  /** SHA-256 of the whole segment, lowercase hex. */
  digest: string
}

/**
 * A stored stretch of one segment: bytes [start, end) that end at a record boundary. `digest` is the running SHA-256 of the segment
 * up to `end`, so that pieces of two histories cannot be joined; the first piece of a segment also says how its
 * predecessor ended.
 */
export interface WalPiece {
  log: WalLog
  segment: number
  start: number
  end: number
  /** Newest sample in it, ms, capped at `seenAt`; null when it has none. */
  newestSample: number | null
  /** Wall-clock time at which the bytes were first seen, ms. */
  seenAt: number
  digest: string
  predecessor: SegmentEnd | undefined
  /** True when it is the whole of a segment that another follows: nothing comes after it in this segment. */
  sealed: boolean
  key: string
  storedBytes: number
}

/** Why a stream ends where it does. */
export type StreamEnd =
  | { kind: 'end' }
  /** A stretch of a segment is missing, from this position on. */
  | { kind: 'gap'; at: WalPosition; nextSegment: number | undefined }

export interface WalChain {
  /** In order; each continues where the one before it ended. */
  pieces: WalPiece[]
  /** Where the chain ends; undefined when it is empty. */
  position: WalPosition | undefined
  newestSample: number | null
  /** First-seen time of the last piece, ms. */
  seenAt: number | null
  end: StreamEnd
}

/**
 * The pieces that follow one another from the start of `firstSegment`, by what their names say; whoever reads them checks the
 * digests. Of several pieces that start at the same place the longest is taken: a sealed segment before its parts. A piece that
 * starts inside what is covered already is passed over.
 */
export function chainFrom(all: readonly WalPiece[], firstSegment: number): WalChain {
  const bySegment = new Map<number, WalPiece[]>()
  for (const piece of all) bySegment.set(piece.segment, [...(bySegment.get(piece.segment) ?? []), piece])
  const chain: WalChain = { pieces: [], position: undefined, newestSample: null, seenAt: null, end: { kind: 'end' } }
  for (let segment = firstSegment; ; segment += 1) {
    const candidates = bySegment.get(segment)
    if (candidates === undefined) {
      const later = [...bySegment.keys()].filter((other) => other > segment).sort((a, b) => a - b)[0]
      if (later !== undefined) chain.end = { kind: 'gap', at: chain.position ?? { segment, offset: 0 }, nextSegment: later }
      return chain
    }
    if (!continues(chain, candidates, segment === firstSegment)) {
      chain.end = { kind: 'gap', at: chain.position ?? { segment, offset: 0 }, nextSegment: segment }
      return chain
    }
    extend(chain, candidates)
  }
}

/** Whether the segment's first piece names the end that the chain has reached. */
function continues(chain: WalChain, candidates: readonly WalPiece[], first: boolean): boolean {
  const opening = candidates.filter((piece) => piece.start === 0)
  if (opening.length === 0) return false
  if (first) return true
  const last = chain.pieces.at(-1)
  return last !== undefined && opening.some(({ predecessor }) => predecessor !== undefined && predecessor.segment === last.segment && predecessor.length === last.end && predecessor.digest === last.digest)
}

function extend(chain: WalChain, candidates: readonly WalPiece[]): void {
  let offset = 0
  for (;;) {
    const next = candidates.filter((piece) => piece.start === offset).sort((a, b) => b.end - a.end || a.seenAt - b.seenAt)[0]
    if (next === undefined || next.end <= offset) return
    chain.pieces.push(next)
    chain.position = { segment: next.segment, offset: next.end }
    if (next.newestSample !== null) chain.newestSample = Math.max(chain.newestSample ?? next.newestSample, next.newestSample)
    chain.seenAt = next.seenAt
    offset = next.end
  }
}

export function comparePositions(a: WalPosition, b: WalPosition): number {
  return a.segment - b.segment || a.offset - b.offset
}

export function formatPosition(position: WalPosition): string {
  return `${String(position.segment).padStart(8, '0')}:${position.offset}`
}
