import { chmod, readFile, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startPrometheus } from '../../src/integrations/prometheus/prometheus-server.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { createS3Store } from '../../src/stores/s3-store.ts'
import { ownerNumbers } from '../../src/system/machine.ts'
import { freePort } from '../../src/system/ports.ts'
import { makeBlocks } from '../support/blocks.ts'
import { atEndOfFile, temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { missingPrograms, prometheusBinary, remoteWrite, startExporter, startTestPrometheus, waitFor, waitForSamples } from '../support/prometheus.ts'
import { nanBits, staleMarkerBits } from '../support/remote-write.ts'
import { everySample } from '../support/restorable.ts'
import { createTestBucket } from '../support/s3-server.ts'

const scrapeTimeoutMs = 1000

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a server that is lost with its disk', () => {
  it('comes back from a directory with every sample, bit for bit, and goes on scraping', async () => {
    await thereAndBack(createFileStore({ root: join(await temporaryDirectory('repository'), 'repository') }))
  })

  it('comes back from a bucket with every sample, bit for bit, and goes on scraping', async (context) => {
    const { openUploads: _, ...server } = await createTestBucket(context)
    const store = createS3Store({ ...server, prefix: 'dr/' })
    await thereAndBack(store)
    await store.close()
  })

  it('comes back owned by the user that runs it', async (context) => {
    const owner = await ownerNumbers('prometheus')
    if (owner === undefined || process.getuid?.() !== 0) return context.skip('needs the user prometheus and root')
    const parent = await temporaryDirectory('owned')
    const source = await startTestPrometheus()
    await waitForSamples(source, 'up', 3)
    const operations = operationsOn(source.api, createFileStore({ root: join(parent, 'repository') }))
    await operations.backup()
    await source.kill()
    const target = join(await temporaryDirectory('target'), 'metrics2')
    await operations.restore(target, { owner: 'prometheus', start: false })

    const [block = ''] = (await readdir(target)).filter((name) => !name.startsWith('.'))
    for (const path of ['.', block, `${block}/chunks`]) expect(await stat(join(target, path))).toMatchObject({ uid: owner.uid, gid: owner.gid, mode: 0o40755 })
    for (const path of ['index', 'meta.json', 'chunks/000001', '../.prom-dr-restored']) expect(await stat(join(target, block, path))).toMatchObject({ uid: owner.uid, gid: owner.gid, mode: 0o100644 })
    // What the test made above it belongs to root and lets nobody else in.
    await chmod(join(target, '..'), 0o755)
    const listen = `127.0.0.1:${await freePort()}`
    const text = `{global: {scrape_interval: 1s}, scrape_configs: [{job_name: prometheus, static_configs: [{targets: ['${listen}']}]}]}`
    const restored = await startPrometheus({ binary: prometheusBinary(), dataDir: target, config: { text }, listen, owner, logFile: join(parent, 'log') })
    atEndOfFile(() => restored.kill())
    const before = JSON.parse(await restored.api.query('count_over_time(up[1h])', Date.now())).result[0].value[1]
    await waitForSamples(restored, 'up', Number(before) + 2)
  })
})

async function thereAndBack(store: ObjectStore): Promise<void> {
  const blockSpanMs = 2 * 3_600_000
  const { dataDir, blocks } = await makeBlocks({ series: 20, samples: 1000, stepMs: 20_000, startMs: Math.floor(Date.now() / blockSpanMs - 6) * blockSpanMs, dataDir: await temporaryDirectory('source') })
  const exporter = await startExporter([{ name: 'wave', valueAt: (ms) => Math.sin(ms) }, { name: 'not_a_number', valueAt: () => Number.NaN }, { name: 'going', valueAt: (ms) => ms }], { timestamps: 'scrape' })
  const source = await startTestPrometheus({ dataDir, targets: [exporter.target], retention: '10y', externalLabels: { replica: 'a' } })
  await waitForSamples(source, 'going', 2)
  // A series that goes missing ends with a stale marker.
  exporter.serve([{ name: 'wave', valueAt: (ms) => Math.sin(ms) }, { name: 'not_a_number', valueAt: () => Number.NaN }])
  const nowMs = Date.now()
  await remoteWrite(source.url, [{ labels: { __name__: 'pushed' }, samples: [{ timestampMs: nowMs - 3000, valueBits: nanBits }, { timestampMs: nowMs - 2000, valueBits: staleMarkerBits }, { timestampMs: nowMs - 1000, value: -1e-300 }] }])
  await waitFor(async () => (await everySample(source.api, Date.now())).some((line) => line.includes('"going"') && line.endsWith(':7ff0000000000002')), { what: 'the stale marker' })
  await waitForSamples(source, 'wave', 6)

  const operations = operationsOn(source.api, store)
  const { recoveryPoint } = await operations.backup()
  const expectedUntil = (atMs: number) => everySample(source.api, atMs)
  const maxTimeMs = Date.parse(recoveryPoint.maxTime ?? '')
  const expected = await expectedUntil(maxTimeMs - scrapeTimeoutMs)
  await source.kill()
  await rm(dataDir, { recursive: true })

  const target = join(await temporaryDirectory('target'), 'new', 'data')
  const report = await operations.restore(target)
  expect(report).toMatchObject({ stoppedBy: 'recovery-point', recoverableAt: recoveryPoint.maxTime, repaired: [], resumedBytes: 0, replacedTo: null, answers: { equal: true, differences: [] } })
  expect(report.rtoSeconds).toBeGreaterThan(0)
  expect(report.rpoSeconds).toBeLessThan(30)
  expect(report.plan.blocks).toHaveLength(blocks.length + 1)
  expect((await readdir(target)).filter((name) => name.startsWith('.'))).toEqual(['.prom-dr-restored'])

  const restored = await startTestPrometheus({ dataDir: target, targets: [exporter.target], retention: '10y', externalLabels: { replica: 'a' } })
  const answered = await everySample(restored.api, maxTimeMs - scrapeTimeoutMs)
  expect(answered).toEqual(expected)
  expect(answered.length).toBeGreaterThan(100)
  expect(answered.join('\n')).toMatch(/"pushed".*7ff8000000000001.*7ff0000000000002/)
  await waitFor(async () => JSON.parse(await restored.api.query(`timestamp(wave) * 1000 > ${maxTimeMs}`, Date.now())).result.length === 1, { what: 'a new sample' })
  expect(await readFile(restored.logFile, 'utf8')).not.toMatch(/out of bounds|level=error/i)
}
