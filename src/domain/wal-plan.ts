import type { NamedBlock } from './recovery-point.ts'
import { type SegmentEnd, type WalChain, type WalPiece, type WalPosition, chainFrom } from './wal-stream.ts'

/** The generation and moment, ms, that a server was restored from before it began another one. */
export interface GenerationParent {
  generation: string
  at: number
  /** When it was restored, ms, and from which recovery point. Absent where an earlier version noted it. */
  restoredAt?: number | undefined
  recoveryPoint?: string | undefined
}

/** What one generation of one repository offers. */
export interface StreamInventory {
  repository: string
  generation: {
    id: string
    startedAt: number
    reason: string
    parent: GenerationParent | null
    /** The first segment it has. */
    firstSegment: number
    /** The checkpoint before that segment; null when the log was there from its very start. */
    checkpoint: number | null
    /** End of the newest in-order block when it began, ms: samples before it may be in no log. Null when there was no block. */
    bound: number | null
    gap: { from: number | null; to: number; reason: string } | null
  }
  wal: readonly WalPiece[]
  wbl: readonly WalPiece[]
  checkpoints: readonly StreamCheckpoint[]
  heartbeat: { at: number; knownUntil?: number | null | undefined; segment: number; offset: number } | undefined
}

export interface StreamCheckpoint {
  segment: number
  /** Samples before this time, ms, are not in it; null when no block had taken any. */
  bound: number | null
  /** When it was read, ms. */
  seenAt: number
  /** The finished segment that lay before it was read: it belongs only to a log that has this end. */
  after?: SegmentEnd | undefined
  files: readonly { number: number; length: number; digest: string }[]
}

/** A recovery point that a log can be replayed onto. */
export interface ReplayBase {
  id: string
  createdAt: number
  blocks: readonly BoundingBlock[]
}

/** What of a block decides how much of the log is replayed. */
export type BoundingBlock = Pick<NamedBlock, 'inOrder' | 'maxTime'>

/** The log that brings a base further: a checkpoint, if it begins with one, and what follows it. */
export interface WalReplay {
  baseId: string
  repository: string
  generation: string
  checkpoint: StreamCheckpoint | undefined
  pieces: WalPiece[]
  wbl: WalPiece[]
  /** Everything that was logged up to this moment, ms, is there; undefined where nothing tells. */
  knownUntil: number | undefined
  /** When the last of it was seen, ms: a shipper that was catching up had not seen all that was logged by then. */
  seenUntil: number
  /** The moment that it must be cut at, ms; undefined when all of it is wanted. */
  cutAt: number | undefined
  stoppedBy: 'moment' | 'end' | 'gap'
  stop: WalPosition | undefined
  /** Pieces of the log of out-of-order samples are missing. */
  lacksLateSamples?: boolean | undefined
}

/** The end of the newest in-order block, ms: a server starting on the blocks ignores older samples of the log. */
export function replayBoundMs(blocks: readonly BoundingBlock[]): number | null {
  return blocks.reduce<number | null>((newest, block) => (block.inOrder ? Math.max(newest ?? block.maxTime, block.maxTime) : newest), null)
}

/** Blocks that a restore to a moment may bring: an in-order block that ends later would hide the samples of the log before its end. */
export function blocksUntil<Block extends BoundingBlock>(blocks: readonly Block[], atMs: number): Block[] {
  return blocks.filter((block) => !block.inOrder || block.maxTime <= atMs)
}

/** Whether a recovery point is of the history that a restore left behind: it was made after the moment that was restored, from the server as it was. */
export function isLeftBehind({ id, createdAt }: { id: string; createdAt: number }, { at, restoredAt, recoveryPoint }: GenerationParent): boolean {
  return restoredAt !== undefined && createdAt > at && createdAt < restoredAt && id !== recoveryPoint
}

/** Whether nothing leads from a recovery point to a generation: it is of a history that was left behind, or what was logged after it is lost. */
function isCutOff(base: ReplayBase, { parent, gap, startedAt }: StreamInventory['generation']): boolean {
  return (parent !== null && isLeftBehind(base, parent)) || (gap !== null && base.createdAt < Math.min(gap.to, startedAt))
}

/**
 * The log of one generation that continues the blocks of a base, as far as it goes; undefined when none does. It may begin with a
 * checkpoint, or with the generation itself, only where that still has every sample that the blocks have not: its bound is at most
 * the end of the newest in-order block that a restore to `limitMs` brings. Of several the newest is taken, as it leaves the least to
 * replay, and those read before the limit first: a later one may have been written after deletions that came later.
 */
export function replayOnto(base: ReplayBase, stream: StreamInventory, limitMs = Number.POSITIVE_INFINITY): WalReplay | undefined {
  const end = replayBoundMs(blocksUntil(base.blocks, limitMs))
  const reaches = (bound: number | null) => bound === null || (end !== null && bound <= end)
  const starts = stream.checkpoints.filter((checkpoint) => reaches(checkpoint.bound)).sort((a, b) => Number(a.seenAt > limitMs) - Number(b.seenAt > limitMs) || b.segment - a.segment)
  for (const checkpoint of [...starts, undefined]) {
    if (checkpoint === undefined && (stream.generation.checkpoint !== null || !reaches(stream.generation.bound))) continue
    const first = checkpoint === undefined ? stream.generation.firstSegment : checkpoint.segment + 1
    const chain = chainFrom(stream.wal.filter((piece) => piece.segment >= first), first)
    const reach = reachOf(chain, stream, first)
    if (reach === undefined || (checkpoint !== undefined && !belongs(checkpoint, chain))) continue
    return { baseId: base.id, repository: stream.repository, generation: stream.generation.id, checkpoint, pieces: chain.pieces, wbl: segmentRuns(stream.wbl), ...reach, cutAt: undefined, stoppedBy: chain.end.kind, stop: chain.position }
  }
  return undefined
}

/** Whether a checkpoint is of the history that follows it, as far as what is left of that tells. */
function belongs({ after }: StreamCheckpoint, { pieces }: WalChain): boolean {
  if (after === undefined) return true
  const there = pieces.filter((piece) => piece.segment === after.segment).map(({ end, digest }) => ({ length: end, digest }))
  const before = pieces[0]?.predecessor
  if (there.length === 0 && before?.segment === after.segment) there.push(before)
  return there.length === 0 || there.some(({ length, digest }) => length === after.length && digest === after.digest)
}

/** The WBL loses its oldest segments at every out-of-order compaction, so that its segments stand each for itself; the WAL beside it says whose history they are. */
export function segmentRuns(pieces: readonly WalPiece[]): WalPiece[] {
  const segments = [...new Set(pieces.map((piece) => piece.segment))].sort((a, b) => a - b)
  return segments.flatMap((segment) => chainFrom(pieces.filter((piece) => piece.segment === segment), segment).pieces)
}

/**
 * A heartbeat at the end of the chain says that nothing more was logged until then. Of what was stored after it, by a shipper that was catching
 * up perhaps, nothing says how much more there was; without one the samples tell. Undefined where there is nothing.
 */
function reachOf(chain: WalChain, { heartbeat }: StreamInventory, firstSegment: number): Pick<WalReplay, 'knownUntil' | 'seenUntil'> | undefined {
  const position = chain.position ?? { segment: firstSegment, offset: 0 }
  const covers = heartbeat !== undefined && chain.end.kind === 'end' && (heartbeat.segment < position.segment || (heartbeat.segment === position.segment && heartbeat.offset <= position.offset) || (heartbeat.segment === position.segment + 1 && heartbeat.offset === 0))
  const known = !covers ? null : heartbeat.knownUntil === undefined ? heartbeat.at : heartbeat.knownUntil
  const times = [chain.seenAt, known].filter((time) => time !== null)
  if (times.length === 0) return undefined
  const seenUntil = Math.max(...times)
  // Where pieces are missing at its end, the last of those that are left was followed by others.
  if (heartbeat !== undefined && !covers && chain.seenAt !== null) return { seenUntil, knownUntil: chain.seenAt }
  const newest = newestSampleOf(chain.pieces)
  return { seenUntil, knownUntil: known ?? (Number.isFinite(newest) ? Math.min(newest, seenUntil) : undefined) }
}

function newestSampleOf(pieces: readonly WalPiece[]): number {
  return pieces.reduce((newest, piece) => Math.max(newest, piece.newestSample ?? Number.NEGATIVE_INFINITY), Number.NEGATIVE_INFINITY)
}

/** Up to when, ms, a log has what was logged: after the last moment for which that is known, its samples tell. */
export function loggedUntil({ knownUntil = Number.NEGATIVE_INFINITY, seenUntil, pieces }: WalReplay): number {
  return Math.max(knownUntil, Math.min(newestSampleOf(pieces), seenUntil))
}

/**
 * The replay that reaches `atMs`, or for `latest` the furthest: on the newest base made at or before it. Generations that the
 * newest timeline does not lead through are passed over: the branch that a restore left behind is another history. With `generation`
 * the timeline ends in that one.
 */
export function chooseReplay(bases: readonly ReplayBase[], streams: readonly StreamInventory[], request: { atMs: number | 'latest'; generation?: string | undefined }): WalReplay | undefined {
  const { atMs } = request
  const timeline = newestTimeline(streams, request.generation)
  const newestFirst = [...timeline.entries()]
  // The generation that was shipped at a moment knows when what was logged before it was, and which deletions were made by then; a later one does not.
  const repositories = [...new Set(timeline.map(({ stream }) => stream.repository))]
  const inOrder = atMs === 'latest' ? newestFirst : repositories.flatMap((repository) => newestFirst.filter(([, { stream }]) => stream.repository === repository).reverse())
  const sorted = [...bases].sort((a, b) => b.createdAt - a.createdAt)
  let best: WalReplay | undefined
  for (const base of sorted) {
    if (atMs !== 'latest' && base.createdAt > atMs) continue
    for (const [at, { stream, untilMs, leadsOn }] of inOrder) {
      const found = leadsOn(base) ? replayOnto(base, stream, Math.min(untilMs, atMs === 'latest' ? Number.POSITIVE_INFINITY : atMs)) : undefined
      if (found === undefined) continue
      // What was logged since is in a later generation, which this base does not lead to.
      const goesOn = timeline.slice(0, at).some((later) => later.stream.repository === stream.repository && later.stream.wal.length > 0)
      const whole = goesOn ? { ...found, stoppedBy: 'gap' as const } : found
      const replay = whole.seenUntil > untilMs ? { ...whole, knownUntil: whole.knownUntil === undefined ? undefined : Math.min(whole.knownUntil, untilMs), seenUntil: untilMs, cutAt: untilMs } : whole
      if (atMs === 'latest') {
        if (replay.seenUntil > base.createdAt && (best === undefined || loggedUntil(replay) > loggedUntil(best))) best = replay
      } else if (replay.knownUntil !== undefined && replay.knownUntil >= atMs) {
        return { ...replay, cutAt: atMs, stoppedBy: 'moment' }
      }
    }
    // An older base only replays more; it can reach further only where the newer one has no log at all.
    if (best !== undefined) return best
  }
  return best
}

/** A generation of a timeline, and the moment, ms, where the next one left it. */
export interface TimelineEntry<Stream extends StreamInventory> {
  stream: Stream
  untilMs: number
  /** Whether a recovery point is of the history that leads to this generation: not of one that a restore left behind, nor from before a gap. */
  leadsOn(base: ReplayBase): boolean
}

/**
 * Newest first: the newest generation of each repository (or the one that was asked for) and those that it descends from, each up to the
 * moment where the next one left it.
 */
export function newestTimeline<Stream extends StreamInventory>(streams: readonly Stream[], last?: string): TimelineEntry<Stream>[] {
  const timeline: TimelineEntry<Stream>[] = []
  for (const repository of new Set(streams.map((stream) => stream.repository))) {
    const sorted = streams.filter((stream) => stream.repository === repository).sort((a, b) => b.generation.startedAt - a.generation.startedAt)
    const own = last === undefined ? sorted : sorted.slice(sorted.findIndex((stream) => stream.generation.id === last))
    if (last !== undefined && own[0]?.generation.id !== last) continue
    let untilMs = Number.POSITIVE_INFINITY
    let parent: string | undefined
    const followed: StreamInventory['generation'][] = []
    for (const stream of own) {
      if (parent !== undefined && stream.generation.id !== parent) continue
      const ends = untilMs
      const from = followed.push(stream.generation) - 1
      timeline.push({ stream, untilMs, leadsOn: (base) => base.createdAt <= ends && !followed.slice(from).some((generation) => isCutOff(base, generation)) })
      parent = stream.generation.parent?.generation
      if (stream.generation.parent !== null) untilMs = Math.min(untilMs, stream.generation.parent.at)
    }
  }
  return timeline
}

/** A stretch of a segment whose bytes, up to `end`, were first seen at `seenAt` and logged after `loggedAfter`, ms. */
export interface LogSpan {
  end: number
  seenAt: number
  loggedAfter: number
}

export interface DatedPiece {
  piece: WalPiece
  /** In order; the last ends where the piece does. */
  spans: LogSpan[]
}

/**
 * When what is in the pieces of a log was logged. Of a sealed segment `parts` tells the stretches that it was shipped in, where they are
 * known. What was first seen at one look had not been seen at the one before; where in the log that one ended is not known exactly, so that
 * a stretch's first bytes may have been there then: the look before that is the safe bound.
 */
export function datePieces(pieces: readonly WalPiece[], parts: ReadonlyMap<string, readonly { end: number; seenAt: number }[]> = new Map()): DatedPiece[] {
  const looks: number[] = []
  const dated = pieces.map((piece) => {
    const stretches = parts.get(piece.key) ?? [{ end: piece.end, seenAt: piece.seenAt }]
    const spans = stretches.map(({ end, seenAt }) => {
      // Of a clock that was set back: what it had told before says nothing of what was logged since.
      while ((looks.at(-1) ?? seenAt) > seenAt) looks.pop()
      if (looks.at(-1) !== seenAt) looks.push(seenAt)
      return { end, seenAt, loggedAfter: looks.at(-3) ?? Number.NEGATIVE_INFINITY }
    })
    return { piece, spans }
  })
  // Nor of what was logged before that.
  let least = Number.POSITIVE_INFINITY
  for (const span of dated.flatMap(({ spans }) => spans).reverse()) span.loggedAfter = least = Math.min(least, span.loggedAfter)
  return dated
}

/** The pieces in which something may be that was logged by `untilMs`: what a restore reads of the log. */
export function piecesUntil(pieces: readonly WalPiece[], untilMs: number): WalPiece[] {
  return datePieces(pieces).filter(({ spans }) => spans.some(({ loggedAfter }) => loggedAfter <= untilMs)).map(({ piece }) => piece)
}
