import pLimit from 'p-limit'
import { lockOf } from '../../domain/tier-storage.ts'
import { recoveryPointKey } from '../../repository/layout.ts'
import { namesOf } from '../../repository/named-objects.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import type { RepositoryTiering } from '../backup/backup-context.ts'

interface LockRequest {
  store: ObjectStore
  tiering?: RepositoryTiering | undefined
  signal: AbortSignal
}

const requestsAtOnce = 8
const dayMs = 24 * 3_600_000

/**
 * Locks everything that a recovery point of locked tiers names, what it took over from earlier ones included, before its manifest is
 * written: what exists is locked. A crash leaves locks that end by themselves. @throws STORE_REJECTED where the store has no locks
 */
export async function lockNamed(point: StoredRecoveryPoint, request: LockRequest): Promise<void> {
  for (const name of namesOf(point).names) await lockBelow(name, point, request)
}

/** After the manifest: it is the last to be locked. */
export async function lockManifest(point: StoredRecoveryPoint, request: LockRequest): Promise<void> {
  await lockBelow(recoveryPointKey(point.instance, point.id), point, request)
}

async function lockBelow(prefix: string, point: StoredRecoveryPoint, { store, tiering, signal }: LockRequest): Promise<void> {
  const lock = tiering && lockOf(point.tiers, tiering.tiers)
  if (tiering === undefined || lock === undefined) return
  const until = new Date((await store.now({ signal })).getTime() + lock.days * dayMs)
  const limit = pLimit(requestsAtOnce)
  const locking: Promise<void>[] = []
  for await (const { key } of tiering.objects.listClasses(prefix, { signal })) {
    if (!key.endsWith('deletion-mark.json')) locking.push(limit(() => tiering.objects.lock(key, { mode: lock.mode, until }, { signal })))
  }
  await Promise.all(locking)
}
