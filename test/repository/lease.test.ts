import { expect, test, vi } from 'vitest'
import { PromDrError } from '../../src/errors.ts'
import { type Holder, type LeaseRequest, acquireLease, leaseDurationMs, leaseRenewalMs } from '../../src/repository/lease.ts'
import { sealJson } from '../../src/repository/sealed-json.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { type StoreFault, createFaultyStore } from '../fakes/faulty-store.ts'
import { createManualClock } from '../fakes/manual-clock.ts'
import { keysOf, readText } from '../support/bodies.ts'
import { describeOnBothStores, garble, overwrite } from '../support/both-stores.ts'

const prefix = 'instances/prom-a/leases/backup/'
const holder = (pid: number): Holder => ({ machineId: 'm1', bootId: 'b1', hostname: 'mon-1', pid, processStart: `${pid * 10}` })
const requestOf = (store: ObjectStore, pid: number, more: Partial<LeaseRequest> = {}): LeaseRequest => ({ store, instance: 'prom-a', verb: 'backup', holder: holder(pid), isDead: () => false, ...more })

/** A lease as another run left it. */
async function plant(store: ObjectStore, lease: { number?: number; pid?: number; expiresAt?: Date; releasedAt?: string | null } = {}): Promise<void> {
  const { number = 1, pid = 1, expiresAt = new Date(Date.now() + leaseDurationMs), releasedAt = null } = lease
  const document = { number, verb: 'backup', token: `of ${pid}`, holder: holder(pid), acquiredAt: new Date(0).toISOString(), expiresAt: expiresAt.toISOString(), releasedAt }
  await overwrite(store, `${prefix}${String(number).padStart(8, '0')}.json`, sealJson(document))
}

describeOnBothStores('a lease', (open) => {
  test('is taken, and names its holder and its end', async () => {
    const store = await open()
    const before = Date.now()
    const lease = await acquireLease(requestOf(store, 1))
    expect(lease.number).toBe(1)
    expect(await keysOf(store)).toEqual([`${prefix}00000001.json`])
    const document = JSON.parse(await readText(store, `${prefix}00000001.json`))
    expect(document).toMatchObject({ number: 1, verb: 'backup', holder: holder(1), releasedAt: null })
    expect(Date.parse(document.expiresAt) - before).toBeGreaterThan(leaseDurationMs - 60_000)
  })

  test('that is held is refused to another, naming who holds it and until when', async () => {
    const store = await open()
    await acquireLease(requestOf(store, 1))
    await expect(acquireLease(requestOf(store, 2))).rejects.toMatchObject({
      code: 'LOCKED', message: expect.stringMatching(/^a backup of instance prom-a is running in .*: process 1 on mon-1, since 20\S+, until 20\S+ unless it goes on$/),
    })
    expect(await keysOf(store)).toEqual([`${prefix}00000001.json`])
  })

  test('that is held is refused to a second run of the same process', async () => {
    const store = await open()
    await acquireLease(requestOf(store, 1))
    await expect(acquireLease(requestOf(store, 1))).rejects.toMatchObject({ code: 'LOCKED' })
  })

  test('of another verb or another instance is another lease', async () => {
    const store = await open()
    await acquireLease(requestOf(store, 1))
    await acquireLease(requestOf(store, 2, { verb: 'expire' }))
    await acquireLease(requestOf(store, 3, { instance: 'prom-b' }))
    expect((await keysOf(store)).length).toBe(3)
  })

  test('is taken again and again where the store lets nobody delete, by one run at a time', async () => {
    const store = await open()
    const keeping = { ...store, delete: (keys: readonly string[]) => (keys.length === 0 ? Promise.resolve() : Promise.reject(new PromDrError('STORE_DENIED', 'no deleting here'))) }
    for (const number of [1, 2, 3]) {
      const lease = await acquireLease(requestOf(keeping, number))
      expect(lease.number).toBe(number)
      await expect(acquireLease(requestOf(keeping, 9))).rejects.toMatchObject({ code: 'LOCKED' })
      await lease.renew()
      await lease.release()
    }
    expect((await keysOf(store)).length).toBe(3)
  })

  test('that was given back is taken again, under the next number, and the old one goes', async () => {
    const store = await open()
    const first = await acquireLease(requestOf(store, 1))
    await first.release()
    expect((await acquireLease(requestOf(store, 2))).number).toBe(2)
    expect(await keysOf(store)).toEqual([`${prefix}00000002.json`])
  })

  test('that ran out is taken over, and its holder learns that', async () => {
    const store = await open()
    await plant(store, { expiresAt: new Date(Date.now() - 60_000) })
    expect((await acquireLease(requestOf(store, 2))).number).toBe(2)
    expect(await keysOf(store)).toEqual([`${prefix}00000002.json`])
  })

  test('of a process of this machine that is dead is taken over at once', async () => {
    const store = await open()
    await plant(store, { pid: 1 })
    await expect(acquireLease(requestOf(store, 2, { isDead: (other) => other.pid === 7 }))).rejects.toMatchObject({ code: 'LOCKED' })
    const asked: Holder[] = []
    const lease = await acquireLease(requestOf(store, 2, { isDead: (other) => (asked.push(other), true) }))
    expect(lease.number).toBe(2)
    expect(asked).toEqual([holder(1)])
  })

  test('that was lost while its holder was paused is not renewed, and giving it back does no harm', async () => {
    const store = await open()
    const paused = await acquireLease(requestOf(store, 1))
    const other = await acquireLease(requestOf(store, 2, { isDead: () => true }))
    await expect(paused.renew()).rejects.toMatchObject({ code: 'LEASE_LOST', message: expect.stringContaining('another backup of instance prom-a took over') })
    await paused.release()
    await other.renew()
    expect(await keysOf(store)).toEqual([`${prefix}00000002.json`])
    await expect(acquireLease(requestOf(store, 3))).rejects.toMatchObject({ code: 'LOCKED' })
  })

  test('goes to exactly one of sixteen that ask at once, of one process and of sixteen', async () => {
    for (const pidOf of [(at: number) => at, () => 1]) {
      const store = await open()
      const results = await Promise.allSettled(Array.from({ length: 16 }, (_, at) => acquireLease(requestOf(store, pidOf(at)))))
      expect(results.filter((result) => result.status === 'fulfilled').length).toBe(1)
      for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'LOCKED' })
      expect(await keysOf(store)).toEqual([`${prefix}00000001.json`])
    }
  })

  test('goes to exactly one of sixteen that see a dead holder at once', async () => {
    const store = await open()
    await plant(store)
    const dead = (other: Holder) => other.pid === 1
    const results = await Promise.allSettled(Array.from({ length: 16 }, (_, at) => acquireLease(requestOf(store, at + 2, { isDead: dead }))))
    expect(results.filter((result) => result.status === 'fulfilled').length).toBe(1)
    expect((await keysOf(store)).at(-1)).toBe(`${prefix}00000002.json`)
  })

  test('is refused to one that was slow, whose number has come and gone meanwhile', async () => {
    const store = await open()
    const slow = createFaultyStore(store, [])
    const create = slow.create.bind(slow)
    slow.create = async (...args) => {
      const second = await acquireLease(requestOf(store, 2))
      await second.release()
      await acquireLease(requestOf(store, 3))
      return create(...args)
    }
    await expect(acquireLease(requestOf(slow, 1))).rejects.toMatchObject({ code: 'LOCKED' })
    await expect(acquireLease(requestOf(store, 4))).rejects.toMatchObject({ code: 'LOCKED', message: expect.stringContaining('process 3') })
  })

  test('is refused to all but the last of those whose documents a store without conditional creation overwrote', async () => {
    const store = await open()
    const careless = createFaultyStore(store, [])
    careless.create = (...args) => store.put(...args)
    const results = await Promise.allSettled(Array.from({ length: 8 }, (_, at) => acquireLease(requestOf(careless, at))))
    const won = results.filter((result) => result.status === 'fulfilled')
    expect(won.length).toBeGreaterThan(0)
    const renewals = await Promise.allSettled(won.map((result) => (result as PromiseFulfilledResult<Awaited<ReturnType<typeof acquireLease>>>).value.renew()))
    expect(renewals.filter((renewal) => renewal.status === 'fulfilled').length).toBeLessThanOrEqual(1)
  })

  test('that cannot be read is refused as one that is held', async () => {
    const store = await open()
    await acquireLease(requestOf(store, 1))
    await garble(store, `${prefix}00000001.json`)
    await expect(acquireLease(requestOf(store, 2))).rejects.toMatchObject({ code: 'LOCKED', message: expect.stringContaining('damaged') })
  })

  test('is numbered past whatever else lies in its place', async () => {
    const store = await open()
    for (const name of ['x.json', '1.json', '00000007.txt', '00000009/00000001.json', '-0000001.json']) await overwrite(store, `${prefix}${name}`, 'x')
    await plant(store, { number: 41, releasedAt: new Date().toISOString() })
    expect((await acquireLease(requestOf(store, 1))).number).toBe(42)
  })

  test('is taken by the next run after a fault at any call, when the process is gone', async () => {
    const prepare = async () => {
      const store = await open()
      await plant(store, { releasedAt: new Date().toISOString() })
      return store
    }
    const clean = createFaultyStore(await prepare(), [])
    await acquireLease(requestOf(clean, 2))
    const faults = clean.calls.flatMap((_, index): StoreFault[] => [{ verb: 'any', call: index + 1, at: 'before' }, { verb: 'any', call: index + 1, at: 'after' }])
    expect(faults.length).toBeGreaterThan(10)
    for (const fault of faults) {
      const store = await prepare()
      const faulty = createFaultyStore(store, [fault])
      await expect(acquireLease(requestOf(faulty, 2))).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
      expect(faulty.fired).toEqual([fault])
      const next = await acquireLease(requestOf(store, 3, { isDead: (other) => other.pid === 2 }))
      await next.renew()
      await expect(acquireLease(requestOf(store, 4))).rejects.toMatchObject({ code: 'LOCKED' })
    }
  })

  test('is taken at once by the process that asked for it in vain, after a fault at any call', async () => {
    const clean = createFaultyStore(await open(), [])
    await acquireLease(requestOf(clean, 1))
    for (const [index] of clean.calls.entries()) {
      for (const at of ['before', 'after'] as const) {
        const faulty = createFaultyStore(await open(), [{ verb: 'any', call: index + 1, at }])
        await expect(acquireLease(requestOf(faulty, 1))).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
        const lease = await acquireLease(requestOf(faulty, 1))
        await lease.renew()
        await expect(acquireLease(requestOf(faulty, 1))).rejects.toMatchObject({ code: 'LOCKED' })
      }
    }
  })
})

test('a lease runs out by the store\'s clock, not by the machine\'s', async () => {
  const clock = createManualClock(new Date('2030-01-01T00:00:00Z'))
  const store = createMemoryStore({ clock })
  const first = await acquireLease(requestOf(store, 1))
  clock.advance(leaseDurationMs - 1)
  await expect(acquireLease(requestOf(store, 2))).rejects.toMatchObject({ code: 'LOCKED', message: expect.stringContaining('until 2030-01-01T00:10:00.000Z') })
  clock.advance(1)
  const second = await acquireLease(requestOf(store, 2))
  await expect(first.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
  await second.release()
})

test('a lease that is renewed in time does not run out', async () => {
  const clock = createManualClock()
  const store = createMemoryStore({ clock })
  const lease = await acquireLease(requestOf(store, 1))
  for (let minutes = 0; minutes < 60; minutes += leaseRenewalMs / 60_000) {
    clock.advance(leaseRenewalMs)
    await lease.renew()
    await expect(acquireLease(requestOf(store, 2))).rejects.toMatchObject({ code: 'LOCKED' })
  }
  expect(leaseRenewalMs * 3).toBeLessThan(leaseDurationMs)
})

test('a lease whose holder overslept, and that nobody took over, is its holder\'s still', async () => {
  const clock = createManualClock()
  const store = createMemoryStore({ clock })
  const lease = await acquireLease(requestOf(store, 1))
  clock.advance(leaseDurationMs * 3)
  await lease.renew()
  await expect(acquireLease(requestOf(store, 2))).rejects.toMatchObject({ code: 'LOCKED' })
})

test('a lease that cannot be read runs out as any other, so that it does not stop backups for good', async () => {
  const clock = createManualClock()
  const store = createMemoryStore({ clock })
  await overwrite(store, `${prefix}00000001.json`, 'garbage')
  await expect(acquireLease(requestOf(store, 2))).rejects.toMatchObject({ code: 'LOCKED', message: expect.stringContaining('until 2026-01-01T00:10:00.000Z') })
  clock.advance(leaseDurationMs)
  expect((await acquireLease(requestOf(store, 2))).number).toBe(2)
  expect(await keysOf(store)).toEqual([`${prefix}00000002.json`])
})

test('a lease is given back also when its run was interrupted', async () => {
  const store = createMemoryStore()
  const interruption = new AbortController()
  const lease = await acquireLease(requestOf(store, 1, { signal: interruption.signal }))
  interruption.abort()
  await expect(lease.renew()).rejects.toMatchObject({ code: 'INTERRUPTED' })
  await lease.release()
  expect((await acquireLease(requestOf(store, 2))).number).toBe(2)
})

test('a lease that is taken over between the look and the reading is lost, not missing', async () => {
  const store = createMemoryStore()
  const watched = createFaultyStore(store, [])
  const get = watched.get.bind(watched)
  const lease = await acquireLease(requestOf(watched, 1))
  watched.get = vi.fn(async (...args: Parameters<ObjectStore['get']>) => {
    await acquireLease(requestOf(store, 2, { isDead: () => true }))
    return get(...args)
  })
  await expect(lease.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
  expect(watched.get).toHaveBeenCalledTimes(1)
})
