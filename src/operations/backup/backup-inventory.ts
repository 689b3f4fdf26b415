import pLimit from 'p-limit'
import type { Coverable } from '../../domain/compaction-cover.ts'
import type { NamedBlock } from '../../domain/recovery-point.ts'
import { type Tier, periodOf, tiers } from '../../domain/tiers.ts'
import { holdsTsdb, recoveryPointIdTime } from '../../domain/recovery-point.ts'
import { hasCode } from '../../errors.ts'
import { mayTakeBack, readDeletionMark } from '../../repository/deletion-marks.ts'
import { blockPrefix } from '../../repository/layout.ts'
import { listRecoveryPointIds, readRecoveryPoint } from '../../repository/recovery-points.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import { listBlockUlids, listBlocks, missingFile, readStoredMeta } from '../../repository/stored-blocks.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import { parseBlockMeta, parseThanosFiles } from '../../tsdb/block-meta.ts'
import { isInOrder } from '../../domain/block.ts'
import type { SnapshotBlock } from './snapshot-block.ts'

/** A block of the repository that a new recovery point may name. */
export interface StoredBlock extends Coverable {
  named: NamedBlock
}

/** What one repository holds that matters to the next backup of this instance. */
export interface Inventory {
  stored: StoredBlock[]
  /** Blocks, whole or not, with a deletion mark that may still be taken back. */
  marked: string[]
  /** Blocks whose deletion mark is too old to be taken back: absent, and to be removed before they are stored again. */
  condemned: string[]
  tiers: Tier[]
  /** The newest recovery point of the TSDB that can be read. */
  previous: StoredRecoveryPoint | undefined
  /** The newest that can be read at all: expiry never removes it, so that what it names can be used again. */
  newest: StoredRecoveryPoint | undefined
  warnings: string[]
}

export interface InventoryRequest {
  store: ObjectStore
  instance: string
  /** The server's blocks, head aside. */
  blocks: readonly SnapshotBlock[]
  createdAt: number
  timezone: string
  signal?: AbortSignal | undefined
}

/** What a repository tells before it is known what the server has. */
export interface StoredAlready extends Pick<Inventory, 'previous' | 'newest'> {
  /** Of all recovery points, oldest first. */
  ids: readonly string[]
  /** ULIDs of which anything was there. */
  existing: ReadonlySet<string>
  readPoint: ReadPoint
}

/** Undefined for a manifest that cannot be read: it names nothing that can be relied on; `verify` reports it. */
export type ReadPoint = (id: string) => Promise<StoredRecoveryPoint | undefined>

/** Reads ahead. Each manifest is read once: nobody else writes any while the lease of `backup` is held. */
export async function readAhead(request: Omit<InventoryRequest, 'blocks'>): Promise<StoredAlready> {
  const { store, instance } = request
  const points = new Map<string, ReturnType<ReadPoint>>()
  const readPoint: ReadPoint = (id) => {
    const point = points.get(id) ?? readOrSkip(id, request)
    points.set(id, point)
    return point
  }
  const readPoints = async () => {
    const { ids } = await listRecoveryPointIds(store, instance, request)
    const newest = await newestReadable(ids, readPoint)
    // Those that will be asked for their tiers.
    await openTiers(ids, { ...request, readPoint })
    return { ids, ...newest }
  }
  const [told, existing] = await Promise.all([readPoints(), listBlockUlids(store, request)])
  return { ...told, existing, readPoint }
}

/**
 * Reads what is stored: the blocks that the newest recovery point names, and those of the server's blocks (and of the
 * blocks they were compacted from) that an unfinished backup left. Only blocks that are whole in the listing count.
 */
export async function readInventory(ahead: StoredAlready, request: InventoryRequest): Promise<Inventory> {
  const { store } = request
  const { ids, newest, previous, existing, readPoint } = ahead
  const inventory: Inventory = { stored: [], marked: [], condemned: [], tiers: await openTiers(ids, { ...request, readPoint }), previous, newest, warnings: [] }
  const named = new Map((previous?.blocks ?? []).map((block) => [block.ulid, block]))
  const local = new Map(request.blocks.map((block) => [block.meta.ulid, block]))
  const sources = request.blocks.filter((block) => block.meta.compaction.level > 1).flatMap((block) => block.meta.compaction.sources)
  const candidates = [...new Set([...named.keys(), ...local.keys(), ...sources])]
  const present = candidates.filter((ulid) => existing.has(ulid))
  const files = await listBlocks(store, present, request)
  const limit = pLimit(16)
  await Promise.all(present.map((ulid) => limit(async () => {
    const found = files.get(ulid)
    if (found?.marked === true) {
      const canBeNamed = await canTakeBack(request, ulid)
      inventory[canBeNamed ? 'marked' : 'condemned'].push(ulid)
      if (!canBeNamed) return
    }
    const known = named.get(ulid) ?? (found?.files.has('meta.json') === true ? await readUnnamed(request, ulid) : undefined)
    if (known === undefined || !agrees(known, local.get(ulid))) return
    const missing = missingFile(known.files, found)
    if (missing === undefined) inventory.stored.push({ ...coverable(known, await sourcesOf(request, known, local.get(ulid))), named: known })
    else if (named.has(ulid)) inventory.warnings.push(damageWarning(store, ulid, { missing, repairable: local.has(ulid) }))
  })))
  for (const ulid of named.keys()) {
    if (!existing.has(ulid)) inventory.warnings.push(damageWarning(store, ulid, { missing: { path: 'meta.json', reason: 'it is missing' }, repairable: local.has(ulid) }))
  }
  return inventory
}

type TierRequest = Omit<InventoryRequest, 'blocks'> & {
  readPoint?: ReadPoint
  /** Whether a recovery point can stand for the one that is made; default: when it has a TSDB. */
  counts?(point: StoredRecoveryPoint): boolean
}

/** The tiers that no recovery point stands for yet. In each period the oldest is asked first: it is the likeliest to. */
export async function openTiers(ids: readonly string[], request: TierRequest): Promise<Tier[]> {
  const { counts = holdsTsdb, readPoint = (id: string) => readOrSkip(id, request) } = request
  const open: Tier[] = []
  const read = new Map<string, readonly Tier[]>()
  for (const tier of tiers) {
    const period = periodOf(tier, request.createdAt, request.timezone)
    const inPeriod = ids.filter((id) => periodOf(tier, recoveryPointIdTime(id), request.timezone) === period)
    let served = false
    for (const id of inPeriod) {
      if (!read.has(id)) {
        const point = await readPoint(id)
        read.set(id, point !== undefined && counts(point) ? point.tiers : [])
      }
      served = read.get(id)?.includes(tier) === true
      if (served) break
    }
    if (!served) open.push(tier)
  }
  return open
}

/** The newest recovery point that can be read, and the newest of these with a TSDB. */
export async function newestReadable(ids: readonly string[], readPoint: ReadPoint): Promise<Pick<Inventory, 'newest' | 'previous'>> {
  let newest: StoredRecoveryPoint | undefined
  for (const id of [...ids].reverse()) {
    const point = await readPoint(id)
    newest ??= point
    if (point !== undefined && holdsTsdb(point)) return { newest, previous: point }
  }
  return { newest, previous: undefined }
}

export async function readOrSkip(id: string, request: Pick<InventoryRequest, 'store' | 'instance' | 'signal'>): Promise<StoredRecoveryPoint | undefined> {
  try {
    return await readRecoveryPoint(request.store, request.instance, { id, signal: request.signal })
  } catch (error) {
    if (hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND')) return undefined
    throw error
  }
}

async function canTakeBack(request: InventoryRequest, ulid: string): Promise<boolean> {
  const markedAt = await readDeletionMark(request.store, ulid, request)
  if (markedAt === undefined) return true
  return mayTakeBack(markedAt, (await request.store.now(request.signal === undefined ? {} : { signal: request.signal })).getTime())
}

/** A whole block that no recovery point of ours names, or undefined when its meta.json is not to be trusted. */
async function readUnnamed(request: InventoryRequest, ulid: string): Promise<NamedBlock | undefined> {
  try {
    const stored = await readStoredMeta(request.store, blockPrefix(ulid), request)
    const meta = parseBlockMeta(stored.text, ulid)
    const files = Object.fromEntries(parseThanosFiles(meta).map((file) => [file.relPath, file.sizeBytes]))
    return namedBlock(meta, { files: { ...files, 'meta.json': stored.sizeBytes }, metaSha256: stored.sha256 })
  } catch (error) {
    if (hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND')) return undefined
    throw error
  }
}

/** Sources are not in manifests (a month's block has hundreds): they come from the server's meta.json or the stored one. */
async function sourcesOf(request: InventoryRequest, block: NamedBlock, local: SnapshotBlock | undefined): Promise<string[]> {
  if (local !== undefined) return local.meta.compaction.sources
  if (block.level === 1) return [block.ulid]
  try {
    const { text } = await readStoredMeta(request.store, blockPrefix(block.ulid), { ...request, expectedSha256: block.metaSha256 })
    return parseBlockMeta(text, block.ulid).compaction.sources
  } catch (error) {
    if (hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND')) return []
    throw error
  }
}

export function namedBlock(meta: SnapshotBlock['meta'], stored: Pick<NamedBlock, 'files' | 'metaSha256'>): NamedBlock {
  return {
    ulid: meta.ulid,
    minTime: meta.minTime,
    maxTime: meta.maxTime,
    level: meta.compaction.level,
    inOrder: isInOrder(meta),
    numSeries: meta.stats.numSeries,
    numSamples: meta.stats.numSamples,
    numChunks: meta.stats.numChunks,
    ...stored,
  }
}

/** What stands under a block's name in the repository is the server's block only where their files are of the same sizes. */
function agrees(stored: NamedBlock, local: SnapshotBlock | undefined): boolean {
  if (local === undefined) return true
  return local.files.length + 1 === Object.keys(stored.files).length && local.files.every(({ relPath, sizeBytes }) => stored.files[relPath] === sizeBytes)
}

function coverable(block: NamedBlock, sources: string[]): Coverable {
  return { ulid: block.ulid, minTime: block.minTime, maxTime: block.maxTime, sources, numSamples: block.numSamples, hasTombstones: block.tombstones !== undefined }
}

function damageWarning(store: ObjectStore, ulid: string, damage: { missing: { path: string; reason: string }; repairable: boolean }): string {
  const remedy = damage.repairable ? 'it is stored again from the server' : 'the server no longer has it: older recovery points that name it are damaged, run "prom-dr verify"'
  return `block ${ulid} in ${store.url} is damaged: ${damage.missing.path}: ${damage.missing.reason}; ${remedy}`
}
