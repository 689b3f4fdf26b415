import { setInterval } from 'node:timers'
import type { LimitFunction } from 'p-limit'
import { type BackupPlan, planBackup } from '../../domain/backup-plan.ts'
import type { Progress } from '../../domain/progress.ts'
import { type DamagedBlock, type Head, type NamedBlock, blockBytes } from '../../domain/recovery-point.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { clearIntent, intentRefreshMs, removeIntent, writeIntent } from '../../repository/intents.ts'
import { blockPrefix, headPrefix, recoveryPointKey } from '../../repository/layout.ts'
import { type Lease, leaseRenewalMs } from '../../repository/lease.ts'
import { commitRecoveryPoint } from '../../repository/recovery-points.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import { listFiles, missingFile, recheckBlocks, removeMarkedBlock, settleAll, unmarkBlock, uploadBlock } from '../../repository/stored-blocks.ts'
import { recheckTombstones, storeTombstones } from '../../repository/tombstones.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import type { Logger } from '../../system/logger.ts'
import { thanosMeta } from '../../tsdb/block-meta.ts'
import type { FailedComponent, ReportedArchive } from '../components/archives-report.ts'
import { awaitExpiries } from './await-expiries.ts'
import { type Inventory, type StoredAlready, namedBlock, readInventory } from './backup-inventory.ts'
import type { Collection } from '../components/collect-components.ts'
import { unchangedHead } from './head-reuse.ts'
import type { RepositoryTiering } from './backup-context.ts'
import { lockManifest, lockNamed } from '../expire/lock-recovery-point.ts'
import type { SnapshotBlock } from './snapshot-block.ts'
import type { SourceCheck } from './source-check.ts'
import { type ArchiveRequest, planArchives, recheckArchives, storeArchives } from '../components/store-archives.ts'

/** What every repository is given: the same recovery point, less what each has to decide for itself. */
export interface StoreRequest {
  store: ObjectStore
  tiering?: RepositoryTiering | undefined
  lease: Lease
  /** What is stored there, begun to be read while the snapshot was taken. */
  ahead: Promise<StoredAlready>
  /** Being asked for and measured still; nothing is stored before it is known. */
  measured: Promise<Pick<StoredRecoveryPoint, 'knownAnswers' | 'maxTime'>>
  /** Blocks, tiers and cost are filled in. */
  point: Omit<StoredRecoveryPoint, 'blocks' | 'head' | 'archives' | 'knownAnswers' | 'maxTime' | 'tiers' | 'cost'>
  blocks: readonly SnapshotBlock[]
  /** What was found damaged before anything is stored. */
  damaged: readonly DamagedBlock[]
  head: SnapshotBlock | 'empty' | 'omitted' | { kind: 'wal'; generation: string }
  check: SourceCheck
  collection: Collection
  place: ArchiveRequest['place']
  compactedSpanMs: number
  timezone: string
  startedAtMs: number
  now(): Date
  sleep(durationMs: number): Promise<void>
  /** Bounds the files under way, over all repositories. */
  limit: LimitFunction
  progress: Progress
  logger: Logger
  signal: AbortSignal
}

export interface StoreOutcome {
  point: StoredRecoveryPoint
  uploadedBytes: number
  reusedBytes: number
  uploadedBlocks: number
  reusedBlocks: number
  coveredBlocks: number
  archives: ReportedArchive[]
  failedComponents: FailedComponent[]
  warnings: string[]
}

const tidyTimeoutMs = 15_000

/**
 * Stores one recovery point in one repository. The order is the promise: intent, blocks, head, a last look at everything
 * that is named, manifest. A crash before the manifest leaves the repository as it was, with uploads that the next
 * backup uses and an intent that it clears.
 */
export async function storeRecoveryPoint(request: StoreRequest): Promise<StoreOutcome> {
  const { store, point, progress } = request
  const ahead = await request.ahead
  const serverHead = typeof request.head === 'object' && 'meta' in request.head ? request.head : undefined
  const archiveRequest = { ...request, instance: point.instance, recoveryPoint: point.id, newest: ahead.newest }
  const [inventory, sameHead, archivePlan, measured] = await settleAll([
    readInventory(ahead, { ...request, instance: point.instance, createdAt: point.createdAt }),
    serverHead === undefined ? Promise.resolve(undefined) : unchangedHead({ ...request, head: serverHead, externalLabels: point.source.externalLabels, previous: ahead.previous }),
    planArchives(archiveRequest),
    request.measured,
  ])
  const plan = planBackup(request.blocks.map(serverBlock), inventory.stored, request.compactedSpanMs)
  const localHead = sameHead === undefined ? serverHead : undefined
  const heads = localHead === undefined ? [] : [localHead.meta.ulid]
  const held = [...new Set([...plan.named, ...[...plan.standIns.values()].flat()])].sort()
  const intent = () => writeIntent(store, point.instance, { id: point.id, refreshedAt: request.now().toISOString(), blocks: held, heads, archives: archivePlan.paths, signal: request.signal })
  let uploadedBytes = await intent()
  const keeper = keepAlive(request, intent)
  let committing = false
  try {
    await prepareBlocks(request, inventory, plan.named)
    const local = new Map(request.blocks.map((block) => [block.meta.ulid, block]))
    const uploads = plan.upload.map((ulid) => local.get(ulid) as SnapshotBlock)
    const total = [...uploads, ...(localHead === undefined ? [] : [localHead])].reduce((sum, block) => sum + sizeOf(block), 0)
    progress.start(`storing in ${store.url}`, total)
    const sent = await settleAll([
      ...uploads.map((block) => uploadIfReadable(request, block)),
      ...(localHead === undefined ? [] : [upload(request, localHead, headPrefix(point.instance, localHead.meta.ulid))]),
    ])
    const results = sent.filter((result) => result !== undefined)
    const uploaded = new Map(results.map((result) => [result.named.ulid, result]))
    const known = new Map(inventory.stored.map((block) => [block.ulid, block.named]))
    const replaced = await standInsOf(request, { plan, uploaded, inventory })
    const blocks: NamedBlock[] = []
    for (const ulid of [...plan.named, ...replaced.named].sort()) {
      const named = uploaded.get(ulid)?.named ?? known.get(ulid)
      if (named === undefined) continue
      blocks.push(await withTombstones(named, local.get(ulid)?.tombstones))
    }
    const stored = await storeArchives(archivePlan, archiveRequest)
    uploadedBytes += results.reduce((sum, result) => sum + result.uploadedBytes, stored.uploadedBytes)
    const warnings = [...inventory.warnings, ...replaced.warnings, ...results.flatMap((result) => result.replaced.map((key) => `${key} held other bytes and was stored anew`)), ...stored.warnings]
    const headBlock = sameHead ?? (localHead && uploaded.get(localHead.meta.ulid)?.named)
    const head = headBlock === undefined ? headWithoutBlock(request.head) : { kind: 'block' as const, block: headBlock }
    const headBytes = head.kind === 'block' ? blockBytes(head.block) : 0
    const reusedBytes = blocks.reduce((sum, block) => sum + blockBytes(block), headBytes + stored.reusedBytes) - results.reduce((sum, result) => sum + blockBytes(result.named), 0)
    const damagedAtSource = damageOf(request, { blocks, previous: inventory.previous }).filter(({ ulid }) => !replaced.unreadable.has(ulid))
    const complete: StoredRecoveryPoint = {
      ...point, ...measured, blocks, head, archives: stored.archives, tiers: inventory.tiers, ...(damagedAtSource.length > 0 && { damagedAtSource }),
      cost: { uploadedBytes, reusedBytes: Math.max(0, reusedBytes), durationMs: Math.round(request.now().getTime() - request.startedAtMs) },
    }
    await awaitExpiries(store, request)
    await recheck(request, complete)
    await lockNamed(complete, request)
    keeper.check()
    await request.lease.renew()
    committing = true
    uploadedBytes += await commitRecoveryPoint(store, complete, { signal: request.signal })
    await lockManifest(complete, request)
    await checkFence(request, complete)
    await removeIntent(store, point.instance, point.id).catch((failure: unknown) => request.logger.warn({ store: store.url, error: messageOf(failure) }, 'the intent could not be removed: the next backup clears it'))
    return { point: complete, uploadedBytes, reusedBytes: complete.cost.reusedBytes, uploadedBlocks: uploads.length - sent.length + results.length, reusedBlocks: plan.reuse.length, coveredBlocks: plan.covers.size, archives: stored.reported, failedComponents: stored.failed, warnings }
  } catch (error) {
    // A manifest whose answer was lost may still come to be: what it names stays, and the next backup clears the intent.
    if (committing && hasCode(error, 'STORE_UNREACHABLE', 'STORE_BAD_RESPONSE', 'INTERRUPTED')) throw error
    // Without the signal: an interrupted backup tidies up too, but not for long. What is left, the next backup clears.
    await clearIntent(store, point.instance, { id: point.id, signal: AbortSignal.timeout(tidyTimeoutMs) }).catch((failure: unknown) => request.logger.warn({ store: store.url, error: messageOf(failure) }, 'the unfinished backup could not be tidied up'))
    throw error
  } finally {
    keeper.stop()
  }

  async function withTombstones(named: NamedBlock, bytes: Buffer | undefined): Promise<NamedBlock> {
    const { tombstones: _, ...rest } = named
    if (bytes === undefined) return rest
    const { sha256, sizeBytes, uploadedBytes: newBytes } = await storeTombstones(store, point.instance, { bytes, signal: request.signal })
    uploadedBytes += newBytes
    return { ...rest, tombstones: { sha256, sizeBytes } }
  }
}

/** After the intent, which from now on holds off expiry: takes marks back, and clears away blocks that are past that. Marks that came since are seen by the last look. */
async function prepareBlocks(request: StoreRequest, inventory: Inventory, named: readonly string[]): Promise<void> {
  const condemned = new Set(inventory.condemned)
  for (const ulid of named) {
    if (condemned.has(ulid)) await removeMarkedBlock(request.store, ulid, request)
  }
  const marked = new Set(inventory.marked)
  await settleAll(named.filter((ulid) => marked.has(ulid)).map((ulid) => request.limit(async () => {
    if (await unmarkBlock(request.store, ulid, request)) return
    throw new PromDrError('CONTENTION', `the deletion mark of block ${ulid} in ${request.store.url} came of age while the backup began`, { hint: 'nothing was committed; run the backup again' })
  })))
}

/**
 * For blocks that could not be read, those that are stored already and hold the same samples: the recovery point is whole then. Their
 * marks are taken back only now; the intent has held them since before it was known.
 */
async function standInsOf(request: StoreRequest, { plan, uploaded, inventory }: { plan: BackupPlan; uploaded: ReadonlyMap<string, unknown>; inventory: Inventory }) {
  const unreadable = new Map([...plan.standIns].filter(([ulid]) => !uploaded.has(ulid)))
  const named = [...new Set([...unreadable.values()].flat())].filter((ulid) => !plan.named.includes(ulid))
  await prepareBlocks(request, inventory, named)
  const warnings = [...unreadable].map(([ulid, parts]) => `block ${ulid} cannot be read, but the recovery point in ${request.store.url} lacks nothing: it has ${parts.join(', ')} in its place, which it was compacted from`)
  return { unreadable, named, warnings }
}

/** Also of blocks that an earlier backup stored, and which were not read again. */
function damageOf(request: StoreRequest, { blocks, previous }: { blocks: readonly NamedBlock[]; previous: StoredRecoveryPoint | undefined }): DamagedBlock[] {
  const named = new Set(blocks.map(({ ulid }) => ulid))
  const found = [...request.damaged, ...request.check.findings(request.blocks)]
  const known = (previous?.damagedAtSource ?? []).filter(({ ulid }) => named.has(ulid) && !found.some((damage) => damage.ulid === ulid))
  return [...known, ...found]
}

interface UploadedSnapshotBlock {
  named: NamedBlock
  uploadedBytes: number
  replaced: string[]
}

/** Undefined for a block of which the disk does not give every byte: the recovery point is made without it, and the answer names it. */
async function uploadIfReadable(request: StoreRequest, block: SnapshotBlock): Promise<UploadedSnapshotBlock | undefined> {
  try {
    return await upload(request, block, blockPrefix(block.meta.ulid))
  } catch (error) {
    if (!hasCode(error, 'DAMAGED') || !request.check.isUnreadable(block)) throw error
    return undefined
  }
}

async function upload(request: StoreRequest, block: SnapshotBlock, prefix: string): Promise<UploadedSnapshotBlock> {
  const { meta } = block
  const stored = await uploadBlock(request.store, {
    prefix,
    files: block.files.map((file) => ({ relPath: file.relPath, body: request.check.body(block, file) })),
    metaText: (files) => thanosMeta(meta, { labels: request.point.source.externalLabels, files, source: 'prom-dr' }),
    limit: request.limit,
    onProgress: (bytes) => request.progress.advance(bytes),
    signal: request.signal,
  })
  return { named: namedBlock(meta, stored), uploadedBytes: stored.uploadedBytes, replaced: stored.replaced }
}

/**
 * A run that was paused between its last look and its manifest for longer than a lease may have been taken for dead, and its
 * head removed: then what it has just committed is looked at once more. @throws CONTENTION when something is missing
 */
async function checkFence(request: StoreRequest, point: StoredRecoveryPoint): Promise<void> {
  try {
    await request.lease.check()
  } catch (error) {
    if (!hasCode(error, 'LEASE_LOST')) return
    await recheck(request, point).catch(async (damage: unknown) => {
      await request.store.delete([recoveryPointKey(point.instance, point.id)])
      throw damage
    })
  }
}

async function recheck(request: StoreRequest, point: StoredRecoveryPoint): Promise<void> {
  await settleAll([
    recheckBlocks(request.store, point.blocks, request),
    recheckTombstones(request.store, point.instance, { ...request, blocks: point.blocks }),
    recheckArchives(request.store, point, request),
    recheckHead(request, point),
  ])
}

async function recheckHead(request: StoreRequest, point: StoredRecoveryPoint): Promise<void> {
  if (point.head.kind !== 'block') return
  const missing = missingFile(point.head.block.files, await listFiles(request.store, headPrefix(point.instance, point.head.block.ulid), request))
  if (missing === undefined) return
  throw new PromDrError('CONTENTION', `the head block lost ${missing.path} while the backup ran: ${missing.reason}`, { hint: 'nothing was committed; run the backup again' })
}

function serverBlock(block: SnapshotBlock) {
  const { ulid, minTime, maxTime, compaction, stats } = block.meta
  return { ulid, minTime, maxTime, level: compaction.level, sources: compaction.sources, numSamples: stats.numSamples, hasTombstones: block.tombstones !== undefined }
}

function headWithoutBlock(head: StoreRequest['head']): Head {
  if (head === 'empty' || head === 'omitted') return { kind: head }
  if ('generation' in head) return head
  throw new PromDrError('INTERNAL', `the head block ${head.meta.ulid} was not stored`)
}

function sizeOf(block: SnapshotBlock): number {
  return block.files.reduce((sum, file) => sum + file.sizeBytes, 0)
}

/** Renews lease and intent while the uploads run; a failure to do so stops the backup before its manifest. */
function keepAlive(request: StoreRequest, intent: () => Promise<unknown>): { check(): void; stop(): void } {
  let failure: unknown
  const remember = (error: unknown) => {
    failure ??= error
  }
  const renewal = setInterval(() => void request.lease.renew().catch(remember), leaseRenewalMs)
  const refresh = setInterval(() => void intent().catch(remember), intentRefreshMs)
  renewal.unref()
  refresh.unref()
  return {
    check() {
      if (failure instanceof PromDrError) throw failure
      if (failure !== undefined) throw new PromDrError('INTERNAL', `the lease could not be renewed: ${messageOf(failure)}`, { cause: failure })
    },
    stop() {
      clearInterval(renewal)
      clearInterval(refresh)
    },
  }
}
