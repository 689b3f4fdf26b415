import type { NamedBlock } from './recovery-point.ts'
import { type WalChain, type WalPiece, type WalPosition, chainFrom } from './wal-stream.ts'

/** What one generation of one repository offers. */
export interface StreamInventory {
  repository: string
  generation: {
    id: string
    startedAt: number
    parent: { generation: string; at: number } | null
    /** The first segment it has. */
    firstSegment: number
    /** The checkpoint before that segment; null when the log was there from its very start. */
    checkpoint: number | null
  }
  wal: readonly WalPiece[]
  wbl: readonly WalPiece[]
  checkpoints: readonly StreamCheckpoint[]
  heartbeat: { at: number; segment: number; offset: number } | undefined
}

export interface StreamCheckpoint {
  segment: number
  /** Samples before this time, ms, are not in it; null when no block had taken any. */
  bound: number | null
  files: readonly { number: number; length: number; digest: string }[]
}

/** A recovery point that a log can be replayed onto. */
export interface ReplayBase {
  id: string
  createdAt: number
  blocks: readonly NamedBlock[]
}

/** The log that brings a base further: a checkpoint, if it begins with one, and what follows it. */
export interface WalReplay {
  baseId: string
  repository: string
  generation: string
  checkpoint: StreamCheckpoint | undefined
  pieces: WalPiece[]
  wbl: WalPiece[]
  /** Everything that was logged up to this moment, ms, is there. */
  knownUntil: number
  stoppedBy: 'moment' | 'end' | 'gap'
  stop: WalPosition | undefined
}

/** The end of the newest in-order block, ms: a server starting on the blocks ignores older samples of the log. */
export function replayBoundMs(blocks: readonly NamedBlock[]): number | null {
  return blocks.reduce<number | null>((newest, block) => (block.inOrder ? Math.max(newest ?? block.maxTime, block.maxTime) : newest), null)
}

/**
 * The log of one generation that continues the blocks of a base, as far as it goes; undefined when none does. It may begin with a
 * checkpoint only when that still has every sample that the blocks have not: its bound is at most the end of the newest in-order
 * block. Of several the newest is taken, as it leaves the least to replay.
 */
export function replayOnto(base: ReplayBase, stream: StreamInventory): WalReplay | undefined {
  const bound = replayBoundMs(base.blocks)
  const starts = stream.checkpoints.filter((checkpoint) => checkpoint.bound === null || (bound !== null && checkpoint.bound <= bound)).sort((a, b) => b.segment - a.segment)
  for (const checkpoint of [...starts, undefined]) {
    if (checkpoint === undefined && stream.generation.checkpoint !== null) continue
    const first = checkpoint === undefined ? stream.generation.firstSegment : checkpoint.segment + 1
    const chain = chainFrom(stream.wal, first)
    const knownUntil = knownUntilOf(chain, stream, first)
    if (knownUntil === undefined) continue
    return { baseId: base.id, repository: stream.repository, generation: stream.generation.id, checkpoint, pieces: chain.pieces, wbl: segmentRuns(stream.wbl), knownUntil, stoppedBy: chain.end.kind, stop: chain.position }
  }
  return undefined
}

/** The WBL loses its oldest segments at every out-of-order compaction, so that its segments stand each for itself; the WAL beside it says whose history they are. */
function segmentRuns(pieces: readonly WalPiece[]): WalPiece[] {
  const segments = [...new Set(pieces.map((piece) => piece.segment))].sort((a, b) => a - b)
  return segments.flatMap((segment) => chainFrom(pieces.filter((piece) => piece.segment === segment), segment).pieces)
}

/** A heartbeat at the end of the chain says that nothing more was logged until then. */
function knownUntilOf(chain: WalChain, { heartbeat }: StreamInventory, firstSegment: number): number | undefined {
  const position = chain.position ?? { segment: firstSegment, offset: 0 }
  const covers = heartbeat !== undefined && chain.end.kind === 'end' && (heartbeat.segment < position.segment || (heartbeat.segment === position.segment && heartbeat.offset <= position.offset) || (heartbeat.segment === position.segment + 1 && heartbeat.offset === 0))
  const times = [chain.seenAt, covers ? heartbeat.at : null].filter((time) => time !== null)
  return times.length === 0 ? undefined : Math.max(...times)
}

/**
 * The replay that reaches `atMs`, or for `latest` the furthest: on the newest base made at or before it. Generations that the
 * newest timeline does not lead through are passed over: the branch that a restore left behind is another history.
 */
export function chooseReplay(bases: readonly ReplayBase[], streams: readonly StreamInventory[], at: { atMs: number } | 'latest'): WalReplay | undefined {
  const timeline = newestTimeline(streams)
  const sorted = [...bases].sort((a, b) => b.createdAt - a.createdAt)
  let best: WalReplay | undefined
  for (const base of sorted) {
    if (at !== 'latest' && base.createdAt > at.atMs) continue
    for (const { stream, untilMs } of timeline) {
      const found = replayOnto(base, stream)
      if (found === undefined) continue
      const replay = { ...found, knownUntil: Math.min(found.knownUntil, untilMs) }
      if (at === 'latest') {
        if (replay.knownUntil > base.createdAt && (best === undefined || replay.knownUntil > best.knownUntil)) best = replay
      } else if (replay.knownUntil >= at.atMs) {
        return { ...replay, stoppedBy: 'moment' }
      }
    }
    // An older base only replays more; it can reach further only where the newer one has no log at all.
    if (best !== undefined) return best
  }
  return best
}

/** Newest first: the newest generation of each repository and those that it descends from, each up to the moment where the next one left it. */
export function newestTimeline(streams: readonly StreamInventory[]): { stream: StreamInventory; untilMs: number }[] {
  const timeline: { stream: StreamInventory; untilMs: number }[] = []
  for (const repository of new Set(streams.map((stream) => stream.repository))) {
    const own = streams.filter((stream) => stream.repository === repository).sort((a, b) => b.generation.startedAt - a.generation.startedAt)
    let untilMs = Number.POSITIVE_INFINITY
    let parent: string | undefined
    for (const stream of own) {
      if (parent !== undefined && stream.generation.id !== parent) continue
      timeline.push({ stream, untilMs })
      parent = stream.generation.parent?.generation
      if (stream.generation.parent !== null) untilMs = Math.min(untilMs, stream.generation.parent.at)
    }
  }
  return timeline
}

/**
 * The pieces that a restore to `atMs` reads: the log up to that moment plus `slackMs`, in which scrapes that began before it
 * may still deliver. The piece that was first seen after that may begin before it: it is the last.
 */
export function piecesUntil(pieces: readonly WalPiece[], untilMs: number): WalPiece[] {
  const beyond = pieces.findIndex((piece) => piece.seenAt > untilMs)
  return beyond === -1 ? [...pieces] : pieces.slice(0, beyond + 1)
}
