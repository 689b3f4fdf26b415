import { createHash, randomBytes, type Hash } from 'node:crypto'
import { recoveryPointId } from '../domain/recovery-point.ts'
import { type LocalTail, decideShip } from '../domain/ship-decision.ts'
import { type SegmentEnd, type WalLog, type WalPosition, chainFrom, formatPosition } from '../domain/wal-stream.ts'
import type { PromDrError } from '../errors.ts'
import { type Generation, createGeneration, listPieces, storePiece } from '../repository/wal-stream.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { type LocalSegment, readLocalLog } from '../tsdb/wal-source.ts'
import { type Tail, hashPrefix, readTail } from '../tsdb/wal-tail.ts'

export interface ShipperContext {
  store: ObjectStore
  instance: string
  dataDir: string
  machineId: string
  /** Bytes of the log in one part, before compression. */
  partBytes: number
  now(): Date
  signal: AbortSignal
}

/** How far one log has got in one repository, held while the shipper runs. It can be read back from the repository at any time. */
interface LogState {
  log: WalLog
  segment: number
  offset: number
  hash: Hash
  predecessor: SegmentEnd | undefined
  inode: number | undefined
}

export interface Shipped {
  parts: number
  bytes: number
  /** Segments that were completed in this pass. */
  finished: SegmentEnd[]
  damage: PromDrError | undefined
  /** Oldest sample shipped in this pass, ms. */
  oldestSampleMs: number | undefined
}

const tornPatienceMs = 60_000

/**
 * Ships one log (`wal` or `wbl`) of one generation into one repository: always the next bytes after those that are there, each
 * part with the running digest of its segment, so that nothing but their true continuation can follow.
 */
export class WalShipper {
  readonly #context: ShipperContext
  readonly #generation: string
  #state: LogState
  newestSampleMs: number | undefined
  #tornSinceMs: number | undefined

  private constructor(context: ShipperContext, generation: string, state: LogState) {
    this.#context = context
    this.#generation = generation
    this.#state = state
  }

  /** Begins with a segment of which nothing is stored. */
  static start(context: ShipperContext, generation: string, from: { log: WalLog; segment: number }): WalShipper {
    return new WalShipper(context, generation, { ...from, offset: 0, hash: createHash('sha256'), predecessor: undefined, inode: undefined })
  }

  /**
   * Goes on where the repository says, when the local bytes continue what is stored.
   * @returns the shipper, or the reason why they do not
   */
  static async resume(context: ShipperContext, generation: Generation, log: WalLog): Promise<WalShipper | { reason: string; newestSampleMs: number | null }> {
    const pieces = await listPieces(context.store, context.instance, { generation: generation.id, log, signal: context.signal })
    // The WBL loses its oldest segments at every out-of-order compaction: what counts is that its newest one goes on.
    const first = log === 'wal' ? generation.firstSegment : Math.max(0, ...pieces.map((piece) => piece.segment))
    const chain = chainFrom(pieces, first)
    const { segments } = await readLocalLog(context.dataDir, log)
    if (chain.position === undefined) {
      const start = log === 'wal' ? generation.firstSegment : segments[0]?.number
      if (start !== undefined && segments.some((segment) => segment.number === start)) return WalShipper.start(context, generation.id, { log, segment: start })
      return log === 'wbl' && segments.length === 0 ? WalShipper.start(context, generation.id, { log, segment: 0 }) : { reason: 'the segments that it was to begin with are gone', newestSampleMs: null }
    }
    const { segment, offset } = chain.position
    const local = segments.find((candidate) => candidate.number === segment)
    const last = chain.pieces.at(-1)
    const hash = local === undefined || local.sizeBytes < offset ? undefined : await hashPrefix(local.path, offset)
    const tail: LocalTail | undefined = local && { sizeBytes: local.sizeBytes, prefixMatches: hash?.copy().digest('hex') === last?.digest }
    const decision = decideShip(chain, { tail, segments: segments.map((candidate) => candidate.number) })
    if (decision.kind === 'new-generation') return { reason: decision.reason, newestSampleMs: chain.newestSample }
    const end = { segment, length: offset, digest: last?.digest ?? '' }
    const state: LogState = local === undefined || hash === undefined
      ? { log, segment: segment + 1, offset: 0, hash: createHash('sha256'), predecessor: end, inode: undefined }
      : { log, segment, offset, hash, predecessor: predecessorOf(chain.pieces, segment), inode: local.inode }
    const shipper = new WalShipper(context, generation.id, state)
    shipper.newestSampleMs = chain.newestSample ?? undefined
    return shipper
  }

  get position(): WalPosition {
    return { segment: this.#state.segment, offset: this.#state.offset }
  }

  get shippedTo(): string {
    return formatPosition(this.position)
  }

  /**
   * Ships everything that is there now.
   * @returns what was shipped, or why the local log no longer continues it
   */
  async pass(): Promise<Shipped | { reason: string; newestSampleMs: number | null }> {
    const shipped: Shipped = { parts: 0, bytes: 0, finished: [], damage: undefined, oldestSampleMs: undefined }
    for (;;) {
      this.#context.signal.throwIfAborted()
      const { segments } = await readLocalLog(this.#context.dataDir, this.#state.log)
      const here = segments.find((segment) => segment.number === this.#state.segment)
      if (here === undefined) return this.#missing(segments) ?? shipped
      const changed = await this.#changed(here)
      if (changed !== undefined) return this.#broken(changed)
      const following = segments.some((segment) => segment.number > here.number)
      const tail = await readTail(here.path, { offset: this.#state.offset, limitBytes: this.#context.partBytes })
      await this.#ship(tail, shipped)
      if (tail.damage !== undefined) return { ...shipped, damage: tail.damage }
      if (!tail.reachedEnd) continue
      if (!following) return shipped
      // The listing that showed a following segment was read before the tail: what is missing now will not come.
      if (tail.end < tail.sizeBytes) return this.#torn(tail) ?? shipped
      this.#tornSinceMs = undefined
      this.#finish(shipped)
    }
  }

  async #ship(tail: Tail, shipped: Shipped): Promise<void> {
    const { store, instance, signal } = this.#context
    const state = this.#state
    const base = state.offset
    for (const stretch of tail.stretches) {
      const bytes = tail.bytes.subarray(stretch.start - base, stretch.end - base)
      const seenAt = this.#context.now().getTime()
      const hash = state.hash.copy().update(bytes)
      const newest = stretch.newestSampleMs === undefined ? null : Math.min(stretch.newestSampleMs, seenAt)
      const piece = {
        log: state.log, segment: state.segment, start: stretch.start, end: stretch.end, newestSample: newest, seenAt,
        digest: hash.copy().digest('hex'), predecessor: stretch.start === 0 ? state.predecessor : undefined, sealed: false,
      }
      const stored = await storePiece(store, instance, { generation: this.#generation, piece, bytes, signal })
      // Only now: a part that did not arrive is sent again.
      state.hash = hash
      state.offset = stretch.end
      shipped.parts += 1
      shipped.bytes += stored.storedBytes
      if (newest !== null) this.newestSampleMs = Math.max(this.newestSampleMs ?? newest, newest)
      if (stretch.oldestSampleMs !== undefined) shipped.oldestSampleMs = Math.min(shipped.oldestSampleMs ?? stretch.oldestSampleMs, stretch.oldestSampleMs)
    }
  }

  #finish(shipped: Shipped): void {
    const state = this.#state
    const end = { segment: state.segment, length: state.offset, digest: state.hash.copy().digest('hex') }
    shipped.finished.push(end)
    this.#state = { log: state.log, segment: state.segment + 1, offset: 0, hash: createHash('sha256'), predecessor: end, inode: undefined }
  }

  /** After a crash the server repairs such a segment while it starts: there is no hurry to give the stream up. */
  #torn(tail: Tail): { reason: string; newestSampleMs: number | null } | undefined {
    const nowMs = this.#context.now().getTime()
    this.#tornSinceMs ??= nowMs
    if (nowMs - this.#tornSinceMs < tornPatienceMs) return undefined
    return this.#broken(`segment ${this.#state.segment} ends within a record at byte ${tail.end} although another segment follows`)
  }

  /** A segment that is not there yet is waited for; one that was passed by is lost. */
  #missing(segments: readonly LocalSegment[]): { reason: string; newestSampleMs: number | null } | undefined {
    const { segment, offset } = this.#state
    const waiting = offset === 0 && segments.every((other) => other.number < segment)
    return waiting ? undefined : this.#broken(`segment ${String(segment).padStart(8, '0')} was removed before all of it was shipped`)
  }

  /** A file that shrank or is another one is compared again from its start. */
  async #changed(here: LocalSegment): Promise<string | undefined> {
    const state = this.#state
    const name = `segment ${String(here.number).padStart(8, '0')}`
    if (here.sizeBytes < state.offset) return `${name} shrank to ${here.sizeBytes} bytes, ${state.offset} were shipped`
    if (state.inode !== undefined && state.inode !== here.inode && state.offset > 0) {
      const hash = await hashPrefix(here.path, state.offset)
      if (hash?.digest('hex') !== state.hash.copy().digest('hex')) return `${name} was replaced by another file`
    }
    state.inode = here.inode
    return undefined
  }

  #broken(reason: string): { reason: string; newestSampleMs: number | null } {
    return { reason, newestSampleMs: this.newestSampleMs ?? null }
  }
}

function predecessorOf(pieces: readonly { segment: number; start: number; predecessor: SegmentEnd | undefined }[], segment: number): SegmentEnd | undefined {
  return pieces.find((piece) => piece.segment === segment && piece.start === 0)?.predecessor
}

/** Opens a new generation. @returns it */
export async function beginGeneration(context: ShipperContext, begin: { reason: string; firstSegment: number; checkpoint: number | null; parent: Generation['parent']; gap: Generation['gap'] }): Promise<Generation> {
  const now = context.now()
  const generation: Generation = { id: recoveryPointId(now, randomBytes(4).toString('hex')), startedAt: now.getTime(), machineId: context.machineId, dataDir: context.dataDir, ...begin }
  await createGeneration(context.store, context.instance, { generation, signal: context.signal })
  return generation
}
