import { beforeAll, describe, expect, it } from 'vitest'
import { retentionOf } from '../../src/domain/retention.ts'
import { expire } from '../../src/operations/expire/expire.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { thisProcess } from '../../src/system/machine.ts'
import { createManualClock } from '../fakes/manual-clock.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { keysOf } from '../support/bodies.ts'
import { operationsOn } from '../support/operations.ts'
import { missingPrograms } from '../support/prometheus.ts'
import { type Restorable, makeRestorable } from '../support/restorable.ts'

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a repository of a real server that expires', () => {
  let made: Restorable
  beforeAll(async () => {
    made = await makeRestorable({ recoveryPoints: 3 })
  })

  it('gives back what it names, keeps every byte of the rest, and answers as the source did', async () => {
    const { root } = await made.copy()
    const clock = createManualClock(new Date())
    // The clock of a directory is the file system's own.
    const store = { ...createFileStore({ root }), now: async () => clock.now() }
    const context = { instance: 'prom-a', repositories: [{ name: 'primary', store, retention: retentionOf({ keepLast: 1 }) }], timezone: 'UTC', self: thisProcess(), isDead: () => false, clock, logger: silentLogger, signal: new AbortController().signal }
    const run = (apply = true) => expire(context, { allInstances: false, repositories: [], apply })
    const operations = operationsOn(made.api, store)
    const before = await keysOf(store)

    expect(await run(false)).toMatchObject({ removed: made.ids.slice(0, 2).map((id) => ({ id })), kept: [{ id: made.ids[2] }] })
    expect(await keysOf(store)).toEqual(before)
    expect(await run()).toMatchObject({ removed: [{}, {}], kept: [{ id: made.ids[2] }] })
    clock.advance(49 * 3_600_000)
    const swept = await run()
    expect(swept.repositories[0]?.deletedObjects).toBeGreaterThan(0)
    expect(swept.freedBytes).toBeGreaterThan(0)
    expect(await run()).toMatchObject({ removed: [], markedBlocks: 0, deletedBlocks: 0, freedBytes: 0 })

    const left = await keysOf(store)
    expect(left.filter((key) => key.endsWith('deletion-mark.json'))).toEqual([])
    expect(new Set(left.filter((key) => key.includes('/heads/')).map((key) => key.split('/')[3])).size).toBe(1)
    expect(new Set(left.filter((key) => key.startsWith('blocks/')).map((key) => key.split('/')[1])).size).toBe(made.blocks.length)
    expect(await operations.verify({ readData: true })).toMatchObject({ ok: true, checkedRecoveryPoints: 1, damaged: [] })
    expect(await operations.restore(`${await temporaryDirectory('expired')}/data`)).toMatchObject({ answers: { equal: true } })
  })
})
