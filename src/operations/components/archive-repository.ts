import { setInterval } from 'node:timers'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { readIdentity } from '../../repository/identity.ts'
import { clearIntent, intentRefreshMs, removeIntent, writeIntent } from '../../repository/intents.ts'
import { encodeKnownAnswers } from '../../repository/known-answers-codec.ts'
import { recoveryPointKey } from '../../repository/layout.ts'
import type { Lease } from '../../repository/lease.ts'
import { commitRecoveryPoint, listRecoveryPointIds } from '../../repository/recovery-points.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import type { Logger } from '../../system/logger.ts'
import type { ArchiveSource } from './archive-source.ts'
import type { FailedComponent, ReportedArchive } from './archives-report.ts'
import { awaitExpiries } from '../backup/await-expiries.ts'
import type { RepositoryTiering } from '../backup/backup-context.ts'
import { lockManifest, lockNamed } from '../expire/lock-recovery-point.ts'
import { newestReadable, openTiers, readOrSkip } from '../backup/backup-inventory.ts'
import { type ArchiveRequest, planArchives, recheckArchives, storeArchives } from './store-archives.ts'

export interface ComponentsRequest extends Omit<ArchiveRequest, 'newest'> {
  lease: Lease
  createdAt: number
  source: ArchiveSource
  timezone: string
  startedAtMs: number
  now(): Date
  sleep(durationMs: number): Promise<void>
  tiering?: RepositoryTiering | undefined
  logger: Logger
}

export interface ArchivedPoint {
  point: StoredRecoveryPoint
  archives: ReportedArchive[]
  failedComponents: FailedComponent[]
  uploadedBytes: number
  reusedBytes: number
  warnings: string[]
}

const tidyTimeoutMs = 15_000

/**
 * Stores one recovery point of components alone in one repository, in the order of every backup: intent, archives, a last look, manifest.
 * A crash before the manifest leaves archives that the next run uses or expiry removes, and an intent that the next run clears.
 */
export async function storeComponents(request: ComponentsRequest): Promise<ArchivedPoint> {
  const { store, instance, recoveryPoint: id, lease, signal } = request
  const { ids } = await listRecoveryPointIds(store, instance, { signal })
  const { newest } = await newestReadable(ids, (id) => readOrSkip(id, request))
  // A recovery point with a TSDB stands for the components of its hour, too.
  const tiers = await openTiers(ids, { ...request, counts: () => true })
  const identity = await readIdentity(store, instance, { signal })
  if (identity === undefined) throw new PromDrError('CONTENTION', `the identity of instance ${instance} went from ${store.url} while it was archived`, { hint: 'nothing was committed; see what else writes to this repository' })
  const archiveRequest = { ...request, newest }
  const plan = await planArchives(archiveRequest)
  const intent = () => writeIntent(store, instance, { id, refreshedAt: request.now().toISOString(), blocks: [], heads: [], archives: plan.paths, signal })
  let refreshFailure: unknown
  let uploadedBytes = await intent()
  const refresh = setInterval(() => void intent().catch((error: unknown) => (refreshFailure ??= error)), intentRefreshMs)
  refresh.unref()
  let committing = false
  try {
    const stored = await storeArchives(plan, archiveRequest)
    if (stored.archives.length === 0) throw new PromDrError('COMPONENT_FAILED', `no component could be stored in ${store.url}: ${stored.failed.map(({ error }) => error.message).join('; ')}`, { hint: 'run "prom-dr doctor"' })
    uploadedBytes += stored.uploadedBytes
    const point: StoredRecoveryPoint = {
      id, instance, createdAt: request.createdAt, minTime: null, maxTime: null, tiers, source: request.source.sourceFor(identity, newest),
      blocks: [], head: { kind: 'none' }, archives: stored.archives,
      knownAnswers: await encodeKnownAnswers({ seed: '', series: [], queries: [], dropped: 0 }),
      cost: { uploadedBytes, reusedBytes: stored.reusedBytes, durationMs: Math.round(request.now().getTime() - request.startedAtMs) },
    }
    await awaitExpiries(store, request)
    await recheckArchives(store, point, { signal })
    await lockNamed(point, request)
    if (refreshFailure !== undefined) throw refreshFailure
    await lease.renew()
    committing = true
    uploadedBytes += await commitRecoveryPoint(store, point, { signal })
    await lockManifest(point, request)
    await lease.renew().catch(async (error: unknown) => {
      // A run that was paused for longer than its lease may have been taken for dead, and what it stored outside archives removed.
      if (!hasCode(error, 'LEASE_LOST')) return
      await recheckArchives(store, point, { signal }).catch(async (damage: unknown) => {
        await store.delete([recoveryPointKey(instance, id)])
        throw damage
      })
    })
    await removeIntent(store, instance, id).catch((failure: unknown) => request.logger.warn({ store: store.url, error: messageOf(failure) }, 'the intent could not be removed: the next run clears it'))
    return { point, archives: stored.reported, failedComponents: stored.failed, uploadedBytes, reusedBytes: stored.reusedBytes, warnings: stored.warnings }
  } catch (error) {
    // A manifest whose answer was lost may still come to be: what it names stays.
    if (committing && hasCode(error, 'STORE_UNREACHABLE', 'STORE_BAD_RESPONSE', 'INTERRUPTED')) throw error
    await clearIntent(store, instance, { id, signal: AbortSignal.timeout(tidyTimeoutMs) }).catch((failure: unknown) => request.logger.warn({ store: store.url, error: messageOf(failure) }, 'the unfinished run could not be tidied up'))
    throw error
  } finally {
    clearInterval(refresh)
  }
}
