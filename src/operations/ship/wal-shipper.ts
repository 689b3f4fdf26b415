import { createHash, randomBytes, type Hash } from 'node:crypto'
import { recoveryPointId } from '../../domain/recovery-point.ts'
import { type LocalTail, decideShip } from '../../domain/ship-decision.ts'
import { type SegmentEnd, type WalChain, type WalLog, type WalPiece, type WalPosition, chainFrom, formatPosition } from '../../domain/wal-stream.ts'
import type { Source } from '../../domain/recovery-point.ts'
import type { PromDrError } from '../../errors.ts'
import { type Generation, createGeneration, generationVersion, listPieces, readCheckpoints, storePiece } from '../../repository/wal-stream.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import { ReusedBuffer } from '../../tsdb/reused-buffer.ts'
import { type LocalLog, type LocalSegment, firstToReplay, readLocalLog } from '../../tsdb/wal-source.ts'
import { type Tail, type UnknownRecord, hashPrefix, lastOf, readTail } from '../../tsdb/wal-tail.ts'
import { walDamage } from '../../tsdb/wal/wal-damage.ts'
import type { LogGrowth } from './log-growth.ts'

export interface ShipperContext {
  store: ObjectStore
  instance: string
  dataDir: string
  machineId: string
  /** What a restore has to know of the server; undefined while it does not answer. */
  source?: (() => Promise<Source | undefined>) | undefined
  /** How long after its time a sample may still be logged, ms, as far as the server was asked. */
  longestDelayMs?: (() => Promise<number | undefined>) | undefined
  /** Bytes of the log in one part, before compression. */
  partBytes: number
  /** Of each log, shared by all repositories. */
  growth: Record<WalLog, LogGrowth>
  now(): Date
  /** Called between pieces of work that may be much: keeps it from taking the machine for itself. */
  rest(): Promise<void>
  signal: AbortSignal
}

/** How far one log has got in one repository, held while the shipper runs. It can be read back from the repository at any time. */
interface LogState {
  log: WalLog
  segment: number
  offset: number
  hash: Hash
  predecessor: SegmentEnd | undefined
  /** The first segment after the predecessor, or of the generation: up to the current one they were empty. */
  emptySince: number
  /** The file that was read last; undefined before the first reading. */
  identity: string | undefined
  /** The last bytes before the offset. */
  last: Buffer
  /** What is stored of this segment. */
  parts: WalPiece[]
}

/** A segment that another follows, of which everything is stored. */
export interface FinishedSegment {
  log: WalLog
  segment: number
  predecessor: SegmentEnd | undefined
  parts: WalPiece[]
}

/** Why a log does not continue what is stored of it. */
export interface Broken {
  reason: string
  newestSampleMs: number | null
}

export interface Shipped {
  parts: number
  bytes: number
  /** Segments that were completed in this pass. */
  finished: FinishedSegment[]
  damage: PromDrError | undefined
  /** Records of types that are not known, the first of each in each reading. */
  unknown: (UnknownRecord & { path: string })[]
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
  /** When the log was last seen to end where the stream does. */
  seenAtMs: number | undefined
  /** Whether the last pass met something that it could not go on from. */
  isStuck = false
  #tornSinceMs: number | undefined
  /** For what is read and shipped next. */
  readonly #memory = new ReusedBuffer()

  private constructor(context: ShipperContext, generation: string, state: LogState) {
    this.#context = context
    this.#generation = generation
    this.#state = state
  }

  /** Begins with a segment of which nothing is stored. `newestSampleMs` is that of the generation before. */
  static start(context: ShipperContext, generation: string, from: { log: WalLog; segment: number; newestSampleMs?: number | undefined }): WalShipper {
    const { log, segment } = from
    const shipper = new WalShipper(context, generation, beginning({ log, segment }, undefined))
    shipper.newestSampleMs = from.newestSampleMs
    return shipper
  }

  /**
   * Goes on where the repository says, when the local bytes continue what is stored.
   * @returns the shipper and the finished segments that are stored in several parts, or the reason why they do not
   */
  static async resume(context: ShipperContext, generation: Generation, log: WalLog): Promise<{ shipper: WalShipper; finished: FinishedSegment[] } | Broken> {
    const pieces = await listPieces(context.store, context.instance, { generation: generation.id, log, signal: context.signal })
    const { segments } = await readLocalLog(context.dataDir, log)
    const chain = await storedChain(context, generation, { log, pieces })
    if (chain.position === undefined) {
      if (log === 'wal') return { reason: 'nothing of it was shipped', newestSampleMs: null }
      return { shipper: WalShipper.start(context, generation.id, { log, segment: segments[0]?.number ?? 0 }), finished: [] }
    }
    const { segment, offset } = chain.position
    const local = segments.find((candidate) => candidate.number === segment)
    const last = chain.pieces.at(-1)
    const prefix = local === undefined || local.sizeBytes < offset ? undefined : await hashPrefix(local.path, offset)
    const tail: LocalTail | undefined = local && { sizeBytes: local.sizeBytes, prefixMatches: prefix?.hash.copy().digest('hex') === last?.digest }
    const decision = decideShip(chain, tail)
    if (decision.kind === 'new-generation' || prefix === undefined) return { reason: decision.kind === 'continue' ? `${nameOf(segment)} changed while it was read` : decision.reason, newestSampleMs: chain.newestSample }
    const parts = chain.pieces.filter((piece) => piece.segment === segment)
    const predecessor = parts[0]?.predecessor
    if (predecessor !== undefined && (await leadsOn(predecessor, segments, segment)) === false) return { reason: `${nameOf(predecessor.segment)} is not the one that was shipped`, newestSampleMs: chain.newestSample }
    const state: LogState = { log, segment, offset, hash: prefix.hash, predecessor, emptySince: segment, identity: prefix.identity, last: prefix.last, parts }
    const shipper = new WalShipper(context, generation.id, state)
    shipper.newestSampleMs = chain.newestSample ?? undefined
    return { shipper, finished: inSeveralParts(chain, { log, before: shipper.position.segment, pieces }) }
  }

  get position(): WalPosition {
    return { segment: this.#state.segment, offset: this.#state.offset }
  }

  /** The first segment that shipping still needs: of one that nothing was shipped of, the last before it that has anything shows that it follows. */
  get firstNeeded(): number {
    const { segment, offset, predecessor } = this.#state
    return offset > 0 ? segment : (predecessor?.segment ?? Math.max(0, segment - 1))
  }

  /** Whether nothing of the generation is stored yet. */
  get hasNothing(): boolean {
    return this.#state.offset === 0 && this.#state.predecessor === undefined
  }

  /** How the segment before the current one ended; undefined in the first one of a generation. */
  get predecessor(): SegmentEnd | undefined {
    return this.#state.predecessor
  }

  /** Whether the local log is still the one that was shipped. */
  async stillContinues(): Promise<boolean> {
    const local = await readLocalLog(this.#context.dataDir, this.#state.log)
    const here = local.segments.find((segment) => segment.number === this.#state.segment)
    return here !== undefined && (await this.#changed(here, local)) === undefined && (await readTail(here.path, { offset: this.#state.offset, limitBytes: 0, before: this.#state.last })).continues
  }

  /** Of the current segment; undefined when nothing of it is shipped. */
  get lastPartSeenAtMs(): number | undefined {
    return this.#state.parts.at(-1)?.seenAt
  }

  get shippedTo(): string {
    return formatPosition(this.position)
  }

  /**
   * Ships everything that is there now.
   * @returns what was shipped, or why the local log no longer continues it
   */
  async pass(): Promise<Shipped | Broken> {
    const shipped: Shipped = { parts: 0, bytes: 0, finished: [], damage: undefined, unknown: [], oldestSampleMs: undefined }
    const { dataDir, growth, partBytes, now, signal } = this.#context
    this.isStuck = false
    for (;;) {
      signal.throwIfAborted()
      const lookedAtMs = now().getTime()
      const local = await readLocalLog(dataDir, this.#state.log)
      const { segments } = local
      growth[this.#state.log].look(segments, now().getTime())
      const here = segments.find((segment) => segment.number === this.#state.segment)
      if (here === undefined) {
        const missing = this.#missing(segments)
        if (missing === undefined) this.seenAtMs = lookedAtMs
        return missing ?? shipped
      }
      const changed = await this.#changed(here, local)
      if (changed !== undefined) return this.#broken(changed)
      const following = segments.find((segment) => segment.number > here.number)
      const tail = await readTail(here.path, { offset: this.#state.offset, limitBytes: partBytes, before: this.#state.last, memory: this.#memory, finished: following !== undefined })
      // Another file took the name since it was listed: it is compared from its start.
      if (tail.identity !== this.#state.identity) continue
      if (!tail.continues) return this.#broken(`${nameOf(here.number)} was written anew: what lies before byte ${this.#state.offset} is not what was shipped`)
      shipped.unknown.push(...tail.unknown.map((record) => ({ ...record, path: here.path })))
      await this.#ship(tail, shipped)
      if (tail.damage !== undefined) return this.#stuck(shipped, tail.damage)
      if (!tail.reachedEnd) {
        await this.#context.rest()
        continue
      }
      if (following === undefined) {
        this.seenAtMs = lookedAtMs
        return shipped
      }
      // The listing that showed a following segment was read before the tail: what is missing now will not come.
      if (tail.end < tail.sizeBytes) return this.#stuck(shipped, this.#torn(tail, { here, following }))
      this.#tornSinceMs = undefined
      this.#finish(shipped)
    }
  }

  async #ship(tail: Tail, shipped: Shipped): Promise<void> {
    const { store, instance, growth, now, signal } = this.#context
    const state = this.#state
    const base = state.offset
    const readAtMs = now().getTime()
    for (const stretch of tail.stretches) {
      const bytes = tail.bytes.subarray(stretch.start - base, stretch.end - base)
      const seenAt = growth[state.log].firstSeenMs({ number: state.segment, identity: tail.identity }, stretch.end) ?? readAtMs
      const startDigest = stretch.start === 0 ? undefined : state.hash.copy().digest('hex')
      const hash = state.hash.copy().update(bytes)
      const newest = stretch.newestSampleMs === undefined ? null : Math.min(stretch.newestSampleMs, seenAt)
      const piece = {
        log: state.log, segment: state.segment, start: stretch.start, end: stretch.end, newestSample: newest, seenAt,
        digest: hash.copy().digest('hex'), startDigest, predecessor: stretch.start === 0 ? state.predecessor : undefined, sealed: false,
      }
      const stored = await storePiece(store, instance, { generation: this.#generation, piece, bytes, signal })
      // Only now: a part that did not arrive is sent again.
      state.hash = hash
      state.offset = stretch.end
      state.last = lastOf(state.last, bytes)
      state.parts.push(stored)
      shipped.parts += 1
      shipped.bytes += stored.storedBytes
      if (newest !== null) this.newestSampleMs = Math.max(this.newestSampleMs ?? newest, newest)
      if (stretch.oldestSampleMs !== undefined) shipped.oldestSampleMs = Math.min(shipped.oldestSampleMs ?? stretch.oldestSampleMs, stretch.oldestSampleMs)
    }
  }

  #finish(shipped: Shipped): void {
    const { log, segment, offset, hash, predecessor, emptySince, parts } = this.#state
    if (parts.length > 0) shipped.finished.push({ log, segment, predecessor, parts })
    const next = beginning({ log, segment: segment + 1 }, { segment, length: offset, digest: hash.digest('hex') })
    // An empty segment leaves no piece that could be followed: the one after it follows the one before.
    this.#state = offset === 0 ? { ...next, predecessor, emptySince } : next
  }

  #stuck(shipped: Shipped, damage: PromDrError | undefined): Shipped {
    this.isStuck = true
    return { ...shipped, damage }
  }

  /**
   * Damage, but after a crash the server repairs such a segment while it starts: there is no hurry to call it that. It began the next one when it
   * started, which tells how long ago that was to a run that makes one pass only.
   */
  #torn(tail: Tail, { here, following }: { here: LocalSegment; following: LocalSegment }): PromDrError | undefined {
    const nowMs = this.#context.now().getTime()
    this.#tornSinceMs ??= following.bornAtMs === 0 ? nowMs : Math.min(nowMs, following.bornAtMs)
    if (nowMs - this.#tornSinceMs < tornPatienceMs) return undefined
    return walDamage(here.path, tail.end, 'it ends within a record although another segment follows')
  }

  /** A segment that is not there yet is waited for; one that was passed by is lost. */
  #missing(segments: readonly LocalSegment[]): Broken | undefined {
    const { segment, offset } = this.#state
    const waiting = offset === 0 && segments.every((other) => other.number < segment)
    return waiting ? undefined : this.#broken(`${nameOf(segment)} was removed before all of it was shipped`)
  }

  /** A file that shrank or is another one is compared again from its start; of one that nothing was shipped of, what is before it. */
  async #changed(here: LocalSegment, local: LocalLog): Promise<string | undefined> {
    const state = this.#state
    const { segments } = local
    if (here.sizeBytes < state.offset) return `${nameOf(here.number)} shrank to ${here.sizeBytes} bytes, ${state.offset} were shipped`
    const { predecessor } = state
    const another = this.hasNothing ? this.#beganElsewhere(here, local) : undefined
    if (another !== undefined) return another
    if (state.offset === 0 && predecessor !== undefined) {
      if ((await leadsOn(predecessor, segments, here.number)) !== true) return `${nameOf(predecessor.segment)} is gone or another one, so that nothing shows that ${nameOf(here.number)} follows what was shipped`
    } else if (state.identity !== here.identity && state.offset > 0) {
      const prefix = await hashPrefix(here.path, state.offset)
      if (prefix?.hash.digest('hex') !== state.hash.copy().digest('hex')) return `${nameOf(here.number)} was replaced by another file`
      // What a server logs after its log was repaired may begin as what it had logged there before.
      if (predecessor !== undefined && (await leadsOn(predecessor, segments, here.number)) === false) return `${nameOf(predecessor.segment)} is not the one that was shipped`
    }
    state.identity = here.identity
    return undefined
  }

  /** Nothing that is stored shows whose log this is: it has to be the one that the generation began with, from its first segment on. */
  #beganElsewhere(here: LocalSegment, local: LocalLog): string | undefined {
    const { log, emptySince, identity } = this.#state
    const first = firstToReplay(local)
    if (log === 'wal' && first !== emptySince) return `the log begins with ${nameOf(first)} now, and nothing was shipped since ${nameOf(emptySince)}`
    const filled = notEmpty(local.segments, { from: emptySince, before: here.number })
    if (filled !== undefined) return `${nameOf(filled.number)} was empty and has ${filled.sizeBytes} bytes although another follows it`
    return identity === undefined || identity === here.identity ? undefined : `${nameOf(here.number)} was replaced by another file`
  }

  #broken(reason: string): Broken {
    return { reason, newestSampleMs: this.newestSampleMs ?? null }
  }
}

/**
 * Whether the local segment before is the one that was shipped, with nothing in those between it and the follower; undefined when it is
 * gone. A segment that another follows does not grow: a longer one is of another history, however alike it begins.
 */
async function leadsOn(predecessor: SegmentEnd, segments: readonly LocalSegment[], follower: number): Promise<boolean | undefined> {
  if (notEmpty(segments, { from: predecessor.segment + 1, before: follower }) !== undefined) return false
  const before = segments.find(({ number }) => number === predecessor.segment)
  if (before === undefined || before.sizeBytes !== predecessor.length) return before && false
  const prefix = await hashPrefix(before.path, predecessor.length)
  return prefix && prefix.hash.digest('hex') === predecessor.digest
}

function notEmpty(segments: readonly LocalSegment[], among: { from: number; before: number }): LocalSegment | undefined {
  return segments.find(({ number, sizeBytes }) => number >= among.from && number < among.before && sizeBytes > 0)
}

function beginning(from: { log: WalLog; segment: number }, predecessor: SegmentEnd | undefined): LogState {
  return { ...from, offset: 0, hash: createHash('sha256'), predecessor, emptySince: from.segment, identity: undefined, last: Buffer.alloc(0), parts: [] }
}

/**
 * What a repository has of a log, as far as it hangs together. The beginning of a WAL may have been removed up to a checkpoint; the WBL
 * loses its oldest segments at every out-of-order compaction, so that only its newest counts.
 */
async function storedChain(context: ShipperContext, generation: Generation, of: { log: WalLog; pieces: readonly WalPiece[] }): Promise<WalChain> {
  const { log, pieces } = of
  if (log === 'wbl') return chainFrom(pieces, pieces.reduce((newest, { segment }) => Math.max(newest, segment), 0))
  const checkpoints = await readCheckpoints(context.store, context.instance, { generation: generation.id, signal: context.signal })
  const starts = checkpoints.map((checkpoint) => checkpoint.segment + 1).reverse()
  const chains = [...starts, generation.firstSegment].map((first) => chainFrom(pieces, first))
  return chains.find(({ position }) => position !== undefined) ?? chainFrom(pieces, generation.firstSegment)
}

/** Segments of a chain that are finished and not yet one object, or have parts left beside it. */
function inSeveralParts(chain: WalChain, of: { log: WalLog; before: number; pieces: readonly WalPiece[] }): FinishedSegment[] {
  const segments = [...new Set(chain.pieces.map((piece) => piece.segment))].filter((segment) => segment < of.before)
  return segments.flatMap((segment) => {
    const parts = chain.pieces.filter((piece) => piece.segment === segment)
    const stored = of.pieces.filter((piece) => piece.segment === segment)
    return stored.length > 1 ? [{ log: of.log, segment, predecessor: parts[0]?.predecessor, parts }] : []
  })
}

function nameOf(segment: number): string {
  return `segment ${String(segment).padStart(8, '0')}`
}

/** Opens a new generation. @returns it */
export async function beginGeneration(context: ShipperContext, begin: Pick<Generation, 'reason' | 'firstSegment' | 'checkpoint' | 'bound' | 'blocks' | 'parent' | 'gap'>): Promise<Generation> {
  const source = await context.source?.()
  const now = context.now()
  const generation: Generation = { version: generationVersion, ...(source !== undefined && { source }), id: recoveryPointId(now, randomBytes(4).toString('hex')), startedAt: now.getTime(), machineId: context.machineId, dataDir: context.dataDir, ...begin }
  await createGeneration(context.store, context.instance, { generation, signal: context.signal })
  return generation
}
