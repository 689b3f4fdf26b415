import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { list } from '../../src/operations/report/list.ts'
import { missingPrograms, waitForSamples } from '../support/prometheus.ts'
import { differences, restored, samplesOf, samplesUntil, startShippedServer } from '../support/shipped-server.ts'

describe.skipIf(missingPrograms('prometheus'))('the head of a recovery point', () => {
  it('is left to the shipped WAL where that has it, and comes back from there', async () => {
    const shipped = await startShippedServer({ scrapeInterval: '500ms', retention: '10y' })
    const { operations, server, store, root } = shipped
    await waitForSamples(server, 'up', 2)
    await shipped.shipOnce()
    // The first of a day stands for the day, and holds everything itself.
    expect((await operations.backup()).recoveryPoint).toMatchObject({ head: 'stored', tiers: expect.arrayContaining(['daily']) })
    await waitForSamples(server, 'up', 6)
    await shipped.shipOnce()
    const { recoveryPoint: point, warnings } = await operations.backup()
    expect(point).toMatchObject({ head: 'wal', headIncluded: false, tiers: [], blocks: 0 })
    expect(warnings).toEqual([])
    expect((await operations.backup({ head: 'always' })).recoveryPoint.head).toBe('stored')
    expect((await operations.backup({ head: 'never' })).recoveryPoint.head).toBe('omitted')
    const listed = await list({ repositories: [{ name: 'primary', store }], signal: new AbortController().signal }, { repositories: [] })
    expect(listed.instances[0]?.recoveryPoints.map(({ head }) => head)).toEqual(['stored', 'wal', 'stored', 'omitted'])
    await waitForSamples(server, 'up', 10)
    await shipped.shipOnce()
    const source = await samplesOf(server.api, { endMs: Date.now() })
    await server.kill()

    const madeMs = Date.parse(point.createdAt)
    await restored(operations, { at: { kind: 'recovery-point', id: point.id } }, async (api, report) => {
      expect(report).toMatchObject({ stoppedBy: 'moment', warnings: [] })
      expect(differences(samplesUntil(source, madeMs), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
    await rm(join(root, 'instances', 'prom-a', 'wal'), { recursive: true })
    await restored(operations, { at: { kind: 'recovery-point', id: point.id } }, async (api, report) => {
      expect(report.warnings.join()).toContain('its head in the shipped WAL')
      expect([...(await samplesOf(api, { endMs: Date.now() }))]).toEqual([])
    })
  })

  it('is stored where the log lags, breaks or is silent', async () => {
    const shipped = await startShippedServer({ scrapeInterval: '500ms', retention: '10y' })
    const { operations, server, store, root } = shipped
    await waitForSamples(server, 'up', 2)
    await operations.backup()
    const headNow = async () => (await operations.backup()).recoveryPoint.head
    expect(await headNow(), 'nothing was shipped').toBe('stored')
    await shipped.shipOnce()
    await waitForSamples(server, 'up', 5)
    await shipped.shipOnce()
    expect(await headNow(), 'all was shipped').toBe('wal')
    const keys: string[] = []
    for await (const { key } of store.list('instances/prom-a/wal/')) keys.push(key)
    await rm(join(root, keys.find((key) => key.includes('/wal/00000000/')) as string))
    expect(await headNow(), 'the first piece is missing').toBe('stored')
    for (const key of keys.filter((candidate) => candidate.endsWith('heartbeat.json'))) await rm(join(root, key))
    expect(await headNow(), 'there is no sign of life').toBe('stored')
  })
})
