import { type WalPiece, comparePositions } from './wal-stream.ts'

/** What is stored of a generation, for deciding what of it is kept. */
export interface WindowGeneration {
  id: string
  startedAt: number
  /** It is still being written. */
  current: boolean
  /** Last sign of life, ms. */
  lastSeenAt: number
  newestSample: number | null
  checkpoints: readonly { segment: number; bound: number | null; seenAt: number }[]
  wal: readonly WalPiece[]
  wbl: readonly WalPiece[]
}

export interface WindowPoint {
  createdAt: number
  /** It has no head of its own: the log is its newest part, from this generation on. Undefined for all others. */
  headInGeneration: string | undefined
  /** End of its newest in-order block, ms. */
  bound: number | null
}

/** What of a generation goes: everything, or what comes before a checkpoint. */
export interface WalRemoval {
  generation: string
  /** The checkpoint that the rest begins with; undefined when nothing is left. */
  upTo: number | undefined
  checkpoints: number[]
  pieces: WalPiece[]
  reason: string
}

/** From the start of a WBL segment to the end of the out-of-order compaction that began it, with plenty to spare. */
const outOfOrderCompactionMs = 2 * 3_600_000

/**
 * The WAL that is older than the window and has been replaced: up to a shipped checkpoint, and only when a recovery point from
 * before the window's beginning has blocks that reach to the bound of that checkpoint, so that every moment of the window stays in
 * reach. What a recovery point without a head needs stays for as long as that recovery point.
 */
export function planWalWindow(generations: readonly WindowGeneration[], points: readonly WindowPoint[], window: { nowMs: number; windowMs: number }): WalRemoval[] {
  const cutoffMs = window.nowMs - window.windowMs
  return generations.flatMap((generation) => {
    const relying = points.filter((point) => point.headInGeneration === generation.id || (point.headInGeneration !== undefined && point.createdAt >= generation.startedAt && (generation.current || point.createdAt <= generation.lastSeenAt)))
    const removal = wholly(generation, points, { cutoffMs, relying }) ?? upToCheckpoint(generation, points, { cutoffMs, relying })
    return removal === undefined || removal.pieces.length + removal.checkpoints.length === 0 ? [] : [removal]
  })
}

interface Circumstances {
  cutoffMs: number
  relying: readonly WindowPoint[]
}

/** A generation that ended before the window, whose samples recovery points made since have in blocks. */
function wholly(generation: WindowGeneration, points: readonly WindowPoint[], { cutoffMs, relying }: Circumstances): WalRemoval | undefined {
  const { id, current, lastSeenAt, newestSample } = generation
  if (current || lastSeenAt > cutoffMs || relying.length > 0) return undefined
  const replaced = newestSample === null || points.some((point) => point.createdAt >= lastSeenAt && point.bound !== null && point.bound > newestSample)
  if (!replaced) return undefined
  return { generation: id, upTo: undefined, checkpoints: generation.checkpoints.map(({ segment }) => segment), pieces: inOrder([...generation.wal, ...generation.wbl]), reason: 'it ended before the window, and blocks have its samples' }
}

function upToCheckpoint(generation: WindowGeneration, points: readonly WindowPoint[], { cutoffMs, relying }: Circumstances): WalRemoval | undefined {
  const newestFirst = [...generation.checkpoints].sort((a, b) => b.segment - a.segment)
  for (const checkpoint of newestFirst) {
    const old = generation.wal.filter((piece) => piece.segment <= checkpoint.segment)
    if (checkpoint.seenAt > cutoffMs || old.some((piece) => piece.seenAt > cutoffMs)) continue
    const covers = (point: WindowPoint) => checkpoint.bound === null || (point.bound !== null && point.bound >= checkpoint.bound)
    const bases = points.filter((point) => point.createdAt >= checkpoint.seenAt && point.createdAt <= cutoffMs && covers(point))
    if (bases.length === 0 || !relying.every((point) => covers(point) && point.createdAt >= checkpoint.seenAt)) continue
    const compactedBefore = Math.min(...[bases, relying].map((some) => Math.min(...some.map(({ createdAt }) => createdAt)))) - outOfOrderCompactionMs
    return {
      generation: generation.id, upTo: checkpoint.segment,
      checkpoints: newestFirst.filter(({ segment }) => segment < checkpoint.segment).map(({ segment }) => segment),
      pieces: inOrder([...old, ...replacedWbl(generation.wbl, compactedBefore)]),
      reason: `it is older than the window, and blocks have what is before checkpoint ${String(checkpoint.segment).padStart(8, '0')}`,
    }
  }
  return undefined
}

/** Segments of the WBL that another followed before that time: the compaction that began it has put their samples into blocks. */
function replacedWbl(wbl: readonly WalPiece[], beforeMs: number): WalPiece[] {
  const newest = wbl.reduce((found, piece) => (piece.start === 0 && piece.seenAt < beforeMs ? Math.max(found, piece.segment) : found), Number.NEGATIVE_INFINITY)
  return wbl.filter(({ segment }) => segment < newest)
}

function inOrder(pieces: WalPiece[]): WalPiece[] {
  return pieces.sort((a, b) => comparePositions({ segment: a.segment, offset: a.start }, { segment: b.segment, offset: b.start }))
}
