import { tiers } from '../../domain/tiers.ts'
import { PromDrError, hasCode } from '../../errors.ts'
import type { NamedStore } from '../backup/backup.ts'
import type { DoctorContext } from './doctor-context.ts'
import type { DoctorCheck } from './doctor-report.ts'

/** Whether the store can lock what the configuration asks to be locked: backups fail where it cannot. Nothing where no tier has a lock. */
export async function checkLocks({ signal }: DoctorContext, { name, store, tiering }: NamedStore): Promise<DoctorCheck[]> {
  const locked = tiers.filter((tier) => tiering?.tiers[tier]?.lock !== undefined)
  if (tiering === undefined || locked.length === 0) return []
  const check = { area: `repository ${name}`, name: 'locks' }
  const enabled = await tiering.objects.locksEnabled({ signal }).catch((error: unknown) => {
    if (hasCode(error, 'STORE_DENIED')) return error
    throw error
  })
  if (enabled instanceof PromDrError) return [{ ...check, status: 'warn', detail: `whether the bucket has Object Lock may not be asked: ${enabled.message}`, advice: 'give this user the right s3:GetBucketObjectLockConfiguration, or see for yourself' }]
  if (!enabled) {
    return [{
      ...check, status: 'fail', detail: `s3.tiers locks what is ${locked.join(', ')}, and the bucket of ${store.url} has no Object Lock: backups of these tiers fail`,
      advice: 'enable Object Lock, which is done when a bucket is made or by its provider, or leave "lock" out of s3.tiers',
    }]
  }
  const shown = locked.map((tier) => `${tier} for ${tiering.tiers[tier]?.lock?.days} d (${tiering.tiers[tier]?.lock?.mode})`)
  return [{ ...check, status: 'ok', detail: `the bucket has Object Lock; locked are ${shown.join(', ')}` }]
}
