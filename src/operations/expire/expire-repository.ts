import { type Retention, type RetentionDecision, isInForce, planRetention } from '../../domain/retention.ts'
import type { Keeper } from '../../domain/tier-storage.ts'
import { PromDrError, messageOf } from '../../errors.ts'
import { readFormat } from '../../repository/format.ts'
import { readHold, readHolds, removeHold } from '../../repository/holds.ts'
import { recoveryPointKey } from '../../repository/layout.ts'
import { type Holder, type Lease, acquireLease, leaseRenewalMs } from '../../repository/lease.ts'
import { type Look, NameReader, type NamedPoint } from '../../repository/named-objects.ts'
import { listInstances } from '../../repository/recovery-points.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import type { Clock } from '../../system/clock.ts'
import type { Logger } from '../../system/logger.ts'
import type { RepositoryTiering } from '../backup/backup-context.ts'
import { type SweepOutcome, sweep } from './expire-sweep.ts'
import { lockOn, moveToClasses } from './expire-tiering.ts'

export interface ExpireRepositoryRequest {
  store: ObjectStore
  tiering?: RepositoryTiering | undefined
  /** Undefined: all that there are. */
  instance: string | undefined
  retention: Retention
  timezone: string
  apply: boolean
  self: Holder
  isDead(other: Holder): boolean
  clock: Clock
  logger: Logger
  signal: AbortSignal
}

export interface Judged {
  point: NamedPoint
  decision: RetentionDecision
}

export interface ExpiryOutcome extends SweepOutcome {
  instances: string[]
  judged: Judged[]
  /** Copied within the store to the class of the tier that they live on for. */
  movedObjects: number
  movedBytes: number
}

/**
 * Expires one repository: manifests that no rule keeps go first, then in two phases what nothing names. Only reads where it is not told
 * to apply. A crash between two manifests leaves the rest for the next run.
 * @throws DAMAGED while a manifest of any instance cannot be read: nothing was removed; LOCKED
 */
export async function expireRepository(request: ExpireRepositoryRequest): Promise<ExpiryOutcome> {
  const { store, apply, signal, clock } = request
  await readFormat(store, { signal })
  const instances = await chooseInstances(request)
  const leases = await acquireAll(instances, request)
  const stop = keepAlive(leases)
  try {
    const names = new NameReader(store, clock)
    const look = await names.look({ signal })
    const judged = await judge(look, { ...request, instances })
    for (const one of judged) await keepLocked(one, request)
    const gone = judged.filter(({ decision }) => !decision.keep)
    if (apply) {
      for (const one of gone) {
        stop.check()
        await removePoint(one, request)
      }
      await tidy(look, { ...request, instances })
    }
    const without = new Set(apply ? [] : gone.map(({ point }) => point.id))
    const swept = await sweep({ ...request, names, instances, without, check: stop.check })
    const moved = await moveToClasses({ ...request, points: keepersOf(look, judged) })
    return { ...swept, ...moved, instances, judged }
  } finally {
    stop.stop()
    for (const lease of leases) await lease.release().catch((error: unknown) => request.logger.warn({ store: store.url, error: messageOf(error) }, 'the lease could not be given back: it runs out by itself'))
  }
}

/** @throws INSTANCE_NOT_FOUND: nothing is written under a name that is not there */
async function chooseInstances({ store, instance, signal }: ExpireRepositoryRequest): Promise<string[]> {
  const all = await listInstances(store, { signal })
  if (instance === undefined) return all
  if (all.includes(instance)) return [instance]
  throw new PromDrError('INSTANCE_NOT_FOUND', `nothing of instance ${JSON.stringify(instance.slice(0, 100))} is in ${store.url}`, { hint: all.length === 0 ? 'run "prom-dr backup" first' : `it has: ${all.join(', ')}; choose with --instance`, details: { others: all } })
}

async function acquireAll(instances: readonly string[], request: ExpireRepositoryRequest): Promise<Lease[]> {
  const { store, self, isDead, signal } = request
  const leases: Lease[] = []
  try {
    for (const instance of request.apply ? instances : []) leases.push(await acquireLease({ store, instance, verb: 'expire', holder: self, isDead, signal }))
    return leases
  } catch (error) {
    for (const lease of leases) await lease.release()
    throw error
  }
}

/** Recovery points of components alone are counted apart: many of them must not drive out one with samples. */
async function judge(look: Look, request: ExpireRepositoryRequest & { instances: readonly string[] }): Promise<Judged[]> {
  const { store, retention, timezone, signal } = request
  const nowMs = (await store.now({ signal })).getTime()
  const judged: Judged[] = []
  for (const instance of request.instances) {
    const holds = await readHolds(store, instance, { signal })
    for (const tsdb of [true, false]) {
      const points = look.points.filter((point) => point.instance === instance && point.tsdb === tsdb)
      const byId = new Map(points.map((point) => [point.id, point]))
      for (const decision of planRetention(points, { retention, holds, nowMs, timezone, componentsAlone: !tsdb })) judged.push({ point: byId.get(decision.id) as NamedPoint, decision })
    }
  }
  return judged.sort((a, b) => a.point.createdAt - b.point.createdAt || (a.point.id < b.point.id ? -1 : 1))
}

/** What is locked cannot be removed, whatever the retention says. */
async function keepLocked({ point, decision }: Judged, request: ExpireRepositoryRequest): Promise<void> {
  const until = decision.keep ? undefined : await lockOn(request.tiering, recoveryPointKey(point.instance, point.id), request)
  if (until === undefined) return
  decision.keep = true
  decision.reasons = [`locked until ${until.toISOString()}`]
}

/** Of every recovery point that is left: what keeps it, where that was judged here. */
function keepersOf(look: Look, judged: readonly Judged[]): { point: NamedPoint; keepers: readonly Keeper[] | undefined }[] {
  const decisions = new Map(judged.map(({ point, decision }) => [point, decision]))
  return look.points.filter((point) => decisions.get(point)?.keep !== false).map((point) => ({ point, keepers: decisions.get(point)?.keepers }))
}

/** Once more looks for a hold, which may have been written since. */
async function removePoint({ point, decision }: Judged, { store, signal, logger }: ExpireRepositoryRequest): Promise<void> {
  const { instance, id } = point
  const hold = await readHold(store, instance, { id, signal })
  if (hold !== undefined && isInForce(hold, (await store.now({ signal })).getTime())) {
    decision.keep = true
    decision.reasons = [`held: ${hold.reason}`]
    return
  }
  logger.info({ store: store.url, instance, recoveryPoint: id, reasons: decision.reasons }, 'a recovery point expires')
  await store.delete([recoveryPointKey(instance, id)], { signal })
}

/** Holds that are over or of what is gone, and intents of runs that died long ago. */
async function tidy(look: Look, { store, instances, signal }: ExpireRepositoryRequest & { instances: readonly string[] }): Promise<void> {
  const nowMs = (await store.now({ signal })).getTime()
  for (const instance of instances) {
    for (const [id, hold] of await readHolds(store, instance, { signal })) {
      const over = !isInForce(hold, nowMs) || (await store.head(recoveryPointKey(instance, id), { signal })) === undefined
      if (over) await removeHold(store, instance, { id, signal })
    }
    await store.delete(look.deadIntents.get(instance) ?? [], { signal })
  }
}

interface KeepAlive {
  check(): void
  stop(): void
}

/** Another run that took over goes on alone: this one stops before its next removal. */
function keepAlive(leases: readonly Lease[]): KeepAlive {
  let failure: unknown
  const renewal = setInterval(() => leases.forEach((lease) => void lease.renew().catch((error: unknown) => (failure ??= error))), leaseRenewalMs)
  renewal.unref()
  return {
    check() {
      if (failure !== undefined) throw failure
    },
    stop: () => clearInterval(renewal),
  }
}
