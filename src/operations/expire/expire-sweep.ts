import pLimit from 'p-limit'
import { expiryStep } from '../../domain/expiry.ts'
import { PromDrError, hasCode } from '../../errors.ts'
import { deletionDelayMs, isOfAge, readMark, writeMark } from '../../repository/deletion-marks.ts'
import { readSmallObject } from '../../repository/documents.ts'
import { markKeyOf } from '../../repository/layout.ts'
import { type Look, type NameReader, tombstonesInStream } from '../../repository/named-objects.ts'
import { type Removable, listRemovableBlocks, listRemovablesOf } from '../../repository/removables.ts'
import { settleAll } from '../../repository/stored-blocks.ts'
import { type ObjectStore, bytesBody } from '../../stores/object-store.ts'
import type { Clock } from '../../system/clock.ts'
import type { RepositoryTiering } from '../backup/backup-context.ts'
import type { SweptCounts } from './expire-report.ts'
import { type LockedThing, lockOnRemovable } from './expire-tiering.ts'
import type { Logger } from '../../system/logger.ts'

export interface SweepRequest {
  store: ObjectStore
  tiering?: RepositoryTiering | undefined
  names: NameReader
  /** Whose heads, tombstones and archives are looked through: those whose lease is held. Blocks are everybody's. */
  instances: readonly string[]
  /** False: nothing is changed. */
  apply: boolean
  /** Recovery points that count as gone already. */
  without: ReadonlySet<string>
  /** Called before each removal. @throws when the lease was lost */
  check(): void
  clock: Clock
  logger: Logger
  signal: AbortSignal
}

export interface SweepOutcome extends SweptCounts {
  /** When the oldest mark that waits comes of age, ms. */
  nextRemovalMs: number | null
  /** What would have gone, and is locked. */
  locked: LockedThing[]
}

/** How old a look may be when a removal begins. */
const lookLifeMs = 20_000
/** And for how long after it the removal goes on: one that was paused for longer looks again. A backup that finds an expiry running waits out twice this. */
export const removalWindowMs = 60_000
const tombstonesPauseMs = 5_000
const mostTombstonesBytes = 64 * 1024 * 1024
const stepsAtOnce = 8
const mostTries = 3

/**
 * The second phase: what no manifest and no live intent names is marked; what was marked the delay ago, and still is and is still
 * unnamed, goes. A crash leaves marks, or a thing without its first files and with its mark, which the next run removes.
 */
export async function sweep(request: SweepRequest): Promise<SweepOutcome> {
  const { store, signal, apply } = request
  const outcome: SweepOutcome = { markedBlocks: 0, deletedBlocks: 0, markedObjects: 0, deletedObjects: 0, freedBytes: 0, waitingBytes: 0, nextRemovalMs: null, locked: [] }
  const removables = await listRemovableBlocks(store, { signal })
  const inStream = new Set<string>()
  for (const instance of request.instances) {
    removables.push(...(await listRemovablesOf(store, instance, { signal })))
    for (const key of await tombstonesInStream(store, instance, { signal })) inStream.add(key)
  }
  // After the listing: what was stored and named since is named now.
  const look = await request.names.look({ signal })
  const named = namedWithout(look, request.without)
  const waiting: Removable[] = []
  const limit = pLimit(stepsAtOnce)
  await settleAll(removables.map((removable) => limit(async () => {
    const { name } = removable
    const step = expiryStep({ marked: removable.marked, named: named.has(name) || inStream.has(name), intended: look.byIntent.has(name) })
    if (step === 'take-back' && apply) await store.delete([markKeyOf(name)], { signal })
    if (step === 'mark') await mark(removable, request, outcome)
    if (step === 'wait') waiting.push(removable)
  })))
  await removeAged(waiting, request, outcome)
  return outcome
}

function namedWithout(look: Look, without: ReadonlySet<string>): Set<string> {
  return without.size === 0 ? look.byManifest : new Set(look.points.filter(({ id }) => !without.has(id)).flatMap(({ names }) => names))
}

async function mark(removable: Removable, request: SweepRequest, outcome: SweepOutcome): Promise<void> {
  const { store, signal } = request
  const atMs = (await store.now({ signal })).getTime()
  if (request.apply) await writeMark(store, markKeyOf(removable.name), { id: markId(removable), atMs, signal })
  count(outcome, removable, 'marked')
  wait(outcome, removable, atMs)
}

/** Thanos knows its blocks by their ULID. */
function markId({ name }: Removable): string {
  return name.split('/').filter((part) => part !== '').at(-1) ?? name
}

function wait(outcome: SweepOutcome, removable: Removable, markedAtMs: number): void {
  outcome.waitingBytes += removable.sizeBytes
  outcome.nextRemovalMs = Math.min(outcome.nextRemovalMs ?? Number.POSITIVE_INFINITY, markedAtMs + deletionDelayMs)
}

function count(outcome: SweepOutcome, { kind }: Removable, verb: 'marked' | 'deleted'): void {
  if (verb === 'marked') outcome[kind === 'block' ? 'markedBlocks' : 'markedObjects'] += 1
  else outcome[kind === 'block' ? 'deletedBlocks' : 'deletedObjects'] += 1
}

async function removeAged(waiting: readonly Removable[], request: SweepRequest, outcome: SweepOutcome): Promise<void> {
  const { store, signal, clock } = request
  const watch = createWatch(request)
  const removedTombstones = new Map<string, Buffer>()
  const limit = pLimit(stepsAtOnce)
  await settleAll(waiting.map((removable) => limit(async () => {
    const markedAtMs = await markedAt(removable, request)
    if (markedAtMs === undefined) return
    if (!isOfAge(markedAtMs, (await store.now({ signal })).getTime())) {
      wait(outcome, removable, markedAtMs)
      return
    }
    const lock = await lockOnRemovable(request.tiering, removable, request)
    if (lock !== undefined) outcome.locked.push(lock)
    else if (!request.apply || (await remove(removable, { ...request, watch, removedTombstones }))) {
      count(outcome, removable, 'deleted')
      outcome.freedBytes += removable.sizeBytes
    }
  })))
  if (removedTombstones.size === 0) return
  // The shipped WAL names deletions without an intent: what it named meanwhile is put back.
  await clock.sleep(tombstonesPauseMs, signal)
  await putBackNamed(removedTombstones, request)
}

/** A mark that cannot be read begins anew: how old it is nobody knows. */
async function markedAt({ name }: Removable, { store, signal, apply, logger }: SweepRequest): Promise<number | undefined> {
  const key = markKeyOf(name)
  try {
    return await readMark(store, key, { signal })
  } catch (error) {
    if (!hasCode(error, 'DAMAGED')) throw error
    logger.warn({ key }, 'a deletion mark could not be read: it begins anew')
    const nowMs = (await store.now({ signal })).getTime()
    if (apply) await writeMark(store, key, { id: markId({ name } as Removable), atMs: nowMs, signal })
    return nowMs
  }
}

interface Watch {
  /** What is named, by a look that is fresh enough to begin a removal after. */
  fresh(): Promise<Look>
}

function createWatch({ names, clock, signal }: SweepRequest): Watch {
  let look: { startedAtMs: number; found: Promise<Look> } | undefined
  return {
    fresh() {
      const nowMs = clock.now().getTime()
      if (look === undefined || nowMs - look.startedAtMs > lookLifeMs) look = { startedAtMs: nowMs, found: names.look({ signal }) }
      return look.found
    },
  }
}

/** @returns false when something names it after all, or its mark was taken back */
async function remove(removable: Removable, request: SweepRequest & { watch: Watch; removedTombstones: Map<string, Buffer> }): Promise<boolean> {
  const { store, clock, signal, watch, removedTombstones } = request
  const { name, kind, keys } = removable
  const markKey = markKeyOf(name)
  const [first, rest] = kind === 'block' || kind === 'head' ? [keys.slice(0, 1), keys.slice(1)] : [[], keys]
  for (const batch of [first, rest, [markKey]]) {
    if (batch.length === 0) continue
    for (let tries = 1; ; tries += 1) {
      const look = await watch.fresh()
      if (look.byManifest.has(name) || look.byIntent.has(name)) return false
      // Whoever named it in between has taken the mark back.
      const markedAtMs = await readMark(store, markKey, { signal })
      if (markedAtMs === undefined || !isOfAge(markedAtMs, (await store.now({ signal })).getTime())) return false
      if (kind === 'tombstones' && batch === rest && !removedTombstones.has(name)) {
        const content = await contentOf(name, request)
        if (content === undefined) return false
        removedTombstones.set(name, content)
      }
      if (clock.now().getTime() - look.startedAtMs < removalWindowMs) break
      if (tries === mostTries) throw new PromDrError('CONTENTION', `${store.url} is too slow to remove from: looking what is named took longer than ${removalWindowMs / 1000} s`, { hint: 'nothing that is needed was removed; run it again when the store is less busy' })
    }
    request.check()
    await store.delete(batch, { signal })
  }
  return true
}

/** Undefined for what is sealed on a host without the key: what could not be put back stays. It is small. */
async function contentOf(key: string, { store, signal, logger }: SweepRequest): Promise<Buffer | undefined> {
  try {
    return await readSmallObject(store, key, mostTombstonesBytes, { signal })
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return Buffer.alloc(0)
    if (!hasCode(error, 'KEY_MISSING')) throw error
    logger.info({ key }, 'sealed deletions that nothing names stay: they are removed by a host that can read them')
    return undefined
  }
}

async function putBackNamed(removed: ReadonlyMap<string, Buffer>, { store, names, instances, signal }: SweepRequest): Promise<void> {
  const { byManifest } = await names.look({ signal })
  const named = new Set(byManifest)
  for (const instance of instances) for (const key of await tombstonesInStream(store, instance, { signal })) named.add(key)
  for (const [key, bytes] of removed) if (named.has(key) && bytes.length > 0) await store.put(key, bytesBody(bytes), { signal })
}
