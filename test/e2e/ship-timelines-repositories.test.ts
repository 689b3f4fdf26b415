import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { PromDrError } from '../../src/errors.ts'
import { readGenerations } from '../../src/repository/wal-stream.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { thisProcess } from '../../src/system/machine.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { missingPrograms, startTestPrometheus, waitForSamples } from '../support/prometheus.ts'
import { everySample } from '../support/restorable.ts'
import { shipOnce } from '../support/shipping.ts'

describe.skipIf(missingPrograms('prometheus'))('a server that was restored from one of two repositories', () => {
  it('has in the other one the history that it was restored from, too', async () => {
    const root = await temporaryDirectory('repositories')
    const storeOf = (name: string) => ({ name, store: createFileStore({ root: join(root, name) }) })
    const [near, far] = [storeOf('near'), storeOf('far')]
    const host = (name: string) => ({ ...thisProcess(), machineId: name.repeat(32), hostname: `host-${name}` })
    const old = await startTestPrometheus()
    await waitForSamples(old, 'up', 2)
    await shipOnce(old.api, [near, far], { self: host('a'), dataDir: old.dataDir })
    await waitForSamples(old, 'up', 4)
    await shipOnce(old.api, [near, far], { self: host('a'), dataDir: old.dataDir })
    const moment = Date.now() - 1500
    const expected = await everySample(old.api, moment)
    await old.kill()

    const target = join(await temporaryDirectory('target'), 'data')
    await operationsOn(old.api, near.store).restore(target, { start: false })
    const next = await startTestPrometheus({ dataDir: target })
    await waitForSamples(next, 'up', 6)
    await shipOnce(next.api, [near, far], { self: host('b'), dataDir: target, request: { adopt: true } })
    for (const { store } of [near, far]) {
      const [first, second] = await readGenerations(store, 'prom-a')
      expect(second?.parent?.generation).toBe(first?.id)
    }
    // Once the near one is lost, too.
    const fromFar = operationsOn(next.api, far.store)
    const then = join(await temporaryDirectory('target'), 'data')
    await fromFar.restore(then, { start: false, at: { kind: 'time', ms: moment } })
    const answering = await startTestPrometheus({ dataDir: then, retention: '10y', scrapeItself: false })
    expect(await everySample(answering.api, moment)).toEqual(expected)
    expect(expected.length).toBeGreaterThan(0)

    const back = await startTestPrometheus({ dataDir: old.dataDir })
    const superseded = (await rejectionOf(shipOnce(back.api, [near, far], { self: host('a'), dataDir: old.dataDir, request: { adopt: true } }))) as PromDrError
    expect(superseded.code).toBe('SUPERSEDED')
  })
})
