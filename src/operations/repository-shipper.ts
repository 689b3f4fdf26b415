import { createHash } from 'node:crypto'
import { PromDrError, hasCode } from '../errors.ts'
import { storeTombstones } from '../repository/tombstones.ts'
import { type Generation, readCheckpoints, readDeletions, readGenerations, storeCheckpoint, storeDeletion, writeHeartbeat } from '../repository/wal-stream.ts'
import type { Logger } from '../system/logger.ts'
import { readBlockDirectory, readBlockMeta, readBounded } from '../tsdb/block-directory.ts'
import { listBlocks } from '../tsdb/data-directory.ts'
import { isInOrder } from '../domain/block.ts'
import { isEmptyTombstones } from '../tsdb/tombstones.ts'
import { maxTombstonesBytes } from '../tsdb/verify-block.ts'
import { readRestored } from '../tsdb/restore-directory.ts'
import { readWholeSegment } from '../tsdb/wal-tail.ts'
import { readCheckpointFiles, readLocalLog } from '../tsdb/wal-source.ts'
import { type ShipperContext, type Shipped, WalShipper, beginGeneration } from './wal-shipper.ts'

export interface RepositoryShipperContext extends ShipperContext {
  logger: Logger
}

/** What one pass did. */
export interface PassResult {
  generation: string
  shippedTo: string
  newestSample: string | null
  lagSeconds: number | null
  parts: number
  bytes: number
  gaps: { from: string | null; to: string; reason: string }[]
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
  corruption: { path: string; message: string }[] = []

  private constructor(context: RepositoryShipperContext, state: { generation: Generation; wal: WalShipper; wbl: WalShipper }) {
    this.#context = context
    this.#generation = state.generation
    this.#wal = state.wal
    this.#wbl = state.wbl
  }

  /**
   * Finds out from the repository where to go on.
   * @throws SUPERSEDED when another host was restored from this server's history
   */
  static async open(context: RepositoryShipperContext, options: { newGeneration: boolean }): Promise<RepositoryShipper> {
    const generations = await readGenerations(context.store, context.instance, context)
    const own = generations.filter((generation) => generation.machineId === context.machineId && generation.dataDir === context.dataDir).at(-1)
    const restored = await readRestored(context.dataDir)
    const restoredAtMs = restored === undefined ? undefined : Date.parse(restored.restoredAt)
    const state = await (async () => {
      if (restored !== undefined && (own === undefined || own.startedAt < (restoredAtMs ?? 0))) {
        const before = generations.filter((generation) => generation.startedAt <= (restoredAtMs ?? 0)).at(-1)
        const parent = before === undefined || restored.recoverableAt === null ? null : { generation: restored.generation ?? before.id, at: Date.parse(restored.recoverableAt) }
        return begin(context, { reason: 'this server was restored', parent, newestSampleMs: null })
      }
      if (own === undefined) return begin(context, { reason: 'the first of this server', parent: null, newestSampleMs: null })
      if (generations.some((generation) => generation.parent?.generation === own.id && generation.startedAt > own.startedAt)) {
        if (!options.newGeneration) throw superseded(context, own)
        return begin(context, { reason: 'asked for with --new-generation', parent: null, newestSampleMs: null })
      }
      const wal = await WalShipper.resume(context, own, 'wal')
      if (!(wal instanceof WalShipper)) return begin(context, { reason: wal.reason, parent: null, newestSampleMs: wal.newestSampleMs })
      const wbl = await WalShipper.resume(context, own, 'wbl')
      return { generation: own, wal, wbl: wbl instanceof WalShipper ? wbl : await startWbl(context, own.id) }
    })()
    const shipper = new RepositoryShipper(context, state)
    await shipper.#readStored()
    return shipper
  }

  get segment(): number {
    return this.#wal.position.segment
  }

  /** Tails go before everything else: they are what a lost host would lose. */
  async pass(): Promise<PassResult> {
    const result: PassResult = { generation: this.#generation.id, shippedTo: '', newestSample: null, lagSeconds: null, parts: 0, bytes: 0, gaps: [] }
    await this.#passWal(result)
    await this.#passWbl(result)
    const nowMs = this.#context.now().getTime()
    const newestMs = this.#wal.newestSampleMs
    await writeHeartbeat(this.#context.store, this.#context.instance, {
      generation: this.#generation.id, signal: this.#context.signal,
      heartbeat: { at: nowMs, ...this.#wal.position, newestScrape: newestMs ?? null },
    })
    await this.#shipCheckpoint(result)
    await this.#shipDeletions()
    return {
      ...result, generation: this.#generation.id, shippedTo: this.#wal.shippedTo,
      newestSample: newestMs === undefined ? null : new Date(newestMs).toISOString(),
      lagSeconds: newestMs === undefined ? null : Math.max(0, (nowMs - newestMs) / 1000),
    }
  }

  async #passWal(result: PassResult): Promise<void> {
    for (let tries = 0; tries < 2; tries += 1) {
      const shipped = await this.#wal.pass()
      if (!('reason' in shipped)) return this.#count(shipped, result)
      this.#context.logger.warn({ instance: this.#context.instance, reason: shipped.reason }, 'the log does not continue what was shipped: a new generation begins')
      const { generation, wal, wbl } = await begin(this.#context, { reason: shipped.reason, parent: null, newestSampleMs: shipped.newestSampleMs })
      this.#generation = generation
      this.#wal = wal
      this.#wbl = wbl
      this.#checkpoints.clear()
      if (generation.gap !== null) result.gaps.push({ from: iso(generation.gap.from), to: new Date(generation.gap.to).toISOString(), reason: shipped.reason })
    }
    throw new PromDrError('CONTENTION', `the log in ${this.#context.dataDir} changes faster than it can be shipped`, { hint: 'is Prometheus restarting over and over? see its log' })
  }

  /** Out-of-order compaction removes old segments of the WBL at any time: shipping then goes on with the first that is there. */
  async #passWbl(result: PassResult): Promise<void> {
    const shipped = await this.#wbl.pass()
    if (!('reason' in shipped)) return this.#count(shipped, result)
    this.#wbl = await startWbl(this.#context, this.#generation.id)
    const again = await this.#wbl.pass()
    if (!('reason' in again)) this.#count(again, result)
  }

  #count(shipped: Shipped, result: PassResult): void {
    result.parts += shipped.parts
    result.bytes += shipped.bytes
    if (shipped.damage === undefined) return
    const { message, details } = shipped.damage
    const damage = { path: typeof details?.['file'] === 'string' ? details['file'] : '', message }
    if (this.corruption.some((known) => known.message === message)) return
    this.corruption.push(damage)
    this.#context.logger.error(damage, 'Prometheus\'s own log is damaged; what is before it is shipped')
  }

  /** With the time below which it holds no samples, judged by the blocks that are there after it was read: too high is safe, too low a silent gap. */
  async #shipCheckpoint(result: PassResult): Promise<void> {
    const { store, instance, dataDir, signal } = this.#context
    const { checkpoint } = await readLocalLog(dataDir, 'wal')
    if (checkpoint === undefined || this.#checkpoints.has(checkpoint.segment)) return
    try {
      const files = await Promise.all((await readCheckpointFiles(checkpoint.path)).map(async (file) => {
        const bytes = await readWholeSegment(file.path)
        return { number: file.number, length: bytes.length, digest: createHash('sha256').update(bytes).digest('hex'), bytes: async () => bytes }
      }))
      if (files.length === 0) return
      const bound = await newestInOrderMs(dataDir)
      result.bytes += await storeCheckpoint(store, instance, { generation: this.#generation.id, checkpoint: { segment: checkpoint.segment, bound, seenAt: this.#context.now().getTime() }, files, signal })
      this.#checkpoints.add(checkpoint.segment)
    } catch (error) {
      // A newer one took its place while it was read: that one is shipped at the next pass.
      if (!hasCode(error, 'DATA_DIR_UNREADABLE')) throw error
    }
  }

  /** `delete_series` over a block leaves no trace in the log: its tombstones are watched. */
  async #shipDeletions(): Promise<void> {
    const { store, instance, dataDir, signal } = this.#context
    for (const { ulid, path } of (await listBlocks(dataDir)).blocks) {
      const bytes = await tombstonesOf(path)
      if (bytes === undefined) continue
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      if (this.#tombstones.get(ulid) === sha256) continue
      const { sizeBytes } = await storeTombstones(store, instance, { bytes, signal })
      await storeDeletion(store, instance, { generation: this.#generation.id, deletion: { ulid, seenAt: this.#context.now().getTime(), sha256, sizeBytes }, signal })
      this.#tombstones.set(ulid, sha256)
    }
  }

  async #readStored(): Promise<void> {
    const { store, instance, signal } = this.#context
    for (const checkpoint of await readCheckpoints(store, instance, { generation: this.#generation.id, signal })) this.#checkpoints.add(checkpoint.segment)
    for (const deletion of await readDeletions(store, instance, { generation: this.#generation.id, signal })) this.#tombstones.set(deletion.ulid, deletion.sha256)
  }
}

/** A generation starts where a server starting on this directory would: at the newest checkpoint's next segment. */
async function begin(context: RepositoryShipperContext, why: { reason: string; parent: Generation['parent']; newestSampleMs: number | null }) {
  const { segments, checkpoint } = await readLocalLog(context.dataDir, 'wal')
  const firstSegment = checkpoint === undefined ? (segments[0]?.number ?? 0) : checkpoint.segment + 1
  const boundMs = checkpoint === undefined ? null : await newestInOrderMs(context.dataDir)
  const gap = why.newestSampleMs !== null && boundMs !== null && boundMs > why.newestSampleMs ? { from: why.newestSampleMs, to: boundMs, reason: why.reason } : null
  const generation = await beginGeneration(context, { reason: why.reason, firstSegment, checkpoint: checkpoint?.segment ?? null, parent: why.parent, gap })
  return { generation, wal: WalShipper.start(context, generation.id, { log: 'wal', segment: firstSegment }), wbl: await startWbl(context, generation.id) }
}

async function startWbl(context: RepositoryShipperContext, generation: string): Promise<WalShipper> {
  const { segments } = await readLocalLog(context.dataDir, 'wbl')
  return WalShipper.start(context, generation, { log: 'wbl', segment: segments[0]?.number ?? 0 })
}

async function newestInOrderMs(dataDir: string): Promise<number | null> {
  let newest: number | null = null
  for (const { path } of (await listBlocks(dataDir)).blocks) {
    const { meta } = await readBlockMeta(path)
    if (isInOrder(meta)) newest = Math.max(newest ?? meta.maxTime, meta.maxTime)
  }
  return newest
}

async function tombstonesOf(path: string): Promise<Buffer | undefined> {
  try {
    const { tombstonesFile } = await readBlockDirectory(path)
    if (tombstonesFile === undefined) return undefined
    const bytes = await readBounded(tombstonesFile.path, maxTombstonesBytes)
    return isEmptyTombstones(bytes, tombstonesFile.path) ? undefined : bytes
  } catch (error) {
    // A block that compaction removes while it is looked at.
    if (hasCode(error, 'DATA_DIR_UNREADABLE', 'DAMAGED')) return undefined
    throw error
  }
}

function superseded(context: RepositoryShipperContext, own: Generation): PromDrError {
  return new PromDrError('SUPERSEDED', `another server was restored from the history of ${context.instance} that this host wrote (generation ${own.id}) in ${context.store.url}`, {
    hint: 'keep this host from taking part, or give it another "instance"; only if it is meant to go on as the same one, run once with --new-generation',
  })
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
