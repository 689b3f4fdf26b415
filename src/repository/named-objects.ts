import pLimit from 'p-limit'
import { type NamedArchive, isEncrypted } from '../domain/archive.ts'
import { allBlocks } from '../domain/recovery-point.ts'
import type { Tier } from '../domain/tiers.ts'
import { PromDrError, hasCode, messageOf } from '../errors.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { signalOf } from './documents.ts'
import { readIntent } from './intents.ts'
import { archiveKey, blockPrefix, headPrefix, instancePrefix, intentsPrefix, recoveryPointKey, tombstonesKey } from './layout.ts'
import { deletionDelayMs } from './deletion-marks.ts'
import { listInstances, listRecoveryPointIds, readRecoveryPoint } from './recovery-points.ts'
import type { StoredRecoveryPoint } from './recovery-point-schema.ts'
import { settleAll } from './stored-blocks.ts'
import { readDeletions, readGenerations } from './wal-stream.ts'

interface Options {
  signal?: AbortSignal | undefined
}

/**
 * An intent that was not refreshed for so long is that of a dead run. A run that wakes up later than that is safe all the same: what it
 * named was marked at the earliest now, and it looks for marks before its manifest.
 */
export const intentLifeMs = deletionDelayMs

const instancesAtOnce = 16
/** Of damaged objects in a message. */
const shownKeys = 5

/** A recovery point, less what expiry does not need of it. */
export interface NamedPoint {
  id: string
  instance: string
  createdAt: number
  tiers: readonly Tier[]
  /** False for recovery points of components alone. */
  tsdb: boolean
  /** Prefixes (ending in `/`) and keys of everything it names. */
  names: readonly string[]
}

/** What was named when it was looked. */
export interface Look {
  /** By the clock that was given; before the first request. */
  startedAtMs: number
  points: NamedPoint[]
  /** Prefixes (ending in `/`) and keys that a manifest names. */
  byManifest: Set<string>
  /** Those that a live intent names. */
  byIntent: Set<string>
  /** Keys of intents of dead runs, by instance. */
  deadIntents: Map<string, string[]>
}

/**
 * Reads what is named in a repository, by all instances, again and again: manifests never change, so that each is read once.
 * A manifest that cannot be read may name anything.
 */
export class NameReader {
  readonly #store: ObjectStore
  readonly #now: () => Date
  readonly #known = new Map<string, NamedPoint>()

  constructor(store: ObjectStore, options: { now(): Date }) {
    this.#store = store
    this.#now = () => options.now()
  }

  /** @throws DAMAGED naming what cannot be read, REPOSITORY_TOO_NEW, and what the store throws */
  async look(options: Options = {}): Promise<Look> {
    const look: Look = { startedAtMs: this.#now().getTime(), points: [], byManifest: new Set(), byIntent: new Set(), deadIntents: new Map() }
    const nowMs = (await this.#store.now(signalOf(options))).getTime()
    const damaged: { key: string; reason: string }[] = []
    const limit = pLimit(instancesAtOnce)
    await settleAll((await listInstances(this.#store, options)).map((instance) => limit(async () => {
      // Before the manifests: a run writes its manifest before it removes its intent.
      await this.#readIntents(instance, { look, nowMs, damaged, ...options })
      await this.#readManifests(instance, { look, damaged, ...options })
    })))
    if (damaged.length === 0) return look
    const shown = damaged.slice(0, shownKeys).map(({ key }) => key).join(', ')
    throw new PromDrError('DAMAGED', `${shown}${damaged.length > shownKeys ? ` and ${damaged.length - shownKeys} more` : ''} cannot be read in ${this.#store.url}: what it names is not known, so that nothing is removed: ${damaged[0]?.reason}`, {
      hint: 'run "prom-dr verify"; bring the object back from another repository, or remove it if nothing is to be kept of it; see runbooks/repository-damage.md',
      details: { keys: damaged.map(({ key }) => key) },
    })
  }

  async #readIntents(instance: string, request: { look: Look; nowMs: number; damaged: { key: string; reason: string }[] } & Options): Promise<void> {
    const { look, nowMs, damaged } = request
    for await (const object of this.#store.list(intentsPrefix(instance), signalOf(request))) {
      if (nowMs - object.modifiedAt.getTime() >= intentLifeMs) {
        look.deadIntents.set(instance, [...(look.deadIntents.get(instance) ?? []), object.key])
        continue
      }
      try {
        const { blocks, heads, archives } = await readIntent(this.#store, object.key, request)
        for (const ulid of blocks) look.byIntent.add(blockPrefix(ulid))
        for (const ulid of heads) look.byIntent.add(headPrefix(instance, ulid))
        for (const path of archives) look.byIntent.add(`${instancePrefix(instance)}${path}`)
      } catch (error) {
        if (hasCode(error, 'OBJECT_NOT_FOUND')) continue
        if (!hasCode(error, 'DAMAGED')) throw error
        damaged.push({ key: object.key, reason: messageOf(error) })
      }
    }
  }

  async #readManifests(instance: string, request: { look: Look; damaged: { key: string; reason: string }[] } & Options): Promise<void> {
    const { look, damaged } = request
    const { ids, strange } = await listRecoveryPointIds(this.#store, instance, request)
    damaged.push(...strange.map((key) => ({ key, reason: 'it has no name of a recovery point' })))
    const limit = pLimit(16)
    const points = await Promise.all(ids.map((id) => limit(() => this.#readManifest(instance, id, request))))
    for (const point of points) {
      if (point === undefined) continue
      look.points.push(point)
      for (const name of point.names) look.byManifest.add(name)
    }
  }

  async #readManifest(instance: string, id: string, request: { damaged: { key: string; reason: string }[] } & Options): Promise<NamedPoint | undefined> {
    const key = recoveryPointKey(instance, id)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    try {
      const point = namesOf(await readRecoveryPoint(this.#store, instance, { id, signal: request.signal }))
      this.#known.set(key, point)
      return point
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
      if (!hasCode(error, 'DAMAGED')) throw error
      request.damaged.push({ key, reason: messageOf(error) })
      return undefined
    }
  }
}

export function namesOf(point: StoredRecoveryPoint): NamedPoint {
  const { id, instance, createdAt, tiers, head } = point
  const names = [
    ...point.blocks.map(({ ulid }) => blockPrefix(ulid)),
    ...(head.kind === 'block' ? [headPrefix(instance, head.block.ulid)] : []),
    ...allBlocks(point).flatMap(({ tombstones }) => (tombstones === undefined ? [] : [tombstonesKey(instance, tombstones.sha256)])),
    ...point.archives.flatMap((archive) => archiveNames(instance, archive)),
  ]
  return { id, instance, createdAt, tiers, tsdb: head.kind !== 'none', names }
}

function archiveNames(instance: string, { component, stored, external }: NamedArchive): string[] {
  const key = archiveKey(instance, { component, sha256: stored.sha256, encrypted: isEncrypted({ stored }) })
  return external === undefined ? [key] : [key, `${instancePrefix(instance)}${external.prefix}`]
}

/** Tombstones that the shipped WAL names: deletions in blocks, with the time they were first seen. */
export async function tombstonesInStream(store: ObjectStore, instance: string, options: Options = {}): Promise<Set<string>> {
  const keys = new Set<string>()
  for (const { id } of await readGenerations(store, instance, options)) {
    for (const { sha256 } of await readDeletions(store, instance, { generation: id, ...options })) keys.add(tombstonesKey(instance, sha256))
  }
  return keys
}
