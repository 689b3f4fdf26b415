import { encodeRecord } from '../../src/tsdb/wal/record-codec.ts'

export interface LoggedSample {
  name: string
  ref: number
  timestampMs: number
  /** Tells it apart from every other sample of the run. */
  valueBits: bigint
}

/** What a record says. */
export interface Said {
  series: { name: string; ref: number }[]
  samples: LoggedSample[]
  /** Of all samples of a series so far; their `maxt` tells them apart. */
  deletions: { name: string; ref: number; maxt: number }[]
}

export interface Logged extends Said {
  segment: number
  /** Where its record ends in the segment. */
  end: number
}

export interface WrittenRecord {
  bytes: Uint8Array
  said: Said
}

export interface SimulatedBlock {
  minTime: number
  /** Exclusive. */
  maxTime: number
}

/** Goes on over all servers of a run, so that nothing is ever written twice. */
export interface RunClock {
  timeMs: number
  written: number
  series: number
}

/**
 * The series of one server and their refs, as Prometheus gives and takes them: counted up, dropped when blocks have all samples, given
 * anew when a series comes back, and after a restart counted on from the highest that the log still has.
 */
export class SimulatedHead {
  blocks: SimulatedBlock[] = []
  /** The newest checkpoint's declarations. */
  #checkpoint: { segment: number; series: { name: string; ref: number }[] } | undefined
  #live = new Map<string, number>()
  #dropped: string[] = []
  #nextRef = 1

  clone(): SimulatedHead {
    const other = new SimulatedHead()
    other.blocks = [...this.blocks]
    other.#checkpoint = this.#checkpoint
    other.#live = new Map(this.#live)
    other.#dropped = [...this.#dropped]
    other.#nextRef = this.#nextRef
    return other
  }

  /** The end of the newest block: where it starts again, older samples of the log are ignored. */
  get boundMs(): number | null {
    return this.blocks.at(-1)?.maxTime ?? null
  }

  /** Samples of the series that there are, in turn; a new one, or one that comes back, is declared for a single sample. Of equal length for equal counts. */
  write(count: number, clock: RunClock): WrittenRecord[] {
    const series: Said['series'] = []
    if (count === 1 || this.#live.size === 0) {
      const back = clock.written % 2 === 0 ? this.#dropped.shift() : undefined
      const name = back ?? `s${String((clock.series += 1)).padStart(9, '0')}`
      const ref = this.#nextRef
      this.#nextRef += 1
      this.#live.set(name, ref)
      series.push({ name, ref })
    }
    clock.timeMs += 10_000
    clock.written += 1
    const live = series.length > 0 ? series : [...this.#live].map(([name, ref]) => ({ name, ref }))
    const samples = Array.from({ length: count }, (_, at): LoggedSample => {
      const { name, ref } = live[at % live.length] as { name: string; ref: number }
      return { name, ref, timestampMs: clock.timeMs + Math.floor(at / live.length), valueBits: BigInt(clock.written * 10_000 + at) }
    })
    return recordsOf({ series, samples, deletions: [] })
  }

  /** Nothing without series. */
  delete(clock: RunClock): WrittenRecord[] {
    const [oldest] = this.#live
    if (oldest === undefined) return []
    clock.timeMs += 10_000
    const deletions = [{ name: oldest[0], ref: oldest[1], maxt: clock.timeMs }]
    return recordsOf({ series: [], samples: [], deletions })
  }

  /** Writes a block of what was logged up to some moment, and drops the series that are wholly in blocks. False when there was nothing to write. */
  compact(logged: readonly Logged[], clock: RunClock): boolean {
    const { boundMs } = this
    const times = [...new Set(logged.flatMap(({ samples }) => samples.map(({ timestampMs }) => timestampMs)))].filter((time) => boundMs === null || time >= boundMs).sort((a, b) => a - b)
    const [first] = times
    if (first === undefined) return false
    const maxTime = (times[Math.floor((times.length - 1) * [0.5, 1, 1][clock.written % 3]!)] ?? first) + 1
    this.blocks.push({ minTime: boundMs ?? first, maxTime })
    const needed = new Set(logged.flatMap(({ samples }) => samples.filter(({ timestampMs }) => timestampMs >= maxTime).map(({ name }) => name)))
    for (const name of this.#live.keys()) {
      if (needed.has(name)) continue
      this.#live.delete(name)
      this.#dropped.push(name)
    }
    return true
  }

  /** What stands for the log up to a segment from now on: the series still there, and samples that are in no block. */
  checkpointRecords(logged: readonly Logged[], upTo: number): WrittenRecord[] {
    const bound = this.boundMs ?? Number.NEGATIVE_INFINITY
    const before = logged.filter(({ segment }) => segment <= upTo)
    const series = this.#declared(before).filter(({ name }) => this.#live.has(name))
    this.#checkpoint = { segment: upTo, series }
    const samples = before.flatMap((one) => one.samples.filter(({ timestampMs }) => timestampMs >= bound))
    const deletions = before.flatMap((one) => one.deletions.filter(({ maxt }) => maxt >= bound))
    const known = new Set(series.map(({ ref }) => ref))
    return recordsOf({ series, samples, deletions: deletions.filter(({ ref }) => known.has(ref)) })
  }

  /** Started again on what the log has now. */
  restart(logged: readonly Logged[]): void {
    const declared = this.#declared(logged)
    const live = new Map<string, number>()
    for (const { name, ref } of declared) if (!live.has(name)) live.set(name, ref)
    this.#dropped.push(...[...this.#live.keys()].filter((name) => !live.has(name)))
    this.#dropped = this.#dropped.filter((name) => !live.has(name))
    this.#live = live
    this.#nextRef = 1 + Math.max(0, ...declared.map(({ ref }) => ref))
  }

  #declared(logged: readonly Logged[]): { name: string; ref: number }[] {
    const after = this.#checkpoint?.segment ?? -1
    return [...(this.#checkpoint?.series ?? []), ...logged.filter(({ segment }) => segment > after).flatMap(({ series }) => series)]
  }
}

function recordsOf({ series, samples, deletions }: Said): WrittenRecord[] {
  const none: Said = { series: [], samples: [], deletions: [] }
  return [
    ...(series.length === 0 ? [] : [{ bytes: encodeRecord({ type: 'series', series: series.map(({ name, ref }) => ({ ref, labels: [['__name__', name]] })) }), said: { ...none, series } }]),
    ...(samples.length === 0 ? [] : [{ bytes: encodeRecord({ type: 'samples', samples: samples.map(({ ref, timestampMs, valueBits }) => ({ ref, timestampMs, startTimestampMs: 0, valueBits })) }), said: { ...none, samples } }]),
    ...(deletions.length === 0 ? [] : [{ bytes: encodeRecord({ type: 'tombstones', tombstones: deletions.map(({ ref, maxt }) => ({ ref, mint: 0n, maxt: BigInt(maxt) })) }), said: { ...none, deletions } }]),
  ].map(({ bytes, said }) => ({ bytes: Uint8Array.from(bytes), said }))
}
