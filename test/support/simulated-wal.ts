import { createHash } from 'node:crypto'
import { appendFile, cp, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { newUlid } from '../../src/domain/ulid.ts'
import { SegmentFrames } from '../../src/tsdb/wal/segment-frames.ts'
import { type Logged, type LoggedSample, type RunClock, type Said, type SimulatedBlock, SimulatedHead, type WrittenRecord } from './simulated-head.ts'

const segmentBytes = 128 * 1024 * 1024

/** Everything that one server ever wrote to its log, by segment: also what is deleted by now. */
export interface History {
  segments: Map<number, Buffer>
  /** Offsets at which records end, by segment. */
  ends: Map<number, number[]>
  /** SHA-256 of the checkpoints made, by segment. */
  checkpoints: Map<number, string>
  /** What all of it said, in order. */
  logged: Logged[]
  /** The history that this one began as, and how much of that it has. */
  parent: { history: History; logged: number } | undefined
}

interface Directory {
  history: History
  head: SimulatedHead
  last: number
  /** Continues the last segment; undefined when it was cut, so that only a new segment can follow. */
  frames: SegmentFrames
}

/** A framed record: where it ends, from the start of the file, and what it says. */
interface Pending {
  end: number
  said: Said
}

/**
 * A server's `wal/` as Prometheus handles it, driven step by step, and copies of it made at any time that go on for themselves. Each
 * history is remembered whole, to compare with what was shipped of it.
 */
export class SimulatedWal {
  readonly dataDir: string
  readonly histories: History[] = []
  #now: Directory
  /** The rest of a record of which a part is in the file. */
  #torn: { rest: Buffer; pending: Pending[] } | undefined
  readonly #clock: RunClock = { timeMs: 1_700_000_000_000, written: 0, series: 0 }
  /** Every sample that any server ever logged whole, by its value. */
  readonly samples = new Map<bigint, LoggedSample>()
  /** Every deletion, by its end. */
  readonly deletions = new Map<number, string>()
  #saved: { directory: Directory; path: string } | undefined
  #copies = 0

  private constructor(dataDir: string, now: Directory) {
    this.dataDir = dataDir
    this.#now = now
    this.histories.push(now.history)
  }

  static async create(dataDir: string): Promise<SimulatedWal> {
    await mkdir(join(dataDir, 'wal'), { recursive: true })
    const wal = new SimulatedWal(dataDir, { history: { segments: new Map(), ends: new Map(), checkpoints: new Map(), logged: [], parent: undefined }, head: new SimulatedHead(), last: -1, frames: new SegmentFrames(segmentBytes) })
    await wal.#begin(0)
    return wal
  }

  get last(): { segment: number; end: number } {
    return { segment: this.#now.last, end: this.#now.history.ends.get(this.#now.last)?.at(-1) ?? 0 }
  }

  /** What the server would be backed up with now. */
  get state(): { history: History; blocks: readonly SimulatedBlock[] } {
    return { history: this.#now.history, blocks: this.#now.head.blocks }
  }

  /** Of equal length for equal `samples`, whatever the history, with other content each time. */
  async append(samples: number): Promise<void> {
    await this.#mend()
    const { bytes, pending } = this.#frame(this.#now.head.write(samples, this.#clock))
    await this.#write(bytes)
    this.#remember(pending)
  }

  /** A record as it is given. */
  async appendRecord(content: Uint8Array): Promise<void> {
    await this.#mend()
    await this.#write(Buffer.from(this.#now.frames.frame({ compression: 'none', bytes: content })))
    this.#ends().push(this.#bytes().length)
  }

  async appendTorn(samples: number): Promise<void> {
    await this.#mend()
    const { bytes, pending } = this.#frame(this.#now.head.write(samples, this.#clock))
    const half = Math.floor(bytes.length / 2)
    await this.#write(bytes.subarray(0, half))
    this.#torn = { pending, rest: bytes.subarray(half) }
  }

  /** `delete_series` of the oldest series. */
  async deleteSeries(): Promise<void> {
    await this.#mend()
    const { bytes, pending } = this.#frame(this.#now.head.delete(this.#clock))
    await this.#write(bytes)
    this.#remember(pending)
  }

  /** A head compaction: a block, and nothing of it in the log. */
  async compact(): Promise<void> {
    await this.#mend()
    if (this.#now.head.compact(this.#now.history.logged, this.#clock)) await this.#writeBlocks()
  }

  /** `clean` fills the page, as a running server does; a server that starts again does not. */
  async rotate(clean: boolean): Promise<void> {
    await this.#mend()
    if (clean) {
      await this.#write(Buffer.from(this.#now.frames.padding()))
      this.#ends().push(this.#bytes().length)
    } else this.#now.head.restart(this.#now.history.logged)
    await this.#begin(this.#now.last + 1)
  }

  /** After a head compaction a checkpoint stands for all but the newest `keep` segments, which go; a new segment is begun before. */
  async truncate(keep: number): Promise<void> {
    await this.rotate(true)
    await this.compact()
    const live = (await this.#live()).slice(0, -Math.max(1, keep))
    const upTo = live.at(-1)
    if (upTo === undefined) return
    const path = join(this.dataDir, 'wal', `checkpoint.${String(upTo).padStart(8, '0')}`)
    await mkdir(`${path}.tmp`)
    const frames = new SegmentFrames(segmentBytes)
    const records = this.#now.head.checkpointRecords(this.#now.history.logged, upTo)
    const content = Buffer.concat([...records.map(({ bytes }) => frames.frame({ compression: 'none', bytes })), frames.padding()])
    await writeFile(join(`${path}.tmp`, '00000000'), content)
    this.#now.history.checkpoints.set(upTo, createHash('sha256').update(content).digest('hex'))
    await rename(`${path}.tmp`, path)
    for (const segment of live) await rm(this.#path(segment))
    for (const name of await readdir(join(this.dataDir, 'wal'))) if (name.startsWith('checkpoint.') && join(this.dataDir, 'wal', name) !== path) await rm(join(this.dataDir, 'wal', name), { recursive: true })
  }

  /** What Prometheus does about corruption at its start: it keeps what is before it, under another file of the same name, and drops the rest. */
  async repair(of: { segment: number; record: number }): Promise<void> {
    const live = await this.#live()
    const segment = live[of.segment % live.length]
    if (segment === undefined) return
    this.#torn = undefined
    const old = this.#now.history
    const ends = old.ends.get(segment) ?? []
    const kept = ends.slice(0, ends.length === 0 ? 0 : of.record % (ends.length + 1))
    const bytes = Buffer.from((old.segments.get(segment) ?? Buffer.alloc(0)).subarray(0, kept.at(-1) ?? 0))
    const keptBytes = kept.at(-1) ?? 0
    this.#fork((number) => number < segment, (one) => one.segment < segment || (one.segment === segment && one.end <= keptBytes))
    this.#now.history.segments.set(segment, bytes)
    this.#now.history.ends.set(segment, kept)
    await rename(this.#path(segment), `${this.#path(segment)}.repair`)
    await writeFile(this.#path(segment), bytes)
    await rm(`${this.#path(segment)}.repair`)
    for (const later of live.filter((number) => number > segment)) await rm(this.#path(later))
    this.#now.head.restart(this.#now.history.logged)
    await this.#begin(segment + 1)
  }

  /** Keeps a copy of the directory as it is now, which `swap` brings to life. */
  async copy(): Promise<void> {
    await this.#mend()
    const path = `${this.dataDir}-copy-${(this.#copies += 1)}`
    await cp(join(this.dataDir, 'wal'), path, { recursive: true })
    const { history, head, last, frames } = this.#now
    this.#saved = { path, directory: { history, head, last, frames } }
    this.#fork(() => true, () => true)
  }

  /** Puts the other copy in the directory's place, and keeps this one: both servers live, in turn. `inPlace` writes over the files. */
  async swap(inPlace: boolean): Promise<void> {
    if (this.#saved === undefined) return
    await this.#mend()
    const other = this.#saved
    const path = `${this.dataDir}-copy-${(this.#copies += 1)}`
    const wal = join(this.dataDir, 'wal')
    await cp(wal, path, { recursive: true })
    this.#saved = { path, directory: this.#now }
    if (inPlace) {
      const names = new Set(await readdir(other.path))
      for (const name of await readdir(wal)) if (!names.has(name)) await rm(join(wal, name), { recursive: true })
    } else await rm(wal, { recursive: true })
    await cp(other.path, wal, { recursive: true, force: true })
    this.#now = other.directory
    await this.#writeBlocks()
    // A server that is started on a copy goes on with a new segment.
    this.#now.head.restart(this.#now.history.logged)
    await this.#begin(this.#now.last + 1)
  }

  #fork(keeps: (segment: number) => boolean, keepsLogged: (one: Logged) => boolean): void {
    const { history, head, last, frames } = this.#now
    const pick = <T>(map: Map<number, T>, copyOf: (value: T) => T) => new Map([...map].filter(([segment]) => keeps(segment)).map(([segment, value]) => [segment, copyOf(value)]))
    const logged = history.logged.filter(keepsLogged)
    const forked = { segments: pick(history.segments, (bytes) => Buffer.from(bytes)), ends: pick(history.ends, (ends) => [...ends]), checkpoints: new Map(history.checkpoints), logged, parent: { history, logged: logged.length } }
    this.histories.push(forked)
    this.#now = { history: forked, head: head.clone(), last, frames }
  }

  #frame(records: readonly WrittenRecord[]): { bytes: Buffer; pending: Pending[] } {
    const framed = records.map(({ bytes }) => Buffer.from(this.#now.frames.frame({ compression: 'none', bytes })))
    let end = this.#bytes().length
    return { bytes: Buffer.concat(framed), pending: records.map(({ said }, at) => ({ said, end: (end += framed[at]?.length ?? 0) })) }
  }

  async #mend(): Promise<void> {
    if (this.#torn === undefined) return
    const { rest, pending } = this.#torn
    this.#torn = undefined
    await this.#write(rest)
    this.#remember(pending)
  }

  #remember(pending: readonly Pending[]): void {
    for (const { end, said } of pending) {
      this.#ends().push(end)
      this.#now.history.logged.push({ ...said, segment: this.#now.last, end })
      for (const sample of said.samples) this.samples.set(sample.valueBits, sample)
      for (const { name, maxt } of said.deletions) this.deletions.set(maxt, name)
    }
  }

  /** Only what tells a shipper which blocks there are. */
  async #writeBlocks(): Promise<void> {
    const names = (await readdir(this.dataDir)).filter((name) => name.length === 26)
    const blocks = new Map(this.#now.head.blocks.map((block, at) => [newUlid(block.maxTime, new Uint8Array(10).fill(at)), block]))
    for (const name of names) if (!blocks.has(name)) await rm(join(this.dataDir, name), { recursive: true })
    for (const [ulid, { minTime, maxTime }] of blocks) {
      await mkdir(join(this.dataDir, ulid), { recursive: true })
      await writeFile(join(this.dataDir, ulid, 'meta.json'), JSON.stringify({ ulid, minTime, maxTime, compaction: { level: 1, sources: [ulid] }, version: 1 }))
    }
  }

  async #begin(segment: number): Promise<void> {
    this.#now.last = segment
    this.#now.frames = new SegmentFrames(segmentBytes)
    this.#now.history.segments.set(segment, Buffer.alloc(0))
    this.#now.history.ends.set(segment, [])
    await writeFile(this.#path(segment), '')
  }

  async #write(bytes: Buffer): Promise<void> {
    await appendFile(this.#path(this.#now.last), bytes)
    this.#now.history.segments.set(this.#now.last, Buffer.concat([this.#bytes(), bytes]))
  }

  #bytes(): Buffer {
    return this.#now.history.segments.get(this.#now.last) ?? Buffer.alloc(0)
  }

  #ends(): number[] {
    return this.#now.history.ends.get(this.#now.last) ?? []
  }

  async #live(): Promise<number[]> {
    return (await readdir(join(this.dataDir, 'wal'))).filter((name) => /^\d{8}$/.test(name)).map(Number).sort((a, b) => a - b)
  }

  #path(segment: number): string {
    return join(this.dataDir, 'wal', String(segment).padStart(8, '0'))
  }
}
