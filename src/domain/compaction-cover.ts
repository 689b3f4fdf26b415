/** What the decision needs to know of a block, stored or on the server. */
export interface Coverable {
  ulid: string
  minTime: number
  maxTime: number
  /** The level-1 blocks it is made of; a level-1 block names itself. */
  sources: readonly string[]
  numSamples: number
  hasTombstones: boolean
}

/**
 * The stored blocks that stand in for `block`, so that its samples are not uploaded again, or undefined when none do.
 *
 * They do when their sources partition the block's, their sample counts add up to its own (so nothing was deleted or
 * merged away), and neither side has tombstones: tombstones refer to one index and do not fit another's.
 * A set of one may be the block itself. A block that does not say what it is made of, or how many samples it has, is
 * covered by nothing: there is no evidence.
 *
 * Larger blocks are tried first: sources of stored blocks nest, as compaction only ever merges whole blocks.
 */
export function coverOf<B extends Coverable>(block: Coverable, stored: readonly B[]): B[] | undefined {
  if (block.hasTombstones || block.sources.length === 0 || block.numSamples === 0) return undefined
  const wanted = new Set(block.sources)
  const candidates = stored
    .filter((candidate) => !candidate.hasTombstones && candidate.sources.length > 0 && candidate.sources.every((source) => wanted.has(source)))
    .sort((a, b) => b.sources.length - a.sources.length || (a.ulid < b.ulid ? -1 : 1))
  const missing = new Set(wanted)
  const cover: B[] = []
  for (const candidate of candidates) {
    if (!candidate.sources.every((source) => missing.has(source))) continue
    for (const source of candidate.sources) missing.delete(source)
    cover.push(candidate)
  }
  if (missing.size > 0) return undefined
  const samples = cover.reduce((sum, part) => sum + part.numSamples, 0)
  return samples === block.numSamples ? cover : undefined
}

/**
 * The span in ms at which a compacted block is uploaded although stored blocks cover it, so that old history is few
 * and large objects: two thirds of the largest block that the server will make. Prometheus compacts into ranges of
 * 1, 3, 9… times `minBlockMs`, the largest not above `maxBlockMs` (tsdb.ExponentialBlockRanges, ten steps of three).
 */
export function defaultCompactedSpanMs(minBlockMs: number, maxBlockMs: number): number {
  let largest = minBlockMs
  for (let step = 1; step < 10 && largest * 3 <= maxBlockMs; step += 1) largest *= 3
  return Math.ceil((largest * 2) / 3)
}
