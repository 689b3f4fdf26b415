import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exitCodeOf } from '../../src/cli/exit-codes.ts'
import type { PromDrError } from '../../src/errors.ts'
import { readGenerations } from '../../src/repository/wal-stream.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { thisProcess } from '../../src/system/machine.ts'
import { makeBlocks } from '../support/blocks.ts'
import { contentOf } from '../support/both-stores.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { missingPrograms, startTestPrometheus, waitFor, waitForSamples } from '../support/prometheus.ts'
import { everySample } from '../support/restorable.ts'
import { shipOnce, startShipping } from '../support/shipping.ts'

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
    const behind = await operationsOn(next.api, store, { self: host('b') }).backup()
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
    expect(generations[2]).toMatchObject({ parent: { generation: first?.id, at: expect.any(Number) }, gap: null })

    // Its history goes on from what it had shipped itself; nothing of the other server's is in it.
    const until = Date.now()
    const scraped = await back.api.query('count_over_time(up[1h])', until)
    await waitFor(async () => (await back.api.query('count_over_time(up[1h])', Date.now())) !== scraped, { what: 'another scrape' })
    await shipOld({})
    const expected = await everySample(back.api, until)
    await back.kill()
    const last = join(await temporaryDirectory('target'), 'data')
    const { plan } = await operations.restore(last, { start: false })
    expect(plan.recoveryPoint).not.toBe(behind.recoveryPoint.id)
    const answering = await startTestPrometheus({ dataDir: last, retention: '10y', scrapeItself: false })
    expect(await everySample(answering.api, until)).toEqual(expected)
  })
})

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a server that was restored in its place while its log is shipped', () => {
  it('comes back again as it was since then, without what was done after the moment that was restored', async () => {
    const blockSpanMs = 2 * 3_600_000
    const { dataDir } = await makeBlocks({ series: 4, samples: 200, stepMs: 20_000, startMs: Math.floor(Date.now() / blockSpanMs - 6) * blockSpanMs, dataDir: await temporaryDirectory('source') })
    const store = createFileStore({ root: join(await temporaryDirectory('repository'), 'repository') })
    const server = await startTestPrometheus({ dataDir, retention: '10y' })
    const operations = operationsOn(server.api, store)
    await waitForSamples(server, 'up', 1)
    await operations.backup()
    const shipper = startShipping(server.api, store, { dataDir, settings: { intervalMs: 200 } })
    await waitForSamples(server, 'up', 4)
    const before = Date.now()
    await waitForSamples(server, 'up', 6)
    const answer = await fetch(`${server.url}/api/v1/admin/tsdb/delete_series?match[]=prom_dr_test`, { method: 'POST' })
    expect(answer.status).toBe(204)
    const mistaken = await operations.backup()
    const count = Number(JSON.parse(await server.api.query('sum(count_over_time(up[1h]))', Date.now())).result[0].value[1])
    await waitForSamples(server, 'up', count + 2)
    await server.kill()

    await operations.restore(dataDir, { at: { kind: 'time', ms: before }, replace: true, start: false })
    const again = await startTestPrometheus({ dataDir, retention: '10y' })
    const restored = await waitFor(async () => (await readGenerations(store, 'prom-a')).find(({ reason }) => reason === 'this server was restored'), { what: 'the generation after the restore' })
    expect(restored).toMatchObject({ parent: { at: expect.any(Number), restoredAt: expect.any(Number) }, gap: null })
    await waitForSamples(again, 'up', 8)
    const until = Date.now()
    await waitForSamples(again, 'up', 10)
    await shipper.stop()
    const expected = await everySample(again.api, until)
    expect(expected.join('\n')).toContain('prom_dr_test')
    await again.kill()

    const target = join(await temporaryDirectory('target'), 'data')
    const report = await operations.restore(target, { start: false })
    expect(report.plan.recoveryPoint).not.toBe(mistaken.recoveryPoint.id)
    const last = await startTestPrometheus({ dataDir: target, retention: '10y', scrapeItself: false })
    expect(await everySample(last.api, until)).toEqual(expected)

    // The recovery point that was left behind is still what it was.
    expect(mistaken.recoveryPoint.headIncluded).toBe(false)
    const behind = join(await temporaryDirectory('target'), 'data')
    expect(await operations.restore(behind, { at: { kind: 'recovery-point', id: mistaken.recoveryPoint.id }, start: false })).toMatchObject({ stoppedBy: 'moment' })
    const deleted = await startTestPrometheus({ dataDir: behind, retention: '10y', scrapeItself: false })
    const samples = await everySample(deleted.api, until)
    expect(samples.join('\n')).toContain('"up"')
    expect(samples.filter((line) => line.includes('prom_dr_test') && / \d+:/.test(line))).toEqual([])
  })
})
