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
  /** The running digest up to `start`, by which it follows the piece before it; absent at a segment's start. */
  startDigest?: string | undefined
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
 * digests. Each begins where the one before it ended, with the same bytes before it, so that pieces of two shippers may
 * take turns and those of two histories cannot. Where histories part, the one that the next segment continues is followed,
 * otherwise the one that gets furthest, in as few pieces as there are: a sealed segment before its parts.
 */
export function chainFrom(all: readonly WalPiece[], firstSegment: number): WalChain {
  const bySegment = new Map<number, WalPiece[]>()
  for (const piece of all) {
    const others = bySegment.get(piece.segment)
    if (others === undefined) bySegment.set(piece.segment, [piece])
    else others.push(piece)
  }
  const chain: WalChain = { pieces: [], position: undefined, newestSample: null, seenAt: null, end: { kind: 'end' } }
  const segments = [...bySegment.keys()].filter((segment) => segment >= firstSegment).sort((a, b) => a - b)
  for (const [index, segment] of segments.entries()) {
    const next = bySegment.get(segments[index + 1] ?? -1) ?? []
    const path = longestPath(bySegment.get(segment) ?? [], { follows: (piece) => opens(piece, chain.pieces.at(-1), { segment, firstSegment }), next })
    if (path.length === 0) {
      chain.end = { kind: 'gap', at: chain.position ?? { segment: firstSegment, offset: 0 }, nextSegment: segment }
      return chain
    }
    for (const piece of path) extend(chain, piece)
    // Pieces beyond the end that nothing leads to: a part is missing, unless the next segment says that this was the end.
    const last = path.at(-1)
    const lost = (bySegment.get(segment) ?? []).some((piece) => piece.end > (last?.end ?? 0)) && !next.some((opening) => last !== undefined && continues(opening, last))
    if (lost) {
      chain.end = { kind: 'gap', at: chain.position ?? { segment, offset: 0 }, nextSegment: segment }
      return chain
    }
  }
  return chain
}

/** A place that pieces lead to, and the last of them. */
interface Reached {
  piece: WalPiece
  before: Reached | undefined
  steps: number
}

function longestPath(candidates: readonly WalPiece[], beside: { follows(piece: WalPiece): boolean; next: readonly WalPiece[] }): WalPiece[] {
  const reached = new Map<number, Reached[]>()
  const sorted = [...candidates].sort((a, b) => a.start - b.start || b.end - a.end || Number(b.sealed) - Number(a.sealed) || a.seenAt - b.seenAt)
  for (const piece of sorted) {
    const before = (reached.get(piece.start) ?? []).filter((place) => piece.startDigest === undefined || piece.startDigest === place.piece.digest).sort((a, b) => a.steps - b.steps)[0]
    if (piece.end <= piece.start || (piece.start === 0 ? !beside.follows(piece) : before === undefined)) continue
    const place = { piece, before, steps: (before?.steps ?? 0) + 1 }
    const there = reached.get(piece.end) ?? []
    if (there.some((other) => other.piece.digest === piece.digest && other.steps <= place.steps)) continue
    reached.set(piece.end, [...there.filter((other) => other.piece.digest !== piece.digest), place])
  }
  const places = [...reached.values()].flat().sort((a, b) => b.piece.end - a.piece.end || a.piece.seenAt - b.piece.seenAt)
  const path: WalPiece[] = []
  for (let place = places.find(({ piece }) => beside.next.some((opening) => opening.start === 0 && continues(opening, piece))) ?? places[0]; place !== undefined; place = place.before) path.unshift(place.piece)
  return path
}

/**
 * Whether a chain may go on (or begin) with a segment's first piece. Segments between that have no pieces were empty when the
 * piece names what was before them.
 */
function opens(piece: WalPiece, after: WalPiece | undefined, at: { segment: number; firstSegment: number }): boolean {
  if (after !== undefined) return continues(piece, after)
  return at.segment === at.firstSegment || piece.predecessor === undefined || piece.predecessor.segment < at.firstSegment
}

/** Whether a segment's first piece names the end that was reached. */
function continues({ predecessor }: WalPiece, after: WalPiece): boolean {
  return predecessor !== undefined && predecessor.segment === after.segment && predecessor.length === after.end && predecessor.digest === after.digest
}

function extend(chain: WalChain, piece: WalPiece): void {
  chain.pieces.push(piece)
  chain.position = { segment: piece.segment, offset: piece.end }
  if (piece.newestSample !== null) chain.newestSample = Math.max(chain.newestSample ?? piece.newestSample, piece.newestSample)
  chain.seenAt = piece.seenAt
}

/**
 * Whether a checkpoint and the chain that begins after it are of one history: the chain has the end that was shipped before the
 * checkpoint was read, or follows it.
 */
export function belongsTo(chain: WalChain, checkpoint: { after?: SegmentEnd | undefined }): boolean {
  const { after } = checkpoint
  if (after === undefined || chain.pieces.length === 0) return true
  const first = chain.pieces[0]?.predecessor
  return [...chain.pieces.map(({ segment, end, digest }) => ({ segment, length: end, digest })), ...(first === undefined ? [] : [first])].some(({ segment, length, digest }) => segment === after.segment && length === after.length && digest === after.digest)
}

export function comparePositions(a: WalPosition, b: WalPosition): number {
  return a.segment - b.segment || a.offset - b.offset
}

export function formatPosition(position: WalPosition): string {
  return `${String(position.segment).padStart(8, '0')}:${position.offset}`
}
