/**
 * `meta.json` of a TSDB block. Fields that are not listed here, of newer servers or of Thanos, are carried along at run
 * time, so that writing the value back as JSON loses nothing.
 */
export interface BlockMeta {
  ulid: string
  /** The block's samples lie in [minTime, maxTime), Unix time in ms. */
  minTime: number
  maxTime: number
  stats: BlockStats
  compaction: BlockCompaction
  version: number
  /** What an upload adds; Prometheus ignores it. */
  thanos?: ThanosMeta
}

export interface BlockStats {
  /** Written when the block was: a later deletion changes `numTombstones` only. */
  numSamples: number
  numSeries: number
  numChunks: number
  numTombstones?: number
}

export interface BlockCompaction {
  /** 1 for a block cut from the head. */
  level: number
  /** ULIDs of the level-1 blocks that went into this one; a level-1 block names itself. */
  sources: string[]
  parents?: BlockParent[]
  /** Prometheus will remove the block. */
  deletable?: boolean
  failed?: boolean
  hints?: string[]
}

export interface BlockParent {
  ulid: string
  minTime: number
  maxTime: number
}

export interface ThanosMeta {
  version: number
  labels: Record<string, string>
  downsample: { resolution: number }
  source: string
  segment_files?: string[]
  files?: ThanosFile[]
}

export interface ThanosFile {
  rel_path: string
  size_bytes?: number
  hash?: { hashFunc: string; value: string }
}

/**
 * True when the block holds the head's in-order samples, so that WAL replay starts after its maxTime.
 * Blocks with a `from-…` hint (out-of-order, stale or selected series) do not count; an unknown such hint does not either.
 */
export function isInOrder(meta: Pick<BlockMeta, 'compaction'>): boolean {
  return !(meta.compaction.hints ?? []).some((hint) => hint.startsWith('from-'))
}

export function blockSpanMs(meta: Pick<BlockMeta, 'minTime' | 'maxTime'>): number {
  return meta.maxTime - meta.minTime
}
