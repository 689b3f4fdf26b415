import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exitCodeOf } from '../../src/cli/exit-codes.ts'
import type { PromDrError } from '../../src/errors.ts'
import { readGenerations } from '../../src/repository/wal-stream.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { thisProcess } from '../../src/system/machine.ts'
import { contentOf } from '../support/both-stores.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { missingPrograms, startTestPrometheus, waitForSamples } from '../support/prometheus.ts'
import { shipOnce } from '../support/shipping.ts'

describe.skipIf(missingPrograms('prometheus'))('an old host that comes back after a restore elsewhere', () => {
  it('is refused, and its history and the new one\'s stay as they are, until it is told to begin a new one', async () => {
    const store = createFileStore({ root: join(await temporaryDirectory('repository'), 'repository') })
    const host = (name: string) => ({ ...thisProcess(), machineId: name.repeat(32), hostname: `host-${name}` })
    const old = await startTestPrometheus()
    await waitForSamples(old, 'up', 2)
    const operations = operationsOn(old.api, store, { self: host('a') })
    await operations.backup()
    await waitForSamples(old, 'up', 4)
    await shipOnce(old.api, store, { self: host('a'), dataDir: old.dataDir })
    await old.kill()

    const target = join(await temporaryDirectory('target'), 'data')
    const restored = await operations.restore(target, { start: false })
    const next = await startTestPrometheus({ dataDir: target })
    await waitForSamples(next, 'up', 6)
    await shipOnce(next.api, store, { self: host('b'), dataDir: target, request: { adopt: true } })
    const [first, second, ...others] = await readGenerations(store, 'prom-a')
    expect(others).toEqual([])
    expect(second).toMatchObject({ reason: 'this server was restored', parent: { generation: first?.id, at: Date.parse(restored.recoverableAt ?? '') } })
    // It goes on there; it does not begin again each time.
    await shipOnce(next.api, store, { self: host('b'), dataDir: target })
    expect(await readGenerations(store, 'prom-a')).toHaveLength(2)
    const before = await contentOf(store, 'instances/prom-a/wal/')

    const back = await startTestPrometheus({ dataDir: old.dataDir })
    await waitForSamples(back, 'up', 5)
    const shipOld = (request: object) => shipOnce(back.api, store, { self: host('a'), dataDir: old.dataDir, request })
    const taken = (await rejectionOf(shipOld({}))) as PromDrError
    expect(taken.code).toBe('INSTANCE_TAKEN')
    const superseded = (await rejectionOf(shipOld({ adopt: true }))) as PromDrError
    expect(superseded).toMatchObject({ code: 'SUPERSEDED', hint: expect.stringContaining('--new-generation') })
    expect(exitCodeOf(superseded.code)).toBe(6)
    expect(await contentOf(store, 'instances/prom-a/wal/')).toEqual(before)

    await shipOld({ adopt: true, newGeneration: true })
    const generations = await readGenerations(store, 'prom-a')
    expect(generations).toHaveLength(3)
    expect(await contentOf(store, `instances/prom-a/wal/${second?.id}/`)).toEqual(Object.fromEntries(Object.entries(before).filter(([key]) => key.includes(`/${second?.id}/`))))
  })
})
