/** A block of a TSDB that exists in numbers only. */
export interface SimulatedBlock {
  ulid: string
  minTime: number
  maxTime: number
  level: number
  sources: string[]
  numSamples: number
  hasTombstones: boolean
  sizeBytes: number
}

export interface SimulatedTsdbOptions {
  minBlockMs: number
  maxBlockMs: number
  retentionMs: number
  samplesPerHour: number
  /** Bytes of a block: compaction saves one index of the blocks that it merges. */
  bytesPerSample: number
  indexBytes: number
  /** How long after a block's aligned start its first sample lies, ms: real blocks begin there. */
  firstSampleMs: number
}

/**
 * What Prometheus does with its blocks over time: the head is cut into blocks of `minBlockMs` once it spans one and
 * a half of them; LeveledCompactor.plan and selectDirs (tsdb/compact.go) merge them by three; DB.reloadBlocks removes
 * what is beyond retention, counted from the newest block.
 */
export class SimulatedTsdb {
  readonly blocks: SimulatedBlock[] = []
  /** Every level-1 block that ever was: the new samples. */
  readonly cut: SimulatedBlock[] = []
  readonly #options: SimulatedTsdbOptions
  readonly #ranges: number[] = []
  #headStart: number
  #made = 0

  constructor(startMs: number, options: SimulatedTsdbOptions) {
    this.#options = options
    this.#headStart = startMs
    for (let range = options.minBlockMs, step = 0; step < 10 && range <= options.maxBlockMs; step += 1, range *= 3) this.#ranges.push(range)
  }

  get largestRangeMs(): number {
    return this.#ranges.at(-1) as number
  }

  /** Lets the time pass until `nowMs`; without `cuts` the server is up and scrapes nothing. */
  advance(nowMs: number, cuts = true): void {
    const { minBlockMs } = this.#options
    while (nowMs - this.#headStart > minBlockMs * 1.5) {
      const end = (Math.floor(this.#headStart / minBlockMs) + 1) * minBlockMs
      if (cuts) this.#cutBlock(this.#headStart + this.#options.firstSampleMs, end)
      this.#headStart = end
      this.#compact()
      this.#applyRetention()
    }
  }

  /** Deletes a share of a block's samples: a tombstone now, fewer samples when it is next compacted. */
  deleteFrom(block: SimulatedBlock): void {
    block.hasTombstones = true
  }

  #cutBlock(minTime: number, maxTime: number): void {
    const numSamples = Math.round(((maxTime - minTime) / 3_600_000) * this.#options.samplesPerHour)
    const ulid = this.#nextUlid()
    const block = this.#sized({ ulid, minTime, maxTime, level: 1, sources: [ulid], numSamples, hasTombstones: false, sizeBytes: 0 })
    this.blocks.push(block)
    this.cut.push({ ...block })
  }

  #compact(): void {
    for (let parts = this.#plan(); parts.length > 0; parts = this.#plan()) {
      const samples = parts.reduce((sum, part) => sum + (part.hasTombstones ? Math.floor(part.numSamples * 0.9) : part.numSamples), 0)
      const merged = this.#sized({
        ulid: this.#nextUlid(),
        minTime: Math.min(...parts.map((part) => part.minTime)),
        maxTime: Math.max(...parts.map((part) => part.maxTime)),
        level: Math.max(...parts.map((part) => part.level)) + 1,
        sources: parts.flatMap((part) => part.sources).sort(),
        numSamples: samples,
        hasTombstones: false,
        sizeBytes: 0,
      })
      this.blocks.splice(this.blocks.indexOf(parts[0] as SimulatedBlock), parts.length, merged)
    }
  }

  #plan(): SimulatedBlock[] {
    const candidates = this.blocks.slice(0, -1)
    const highTime = candidates.at(-1)?.minTime ?? 0
    for (const range of this.#ranges.slice(1)) {
      for (const group of splitByRange(candidates, range)) {
        const minTime = (group[0] as SimulatedBlock).minTime
        const maxTime = (group.at(-1) as SimulatedBlock).maxTime
        if ((maxTime - minTime === range || maxTime <= highTime) && group.length > 1) return group
      }
    }
    return []
  }

  #applyRetention(): void {
    const newest = this.blocks.at(-1)?.maxTime ?? 0
    while (newest - (this.blocks[0]?.maxTime ?? newest) >= this.#options.retentionMs) this.blocks.shift()
  }

  #sized(block: SimulatedBlock): SimulatedBlock {
    return { ...block, sizeBytes: Math.round(block.numSamples * this.#options.bytesPerSample) + this.#options.indexBytes }
  }

  #nextUlid(): string {
    this.#made += 1
    return `01J${String(this.#made).padStart(23, '0')}`
  }
}

/** Groups of blocks that lie within one aligned range; blocks that cross an edge are left out (splitByRange in tsdb/compact.go). */
function splitByRange(blocks: readonly SimulatedBlock[], range: number): SimulatedBlock[][] {
  const groups: SimulatedBlock[][] = []
  for (let at = 0; at < blocks.length; ) {
    const start = Math.floor((blocks[at] as SimulatedBlock).minTime / range) * range
    const group: SimulatedBlock[] = []
    for (; at < blocks.length && (blocks[at] as SimulatedBlock).maxTime <= start + range; at += 1) group.push(blocks[at] as SimulatedBlock)
    if (group.length === 0) at += 1
    else groups.push(group)
  }
  return groups
}
