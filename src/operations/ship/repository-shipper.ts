import type { WalLog, WalPosition } from '../../domain/wal-stream.ts'
import { PromDrError, hasCode } from '../../errors.ts'
import { type Generation, type Heartbeat, listPieces, readCheckpoints, readDeletions, readGenerations, readHeartbeat, writeHeartbeat } from '../../repository/wal-stream.ts'
import type { Logger } from '../../system/logger.ts'
import { listBlocks } from '../../tsdb/data-directory.ts'
import { readRestored } from '../../tsdb/restore-directory.ts'
import { firstToReplay, readLocalLog } from '../../tsdb/wal-source.ts'
import { oldestSampleMs } from '../../tsdb/wal-tail.ts'
import { afterRestore } from './after-restore.ts'
import { expireWal } from './expire-wal.ts'
import { lateBlocksSince } from './late-blocks.ts'
import { sealSegment } from './seal-segment.ts'
import { newestInOrderMs, shipCheckpoint } from './ship-checkpoint.ts'
import { shipDeletions } from './ship-deletions.ts'
import type { ShippedGap, SourceDamage, UnknownRecordType } from './ship-report.ts'
import { segmentOf, sourceDamageOf } from './source-damage.ts'
import { type FinishedSegment, type Shipped, type ShipperContext, WalShipper, beginGeneration } from './wal-shipper.ts'

export interface RepositoryShipperContext extends ShipperContext {
  /** How long WAL is kept that blocks have replaced. */
  windowMs: number
  /** Told at once, so that none is forgotten where the rest of a pass fails. */
  onGap(gap: ShippedGap): void
  logger: Logger
  /** Ends what sends the tails; `signal` ends what can wait, and may come earlier. */
  tailSignal: AbortSignal
}

const windowCheckMs = 3_600_000

/** What one pass did. */
export interface PassResult {
  generation: string
  shippedTo: string
  newestSample: string | null
  lagSeconds: number | null
  parts: number
  bytes: number
}

/** Ships everything of one server into one repository: the logs of the current generation, checkpoints, deletions in blocks, heartbeats. */
export class RepositoryShipper {
  readonly #context: RepositoryShipperContext
  #generation: Generation
  #wal: WalShipper
  #wbl: WalShipper
  /** Checkpoints and tombstones that are stored already. */
  readonly #checkpoints = new Set<number>()
  readonly #tombstones = new Map<string, string>()
  corruption: SourceDamage[] = []
  /** The first record of each type that is not known. */
  unknownRecords: UnknownRecordType[] = []
  readonly #damagedSinceMs = new Map<WalLog, number>()
  /** Logs that were read without damage since this began. */
  readonly #sound = new Set<WalLog>()
  /** Finished segments that are stored in parts, oldest first. */
  #unsealed: FinishedSegment[]
  #expiredAtMs = Number.NEGATIVE_INFINITY
  /** When the WBL was last seen. */
  #besideSeenAtMs: number
  /** When the directory was last restored, as far as that is taken into account; RFC 3339. */
  #restoredAt: string | undefined
  /** Of this generation so far; see `Heartbeat`. */
  #longestDelayMs: number | undefined
  /** When it was found that out-of-order samples went into a block before their log was seen, ms. */
  lateSinceMs: number | undefined

  private constructor(context: RepositoryShipperContext, state: LogsOfGeneration & { restoredAt: string | undefined }) {
    this.#context = context
    this.#generation = state.generation
    this.#wal = state.wal
    this.#wbl = state.wbl
    this.#unsealed = state.unsealed
    this.#restoredAt = state.restoredAt
    this.#besideSeenAtMs = context.now().getTime()
  }

  /**
   * Finds out from the repository where to go on.
   * @throws SUPERSEDED when another host was restored from this server's history
   */
  static async open(context: RepositoryShipperContext, options: { newGeneration: boolean }): Promise<RepositoryShipper> {
    const generations = await readGenerations(context.store, context.instance, context)
    const ofThisServer = generations.filter((generation) => generation.machineId === context.machineId && generation.dataDir === context.dataDir)
    const own = ofThisServer.at(-1)
    const openedAtMs = context.now().getTime()
    const restored = await readRestored(context.dataDir)
    const restoredAtMs = restored === undefined ? undefined : Date.parse(restored.restoredAt)
    const state = await (async () => {
      if (restored !== undefined && (own === undefined || (own.startedAt < (restoredAtMs ?? 0) && own.parent?.restoredAt !== restoredAtMs))) {
        return begin(context, afterRestore(restored, generations))
      }
      if (own === undefined) return begin(context, { reason: generations.length === 0 ? 'the first of this server' : 'another server or data directory goes on under this name', parent: null, newestSampleMs: await newestShippedMs(context, generations) })
      if (generations.some((generation) => generation.parent?.generation === own.id && generation.startedAt > own.startedAt)) {
        if (!options.newGeneration) throw superseded(context, own)
        return begin(context, { reason: 'asked for with --new-generation', parent: await leftBehind(context, own), newestSampleMs: await newestShippedMs(context, ofThisServer) })
      }
      const wal = await WalShipper.resume(ofTails(context), own, 'wal')
      if ('reason' in wal && wal.newestSampleMs === null) return begin(context, { reason: wal.reason, parent: own.parent, newestSampleMs: await newestShippedMs(context, ofThisServer) })
      if ('reason' in wal) return begin(context, { reason: wal.reason, parent: null, newestSampleMs: wal.newestSampleMs })
      const wbl = await WalShipper.resume(ofTails(context), own, 'wbl')
      const unseenSinceMs = async () => (await readHeartbeat(context.store, context.instance, { generation: own.id, signal: context.signal }))?.at ?? own.startedAt
      if ('reason' in wbl) return { generation: own, wal: wal.shipper, wbl: await startWbl(context, own.id), unsealed: wal.finished, wblUnseenSinceMs: await unseenSinceMs() }
      // Of a later segment than the first nothing shows that none before it held anything.
      const passedBy = wbl.shipper.position.offset === 0 && wbl.shipper.position.segment > 0
      return { ...(passedBy && { wblUnseenSinceMs: await unseenSinceMs() }), generation: own, wal: wal.shipper, wbl: wbl.shipper, unsealed: [...wal.finished, ...wbl.finished] }
    })()
    const shipper = new RepositoryShipper(context, { ...state, restoredAt: restored?.restoredAt })
    if (state.generation.startedAt >= openedAtMs) shipper.#tellOf(state.generation)
    if (state.wblUnseenSinceMs !== undefined) await shipper.#tellOfLate(state.wblUnseenSinceMs)
    await shipper.#readStored()
    return shipper
  }

  get generation(): Generation {
    return this.#generation
  }

  /** From when on the server's log may be damaged, ms; undefined when the last reading of it met no damage. */
  get damagedSinceMs(): number | undefined {
    return this.#damagedSinceMs.size === 0 ? undefined : Math.min(...this.#damagedSinceMs.values())
  }

  positionIn(log: WalLog): WalPosition {
    return log === 'wal' ? this.#wal.position : this.#wbl.position
  }

  firstNeededIn(log: WalLog): number {
    return log === 'wal' ? this.#wal.firstNeeded : this.#wbl.firstNeeded
  }

  /** Tails go before everything else: they are what a lost host would lose. */
  async pass(): Promise<PassResult> {
    const result = this.#blank()
    await this.#look()
    await this.#passWal(result)
    await this.#passWbl(result)
    await this.#beat()
    const nowMs = this.#context.now().getTime()
    result.bytes += (await shipCheckpoint(this.#context, { generation: this.#generation.id, wal: this.#wal, stored: this.#checkpoints, onUnknown: (path, records) => this.#tellOfUnknown(records.map((record) => ({ ...record, path }))) })) ?? 0
    await shipDeletions(this.#context, { generation: this.#generation.id, stored: this.#tombstones })
    await this.#tidy(() => this.#seal(result))
    await this.#tidy(() => this.#expire(nowMs))
    return this.#told(result)
  }

  /**
   * The tails and nothing else. A log that no longer continues what was shipped begins no generation here: it may only be that
   * its directory is already gone, and the next start finds out.
   */
  async lastLook(): Promise<PassResult> {
    const result = this.#blank()
    for (const log of ['wal', 'wbl'] as const) {
      const shipped = await (log === 'wal' ? this.#wal : this.#wbl).pass()
      if (!('reason' in shipped)) this.#count(log, shipped, result)
    }
    await this.#beat()
    return this.#told(result)
  }

  /** Both logs at one moment: what the WBL has of a series was declared in the WAL before, and a restore tells by these times what a ref meant. */
  async #look(): Promise<void> {
    const { dataDir, growth, now } = this.#context
    const wbl = await readLocalLog(dataDir, 'wbl')
    const wal = await readLocalLog(dataDir, 'wal')
    const atMs = now().getTime()
    growth.wbl.look(wbl.segments, atMs)
    growth.wal.look(wal.segments, atMs)
  }

  #blank(): PassResult {
    return { generation: this.#generation.id, shippedTo: '', newestSample: null, lagSeconds: null, parts: 0, bytes: 0 }
  }

  #told(result: PassResult): PassResult {
    const newestMs = this.#wal.newestSampleMs
    return {
      ...result, generation: this.#generation.id, shippedTo: this.#wal.shippedTo,
      newestSample: newestMs === undefined ? null : new Date(newestMs).toISOString(),
      lagSeconds: newestMs === undefined ? null : Math.max(0, (this.#context.now().getTime() - newestMs) / 1000),
    }
  }

  async #beat(): Promise<void> {
    const { store, instance, tailSignal: signal } = this.#context
    const delayMs = await this.#context.longestDelayMs?.()
    if (delayMs !== undefined) this.#longestDelayMs = Math.max(this.#longestDelayMs ?? 0, delayMs)
    await writeHeartbeat(store, instance, {
      generation: this.#generation.id, signal,
      heartbeat: { ...(await this.#seenToEnd()), ...this.#wal.position, newestScrape: this.#wal.newestSampleMs ?? null, ...(this.#longestDelayMs !== undefined && { longestDelayMs: this.#longestDelayMs }) },
    })
  }

  /** Of a log that this run never saw to end with what is stored, what an earlier one saw. */
  async #seenToEnd(): Promise<Pick<Heartbeat, 'at' | 'knownUntil'>> {
    const { store, instance, tailSignal: signal, now } = this.#context
    const nowMs = now().getTime()
    if (!this.#wal.isStuck) return { at: this.#wal.seenAtMs ?? nowMs }
    if (this.#wal.seenAtMs !== undefined) return { at: nowMs, knownUntil: this.#wal.seenAtMs }
    const before = await readHeartbeat(store, instance, { generation: this.#generation.id, signal, onDamage: () => undefined })
    return { at: nowMs, knownUntil: before?.knownUntil === undefined ? (before?.at ?? null) : before.knownUntil }
  }

  async #passWal(result: PassResult): Promise<void> {
    const restored = await readRestored(this.#context.dataDir)
    if (restored !== undefined && restored.restoredAt !== this.#restoredAt) {
      await this.#begin(afterRestore(restored, await readGenerations(this.#context.store, this.#context.instance, this.#context)))
      this.#restoredAt = restored.restoredAt
    }
    for (let tries = 0; tries < 2; tries += 1) {
      const shipped = await this.#wal.pass()
      if (!('reason' in shipped)) return this.#count('wal', shipped, result)
      await this.#begin({ reason: shipped.reason, parent: this.#wal.hasNothing ? this.#generation.parent : null, newestSampleMs: shipped.newestSampleMs })
    }
    throw new PromDrError('CONTENTION', `the log in ${this.#context.dataDir} changes faster than it can be shipped`, { hint: 'is Prometheus restarting over and over? see its log' })
  }

  async #begin(why: Beginning): Promise<void> {
    const { generation, wal, wbl } = await begin(this.#context, why)
    this.#generation = generation
    this.#wal = wal
    this.#wbl = wbl
    this.#unsealed = []
    this.#damagedSinceMs.clear()
    this.#checkpoints.clear()
    this.#tombstones.clear()
    this.#tellOf(generation)
  }

  /** Out-of-order compaction removes old segments of the WBL at any time: shipping then goes on with the first that is there. */
  async #passWbl(result: PassResult): Promise<void> {
    const seenAtMs = this.#context.now().getTime()
    const shipped = await this.#wbl.pass()
    if ('reason' in shipped) {
      await this.#tellOfLate(this.#besideSeenAtMs)
      this.#wbl = await startWbl(this.#context, this.#generation.id)
      const again = await this.#wbl.pass()
      if (!('reason' in again)) this.#count('wbl', again, result)
    } else this.#count('wbl', shipped, result)
    this.#besideSeenAtMs = seenAtMs
  }

  /** What went from the WBL into a block between two looks is in no log: only a recovery point made from now on has it. */
  async #tellOfLate(sinceMs: number): Promise<void> {
    const span = await lateBlocksSince(this.#context.dataDir, sinceMs)
    if (span === undefined) return
    this.lateSinceMs = this.#context.now().getTime()
    const told = { from: iso(span.minTime), to: new Date(span.maxTime).toISOString(), reason: 'out-of-order samples went into a block before their log was seen' }
    this.#context.onGap(told)
    this.#context.logger.error({ instance: this.#context.instance, generation: this.#generation.id, ...told }, 'samples that came out of order may be missing in the stream')
  }

  #count(log: WalLog, shipped: Shipped, result: PassResult): void {
    result.parts += shipped.parts
    result.bytes += shipped.bytes
    this.#tellOfUnknown(shipped.unknown)
    this.#unsealed.push(...shipped.finished.filter(({ parts }) => parts.length > 1 || parts[0]?.sealed === true))
    if (shipped.damage === undefined) {
      this.#damagedSinceMs.delete(log)
      this.#sound.add(log)
      return
    }
    if (!this.#damagedSinceMs.has(log)) this.#damagedSinceMs.set(log, this.#damageBegan(log))
    const damage = sourceDamageOf(shipped.damage)
    if (this.corruption.some((known) => known.message === damage.message)) return
    this.corruption.push(damage)
    this.#context.logger.error(damage, 'Prometheus\'s own log is damaged; what is before it is shipped')
  }

  /** Damage that is met at the first reading may be as old as the last byte before it. */
  #damageBegan(log: WalLog): number {
    if (this.#sound.has(log)) return this.#context.now().getTime()
    return (log === 'wal' ? this.#wal : this.#wbl).lastPartSeenAtMs ?? this.#generation.startedAt
  }

  #tellOfUnknown(records: readonly { type: number; offset: number; path: string }[]): void {
    for (const { type, offset, path } of records) {
      if (this.unknownRecords.some((known) => known.type === type)) continue
      const record = { type, segment: segmentOf(path), offset, path }
      this.unknownRecords.push(record)
      this.#context.logger.warn(record, 'the log has records of a type that this version does not know: they are shipped, and left out by a restore that cuts the log')
    }
  }

  /** One a pass, so that no tail waits long. What fails here is tried again, and loses nothing. */
  async #seal(result: PassResult): Promise<void> {
    const [oldest] = this.#unsealed
    if (oldest === undefined) return
    // Not again and again where the store refuses it: the parts are as good.
    this.#unsealed.shift()
    const bytes = await sealSegment(this.#context, this.#generation.id, oldest)
    if (bytes === undefined) this.#context.logger.warn({ segment: oldest.segment }, 'a finished segment stays in parts: its file is gone')
    result.bytes += bytes ?? 0
  }

  /** A store that lets nobody delete, or locks its objects, can be shipped to all the same. */
  async #tidy(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!hasCode(error, 'STORE_DENIED', 'STORE_REJECTED')) throw error
      this.#context.logger.error({ repository: this.#context.store.url, code: error.code, error: error.message }, 'what the stream no longer needs could not be removed; shipping goes on')
    }
  }

  async #expire(nowMs: number): Promise<void> {
    if (nowMs - this.#expiredAtMs < windowCheckMs) return
    this.#expiredAtMs = nowMs
    await expireWal(this.#context, { current: this.#generation.id, windowMs: this.#context.windowMs })
  }

  #tellOf({ id, reason, gap }: Generation): void {
    if (gap === null) return this.#context.logger.info({ instance: this.#context.instance, generation: id, reason }, 'a new generation of the WAL stream begins')
    const told = { from: iso(gap.from), to: new Date(gap.to).toISOString(), reason: gap.reason }
    this.#context.onGap(told)
    this.#context.logger.error({ instance: this.#context.instance, generation: id, ...told }, 'the log does not continue what was shipped: a new generation begins, and there is a gap')
  }

  async #readStored(): Promise<void> {
    const { store, instance, signal } = this.#context
    this.#longestDelayMs = (await readHeartbeat(store, instance, { generation: this.#generation.id, signal, onDamage: () => undefined }))?.longestDelayMs
    for (const checkpoint of await readCheckpoints(store, instance, { generation: this.#generation.id, signal })) this.#checkpoints.add(checkpoint.segment)
    for (const deletion of await readDeletions(store, instance, { generation: this.#generation.id, signal })) this.#tombstones.set(deletion.ulid, deletion.sha256)
  }
}

interface LogsOfGeneration {
  /** Set where the stored WBL does not show what the server had in it since then, ms. */
  wblUnseenSinceMs?: number
  generation: Generation
  wal: WalShipper
  wbl: WalShipper
  unsealed: FinishedSegment[]
}

interface Beginning {
  reason: string
  parent: Generation['parent']
  newestSampleMs: number | null
}

/**
 * A generation starts where a server starting on this directory would: at the newest checkpoint's next segment. There is a gap when
 * neither the log nor the blocks that took its beginning reach back to the newest sample shipped.
 */
async function begin(context: RepositoryShipperContext, why: Beginning): Promise<LogsOfGeneration> {
  const log = await readLocalLog(context.dataDir, 'wal')
  const { segments, checkpoint } = log
  const firstSegment = firstToReplay(log)
  const bound = await newestInOrderMs(context.dataDir)
  // After the log: what compaction takes from it meanwhile is in a block that is counted.
  const blocks = (await listBlocks(context.dataDir)).blocks.length
  const ownMs = checkpoint === undefined || bound === null ? await oldestSampleMs(segments.filter(({ number }) => number >= firstSegment)) : bound
  // A log without samples has lost what came until now: blocks that reach further are no part of it.
  const reachesBackToMs = ownMs ?? context.now().getTime()
  const gap = why.newestSampleMs !== null && reachesBackToMs > why.newestSampleMs ? { from: why.newestSampleMs, to: reachesBackToMs, reason: why.reason } : null
  const generation = await beginGeneration(context, { reason: why.reason, firstSegment, checkpoint: checkpoint?.segment ?? null, bound, blocks, parent: why.parent, gap })
  return { generation, wal: WalShipper.start(ofTails(context), generation.id, { log: 'wal', segment: firstSegment, newestSampleMs: why.newestSampleMs ?? undefined }), wbl: await startWbl(context, generation.id), unsealed: [] }
}

/** This server's own history, up to where it was shipped: what another server made of it is a branch then, and none of its recovery points is a base. */
async function leftBehind({ store, instance, signal, now }: RepositoryShipperContext, own: Generation): Promise<Generation['parent']> {
  const last = await readHeartbeat(store, instance, { generation: own.id, signal, onDamage: () => undefined })
  const at = last?.knownUntil === undefined ? last?.at : last.knownUntil
  return { generation: own.id, at: at ?? own.startedAt, restoredAt: now().getTime() }
}

/** The newest sample that this server's stream had before a generation that has nothing, ms; a restore begins a new count. */
async function newestShippedMs({ store, instance, signal }: RepositoryShipperContext, own: readonly Generation[]): Promise<number | null> {
  for (const { id, parent } of [...own].reverse()) {
    const newest = (await listPieces(store, instance, { generation: id, log: 'wal', signal })).reduce<number | null>((found, { newestSample }) => (newestSample === null ? found : Math.max(found ?? newestSample, newestSample)), null)
    if (newest !== null || parent !== null) return newest
  }
  return null
}

async function startWbl(context: RepositoryShipperContext, generation: string): Promise<WalShipper> {
  const { segments } = await readLocalLog(context.dataDir, 'wbl')
  return WalShipper.start(ofTails(context), generation, { log: 'wbl', segment: segments[0]?.number ?? 0 })
}

function ofTails(context: RepositoryShipperContext): ShipperContext {
  return { ...context, signal: context.tailSignal }
}

function superseded(context: RepositoryShipperContext, own: Generation): PromDrError {
  return new PromDrError('SUPERSEDED', `another server was restored from the history of ${context.instance} that this host wrote (generation ${own.id}) in ${context.store.url}`, {
    hint: 'keep this host from taking part, or give it another "instance"; only if it is meant to go on as the same one, run once with --new-generation',
  })
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
