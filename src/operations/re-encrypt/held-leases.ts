import { setInterval } from 'node:timers'
import { PromDrError, messageOf } from '../../errors.ts'
import { type Holder, type Lease, acquireLease, leaseDurationMs, leaseRenewalMs } from '../../repository/lease.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import type { Logger } from '../../system/logger.ts'

/** Leases that are held together. */
export interface HeldLeases {
  /**
   * Nobody else can have taken any of them from the last time until now: what is sent next stands on it.
   * @throws LEASE_LOST also where nobody has taken one, but somebody could have
   */
  confirm(): Promise<void>
}

interface HeldLeasesRequest {
  store: ObjectStore
  instance: string
  self: Holder
  isDead(other: Holder): boolean
  logger: Logger
  signal: AbortSignal
}

/** While manifests are rewritten no backup commits one and no expiry removes one. @throws LOCKED */
export async function withHeldLeases(request: HeldLeasesRequest, work: (leases: HeldLeases) => Promise<void>): Promise<void> {
  const { store, instance, self: holder, isDead, logger, signal } = request
  const leases: Lease[] = []
  let renewal: NodeJS.Timeout | undefined
  let confirmedAtMs = await nowMs()
  try {
    for (const verb of ['backup', 'expire'] as const) leases.push(await acquireLease({ store, instance, verb, holder, isDead, signal }))
    renewal = setInterval(() => void confirm().catch((error: unknown) => logger.warn({ store: store.url, error: messageOf(error) }, 'a lease could not be renewed')), leaseRenewalMs)
    renewal.unref()
    await work({ confirm })
  } finally {
    clearInterval(renewal)
    for (const lease of leases) await lease.release().catch((error: unknown) => logger.warn({ store: store.url, error: messageOf(error) }, 'the lease could not be given back: it runs out by itself'))
  }

  async function nowMs(): Promise<number> {
    return (await store.now({ signal })).getTime()
  }

  /** By the store's clock, which goes on while a host stands still: in the middle of a renewal, or between two of them. */
  async function confirm(): Promise<void> {
    const startedAtMs = await nowMs()
    if (startedAtMs - confirmedAtMs > leaseDurationMs - leaseRenewalMs) throw lost()
    for (const lease of leases) await lease.renew()
    if ((await nowMs()) - startedAtMs > leaseRenewalMs) throw lost()
    confirmedAtMs = Math.max(confirmedAtMs, startedAtMs)
  }

  function lost(): PromDrError {
    return new PromDrError('LEASE_LOST', `this run stood still for so long that a backup or an expiry of instance ${instance} may have begun in ${store.url}`, { hint: 'nothing is lost; run the same command again: it goes on where this one was' })
  }
}
