import { describe, expect, test } from 'vitest'
import { list } from '../../../src/operations/report/list.ts'
import { status } from '../../../src/operations/report/status.ts'
import { readOrCreateFormat } from '../../../src/repository/format.ts'
import { commitRecoveryPoint } from '../../../src/repository/recovery-points.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { storedRecoveryPoint } from '../../fakes/recovery-points.ts'
import { textBody } from '../../support/bodies.ts'
import { rejectionOf } from '../../support/operations.ts'

const signal = new AbortController().signal

describe('a list, or the status, of one instance', () => {
  test('is of one that is there, if only in one repository or with nothing stored yet, and refuses a mistyped name', async () => {
    const [near, far] = [createMemoryStore({ name: 'near' }), createMemoryStore({ name: 'far' })]
    for (const store of [near, far]) await readOrCreateFormat(store, new Date())
    const point = storedRecoveryPoint()
    await commitRecoveryPoint(far, point)
    await near.create('instances/only-ships/identity.json', textBody('{}'))
    const context = { repositories: [{ name: 'near', store: near }, { name: 'far', store: far }], signal }
    const listed = async (instance: string) => (await list(context, { instance, repositories: [] })).instances
    expect(await listed(point.instance)).toMatchObject([{ name: point.instance, recoveryPoints: [{ id: point.id, repositories: ['far'] }] }])
    expect(await listed('only-ships')).toMatchObject([{ recoveryPoints: [] }])
    const asked = (instance: string) => status({ ...context, shipIntervalMs: 10_000, clock: systemClock }, { instance, repositories: [] })
    expect((await asked('only-ships')).instances).toEqual([])
    expect(await rejectionOf(asked('prom-typo'))).toMatchObject({ code: 'INSTANCE_NOT_FOUND' })
    expect(await rejectionOf(listed('prom-typo'))).toMatchObject({ code: 'INSTANCE_NOT_FOUND', hint: expect.stringContaining(`it has: only-ships, ${point.instance}`) })
  })
})
