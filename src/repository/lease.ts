import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { PromDrError, hasCode } from '../errors.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { createDocument, putDocument, readDocument, signalOf } from './documents.ts'
import { documentName, leaseKey, leasesPrefix } from './layout.ts'

/** Who runs: enough to tell, on the same machine, whether the process still lives. */
export interface Holder {
  machineId: string
  bootId: string
  hostname: string
  pid: number
  /** Start time of the process in clock ticks since boot: a reused pid has another. */
  processStart: string
}

/** How long a lease is good for after it was last renewed, by the store's clock. */
export const leaseDurationMs = 10 * 60_000
/** How often its holder renews it. */
export const leaseRenewalMs = 2 * 60_000
const releaseTimeoutMs = 15_000

const leaseSchema = z.looseObject({
  number: z.number().int().positive(),
  verb: z.string(),
  token: z.string(),
  holder: z.looseObject({ machineId: z.string(), bootId: z.string(), hostname: z.string(), pid: z.number().int(), processStart: z.string() }),
  acquiredAt: z.string(),
  expiresAt: z.iso.datetime(),
  releasedAt: z.string().nullable(),
})
type LeaseDocument = z.infer<typeof leaseSchema>

export interface Lease {
  readonly number: number
  /** Puts the end off. @throws LEASE_LOST when another run has taken over */
  renew(): Promise<void>
  /** Looks whether it is still held. @throws LEASE_LOST when another run has taken over */
  check(): Promise<void>
  /** Gives it back; never throws for a lease that was lost. */
  release(): Promise<void>
}

export interface LeaseRequest {
  store: ObjectStore
  instance: string
  verb: 'backup' | 'ship' | 'expire'
  holder: Holder
  /** True when the holder is a process of this machine that is known to be dead: its lease need not run out. */
  isDead(holder: Holder): boolean
  signal?: AbortSignal | undefined
}

/** A lease as it was asked for; the token tells two runs of one process apart. */
interface OwnLease extends LeaseRequest {
  number: number
  token: string
}

/** Tokens under which this process asked for leases in vain, by store: should one have come to be all the same, nobody holds it. */
const givenUp = new WeakMap<ObjectStore, Set<string>>()

/**
 * Takes the lease of a verb: one run at a time on one instance of one repository. Taking over creates the next
 * number, conditionally where the store can; the older documents go, where the store lets them be deleted. A crash leaves a lease that runs out by
 * itself, at once where the next run is on the same machine and sees that the process is gone; one that this process asked for in vain (interrupted,
 * or its answer lost) it takes over itself.
 * @throws LOCKED naming who holds it and until when
 */
export async function acquireLease(request: LeaseRequest): Promise<Lease> {
  const { store, instance, verb } = request
  const [numbers, now] = await Promise.all([leaseNumbers(request), store.now(signalOf(request))])
  const newest = numbers.at(-1)
  const nowMs = now.getTime()
  if (newest !== undefined) await refuseLiveLease(request, newest, nowMs)
  const number = (newest ?? 0) + 1
  const own: OwnLease = { ...request, number, token: randomUUID() }
  const key = leaseKey(instance, verb, number)
  const document = (expiresAtMs: number, releasedAt: string | null): LeaseDocument => ({
    number, verb, token: own.token, holder: { ...request.holder }, acquiredAt: new Date(nowMs).toISOString(), expiresAt: new Date(expiresAtMs).toISOString(), releasedAt,
  })
  try {
    await createDocument(store, key, document(nowMs + leaseDurationMs, null), request)
    // Without conditional creation two runs can both get here: the one whose document was overwritten sees it now. So
    // does one that was slow since it listed, and created a number that had come and gone.
    if (!(await isNewest(own))) throw locked(request, 'another run, which took the lease meanwhile')
    await removeOlder(request, numbers)
  } catch (error) {
    if (hasCode(error, 'OBJECT_EXISTS')) throw locked(request, 'another run, which took the lease at the same moment')
    givenUp.set(store, (givenUp.get(store) ?? new Set()).add(own.token))
    throw error
  }
  return {
    number,
    async renew() {
      const [now] = await Promise.all([store.now(signalOf(request)), requireOwnLease(own)])
      await putDocument(store, key, document(now.getTime() + leaseDurationMs, null), request)
    },
    check: () => requireOwnLease(own),
    async release() {
      // Not by the run's signal, since an interrupted run gives its lease back too; but nobody waits long for a store that is gone.
      const brief = { ...own, signal: AbortSignal.timeout(releaseTimeoutMs) }
      const [now, mine] = await Promise.all([store.now(signalOf(brief)), isNewest(brief)])
      if (mine) await putDocument(store, key, document(nowMs, now.toISOString()), brief)
    },
  }
}

/** They say nothing any more: a store that lets nobody delete, or locks its objects, keeps them. */
async function removeOlder({ store, instance, verb, signal }: LeaseRequest, numbers: readonly number[]): Promise<void> {
  try {
    await store.delete(numbers.map((old) => leaseKey(instance, verb, old)), signalOf({ signal }))
  } catch (error) {
    if (!hasCode(error, 'STORE_DENIED', 'STORE_REJECTED')) throw error
  }
}

/** How many runs of the verb hold a lease now, of this instance: one, none, or two that meet. One that cannot be read is live while it is young. */
export async function liveLeases(store: ObjectStore, instance: string, request: { verb: LeaseRequest['verb']; signal?: AbortSignal | undefined }): Promise<number> {
  const prefix = leasesPrefix(instance, request.verb)
  let live = 0
  for await (const object of store.list(prefix, signalOf(request))) {
    const nowMs = (await store.now(signalOf(request))).getTime()
    try {
      const { releasedAt, expiresAt } = await readDocument(store, object.key, leaseSchema, request)
      if (releasedAt === null && Date.parse(expiresAt) > nowMs) live += 1
    } catch (error) {
      if (!hasCode(error, 'OBJECT_NOT_FOUND', 'DAMAGED')) throw error
      if (hasCode(error, 'DAMAGED') && object.modifiedAt.getTime() + leaseDurationMs > nowMs) live += 1
    }
  }
  return live
}

async function refuseLiveLease(request: LeaseRequest, number: number, nowMs: number): Promise<void> {
  const key = leaseKey(request.instance, request.verb, number)
  let lease: LeaseDocument
  try {
    lease = await readDocument(request.store, key, leaseSchema, request)
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return
    if (hasCode(error, 'DAMAGED')) return refuseYoungObject(request, key, nowMs)
    throw error
  }
  const { holder } = lease
  if (givenUp.get(request.store)?.has(lease.token) === true) return
  if (lease.releasedAt !== null || Date.parse(lease.expiresAt) <= nowMs || request.isDead(holder)) return
  throw locked(request, `process ${holder.pid} on ${holder.hostname}, since ${lease.acquiredAt}, until ${lease.expiresAt} unless it goes on`)
}

/** A lease that cannot be read holds for as long as any: it runs out a lease's duration after it was written. */
async function refuseYoungObject(request: LeaseRequest, key: string, nowMs: number): Promise<void> {
  const object = await request.store.head(key, signalOf(request))
  const expiresAtMs = (object?.modifiedAt.getTime() ?? nowMs - leaseDurationMs) + leaseDurationMs
  if (expiresAtMs > nowMs) throw locked(request, `whoever wrote ${key}, which is damaged, until ${new Date(expiresAtMs).toISOString()} unless it goes on`)
}

async function requireOwnLease(own: OwnLease): Promise<void> {
  const { store, instance, verb } = own
  if (await isNewest(own)) return
  throw new PromDrError('LEASE_LOST', `another ${verb} of instance ${instance} took over in ${store.url}`, {
    hint: 'this run was paused for longer than its lease; nothing of it was committed, the other run goes on',
  })
}

/** Either look finds a run that has taken over: by its number, or by what it wrote in place of this one's document. */
async function isNewest(own: OwnLease): Promise<boolean> {
  const [numbers, token] = await Promise.all([leaseNumbers(own), readToken(own)])
  return numbers.at(-1) === own.number && token === own.token
}

/** Undefined when the document is not there any more. */
async function readToken({ store, instance, verb, number, signal }: OwnLease): Promise<string | undefined> {
  try {
    return (await readDocument(store, leaseKey(instance, verb, number), leaseSchema, { signal })).token
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
    throw error
  }
}

async function leaseNumbers(request: LeaseRequest): Promise<number[]> {
  const prefix = leasesPrefix(request.instance, request.verb)
  const numbers: number[] = []
  for await (const object of request.store.list(prefix, signalOf(request))) {
    const name = documentName(object.key, prefix)
    if (name !== undefined && /^\d{8,15}$/.test(name)) numbers.push(Number(name))
  }
  return numbers.sort((a, b) => a - b)
}

function locked(request: LeaseRequest, who: string): PromDrError {
  return new PromDrError('LOCKED', `a ${request.verb} of instance ${request.instance} is running in ${request.store.url}: ${who}`, {
    hint: 'wait for it; a run that died is taken over when its lease has run out',
  })
}
