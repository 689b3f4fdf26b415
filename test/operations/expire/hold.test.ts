import { describe, expect, test } from 'vitest'
import { hold } from '../../../src/operations/expire/hold.ts'
import { list } from '../../../src/operations/report/list.ts'
import { show } from '../../../src/operations/report/show.ts'
import { readOrCreateFormat } from '../../../src/repository/format.ts'
import { readHold, readHolds } from '../../../src/repository/holds.ts'
import { acquireLease } from '../../../src/repository/lease.ts'
import { commitRecoveryPoint } from '../../../src/repository/recovery-points.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../../src/stores/object-store.ts'
import { thisProcess } from '../../../src/system/machine.ts'
import { createManualClock } from '../../fakes/manual-clock.ts'
import { storedRecoveryPoint } from '../../fakes/recovery-points.ts'
import { keysOf } from '../../support/bodies.ts'
import { garble } from '../../support/both-stores.ts'

const signal = new AbortController().signal
const point = storedRecoveryPoint()
const start = new Date('2026-11-22T00:00:00Z')

async function scene() {
  const clock = createManualClock(start)
  const stores = [createMemoryStore({ name: 'one', clock }), createMemoryStore({ name: 'two', clock }), createMemoryStore({ name: 'other', clock })]
  for (const store of stores) await readOrCreateFormat(store, clock.now())
  for (const store of stores.slice(0, 2)) await commitRecoveryPoint(store, point)
  const repositories = ['one', 'two', 'other'].map((name, nth) => ({ name, store: stores[nth] as ObjectStore }))
  const context = { repositories, instance: 'prom-a', clock, signal }
  const until = new Date('2027-01-01T00:00:00Z')
  return { clock, stores, context, until, holdIt: () => hold(context, { id: point.id, repositories: [], hold: { until, reason: 'the audit' } }) }
}

describe('a hold', () => {
  test('is written to every repository that has the recovery point, and shown wherever that is', async () => {
    const { context, holdIt } = await scene()
    expect(await holdIt()).toMatchObject({ instance: 'prom-a', until: '2027-01-01T00:00:00.000Z', repositories: [{ result: 'held' }, { result: 'held' }, { name: 'other', result: 'absent' }] })
    const shown = { held: true, hold: { until: '2027-01-01T00:00:00.000Z', reason: 'the audit' } }
    expect((await list(context, { repositories: [] })).instances[0]?.recoveryPoints).toMatchObject([shown])
    expect(await show(context, { id: point.id, repositories: [] })).toMatchObject(shown)
  })

  test('of the latest is of the newest recovery point of this host, or of the instance named', async () => {
    const { context, stores, until } = await scene()
    const newer = { ...point, id: '20261122T120000Z-00000000', createdAt: Date.UTC(2026, 10, 22, 12) }
    await commitRecoveryPoint(stores[1] as ObjectStore, newer)
    await commitRecoveryPoint(stores[2] as ObjectStore, { ...newer, instance: 'prom-b', id: '20261123T120000Z-00000000', createdAt: Date.UTC(2026, 10, 23, 12) })
    const wanted = { id: 'latest', repositories: [], hold: { until, reason: 'the upgrade' } }
    expect(await hold(context, wanted)).toMatchObject({ id: newer.id, instance: 'prom-a', repositories: [{ result: 'absent' }, { result: 'held' }, { result: 'absent' }] })
    expect(await hold(context, { ...wanted, repositories: ['one'] })).toMatchObject({ id: point.id, repositories: [{ name: 'one', result: 'held' }] })
    expect(await hold(context, { ...wanted, instance: 'prom-b' })).toMatchObject({ id: '20261123T120000Z-00000000', instance: 'prom-b' })
    expect(await hold({ ...context, instance: 'prom-b' }, { ...wanted, hold: undefined })).toMatchObject({ instance: 'prom-b', until: null })
    await expect(hold(context, { ...wanted, instance: 'prom-c' })).rejects.toMatchObject({ code: 'INSTANCE_NOT_FOUND' })
  })

  test('is over when its time has come, and gone when it is released', async () => {
    const { context, clock, holdIt, until, stores } = await scene()
    await holdIt()
    clock.advance(until.getTime() - start.getTime())
    expect((await list(context, { repositories: [] })).instances[0]?.recoveryPoints).toMatchObject([{ held: false, hold: null }])
    for (let twice = 0; twice < 2; twice += 1) expect(await hold(context, { id: point.id, repositories: [], hold: undefined })).toMatchObject({ until: null, repositories: [{ result: 'released' }, { result: 'released' }, { result: 'absent' }] })
    expect((await keysOf(stores[0] as ObjectStore)).filter((key) => key.includes('/holds/'))).toEqual([])
  })

  test('is replaced by a later one', async () => {
    const { context, holdIt, stores } = await scene()
    await holdIt()
    await hold(context, { id: point.id, repositories: ['one'], hold: { until: new Date('2028-01-01T00:00:00Z'), reason: 'the court' } })
    expect(await readHolds(stores[0] as ObjectStore, 'prom-a')).toEqual(new Map([[point.id, { until: Date.UTC(2028, 0, 1), reason: 'the court' }]]))
    expect((await list(context, { repositories: [] })).instances[0]?.recoveryPoints).toMatchObject([{ hold: { reason: 'the court' } }])
  })

  test('that is damaged holds on', async () => {
    const { context, holdIt, stores } = await scene()
    await holdIt()
    await garble(stores[1] as ObjectStore, `instances/prom-a/holds/${point.id}.json`)
    expect(await readHold(stores[1] as ObjectStore, 'prom-a', { id: point.id })).toMatchObject({ until: null })
    expect((await list(context, { repositories: [] })).instances[0]?.recoveryPoints).toMatchObject([{ held: true, hold: { until: null } }])
  })

  test('of a recovery point that is nowhere, or of an instance that does not have it, is refused', async () => {
    const { context } = await scene()
    const wanted = { repositories: [], hold: { until: new Date('2027-01-01T00:00:00Z'), reason: 'x' } }
    await expect(hold(context, { ...wanted, id: '20200101T000000Z-aaaaaaaa' })).rejects.toMatchObject({ code: 'NO_RECOVERY_POINT' })
    await expect(hold(context, { ...wanted, id: point.id, instance: 'prom-b' })).rejects.toMatchObject({ code: 'NO_RECOVERY_POINT' })
    await expect(hold(context, { ...wanted, id: point.id, instance: '../x' })).rejects.toMatchObject({ code: 'USAGE' })
  })

  test('beside a running expiry is true only when the recovery point outlived that', async () => {
    const { context, clock, stores, holdIt } = await scene()
    const store = stores[0] as ObjectStore
    await acquireLease({ store, instance: 'prom-a', verb: 'expire', holder: thisProcess(), isDead: () => false })
    expect(await holdIt()).toMatchObject({ repositories: [{ result: 'held' }, { result: 'held' }, {}] })
    expect(clock.sleeps).toEqual([5_000])
    const removing = { ...context, clock: { ...clock, sleep: async () => store.delete([`instances/prom-a/recovery-points/${point.id}.json`]) } }
    const report = await hold(removing, { id: point.id, repositories: [], hold: { until: new Date('2027-01-01T00:00:00Z'), reason: 'x' } })
    expect(report.repositories).toMatchObject([{ result: 'failed', error: { code: 'NO_RECOVERY_POINT' } }, { result: 'held' }, { result: 'absent' }])
    expect((await keysOf(store)).filter((key) => key.includes('/holds/'))).toEqual([])
  })
})
