import pLimit from 'p-limit'
import { type Keeper, classKeptIn, isColder } from '../../domain/tier-storage.ts'
import { isBulkKey } from '../../repository/data-keys.ts'
import type { NamedPoint } from '../../repository/named-objects.ts'
import type { Removable } from '../../repository/removables.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import type { RepositoryTiering } from '../backup/backup-context.ts'

/** What cannot be removed yet, and until when, RFC 3339. */
export interface LockedThing {
  name: string
  until: string
}

const requestsAtOnce = 8
const mostCopyBytes = 5 * 2 ** 30

/** Until when the object is locked, by the store's clock; undefined when it may go. Stores without configured locks are not asked. */
export async function lockOn(tiering: RepositoryTiering | undefined, key: string, { store, signal }: { store: ObjectStore; signal: AbortSignal }): Promise<Date | undefined> {
  if (tiering === undefined || !locksIn(tiering)) return undefined
  let latest: Date | undefined
  // By listing, since what is stored may have another name than it is known by.
  for await (const object of tiering.objects.listClasses(key, { signal })) {
    const until = await tiering.objects.lockedUntil(object.key, { signal })
    if (until !== undefined && (latest === undefined || until > latest)) latest = until
  }
  return latest !== undefined && latest > (await store.now({ signal })) ? latest : undefined
}

/** The same of a block, a head, or anything else that goes as a whole. */
export async function lockOnRemovable(tiering: RepositoryTiering | undefined, { name }: Pick<Removable, 'name'>, options: { store: ObjectStore; signal: AbortSignal }): Promise<LockedThing | undefined> {
  const until = await lockOn(tiering, name, options)
  return until === undefined ? undefined : { name, until: until.toISOString() }
}

function locksIn({ tiers }: RepositoryTiering): boolean {
  return Object.values(tiers).some((tier) => tier.lock !== undefined)
}

export interface MoveRequest {
  tiering?: RepositoryTiering | undefined
  /** Every recovery point that is left, of all instances; those without keepers are not judged here, and what they name stays where it is. */
  points: readonly { point: NamedPoint; keepers: readonly Keeper[] | undefined }[]
  apply: boolean
  signal: AbortSignal
}

/**
 * Moves what lives on for longer tiers alone to their class of storage, within the store. What any recovery point names that is kept for a
 * shorter tier stays. A crash leaves some moved; the next run goes on.
 */
export async function moveToClasses({ tiering, points, apply, signal }: MoveRequest): Promise<{ movedObjects: number; movedBytes: number }> {
  const moved = { movedObjects: 0, movedBytes: 0 }
  if (tiering === undefined || Object.values(tiering.tiers).every(({ storageClass }) => storageClass === undefined)) return moved
  const keepers = new Map<string, Set<Keeper> | 'not judged'>()
  for (const { point, keepers: own } of points) {
    for (const name of point.names) {
      const known = keepers.get(name)
      if (own === undefined || known === 'not judged') keepers.set(name, 'not judged')
      else keepers.set(name, new Set([...(known ?? []), ...own]))
    }
  }
  const limit = pLimit(requestsAtOnce)
  await Promise.all([...keepers].map(([name, of]) => limit(async () => {
    const wanted = of === 'not judged' ? undefined : classKeptIn(of, tiering.tiers)
    if (wanted === undefined) return
    for await (const object of tiering.objects.listClasses(name, { signal })) {
      if (!isBulkKey(object.key) || object.sizeBytes > mostCopyBytes || !isColder(wanted, object.storageClass)) continue
      if (apply) await tiering.objects.moveToClass(object.key, wanted, { signal })
      moved.movedObjects += 1
      moved.movedBytes += object.sizeBytes
    }
  })))
  return moved
}
