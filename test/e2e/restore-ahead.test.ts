import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readRestored } from '../../src/tsdb/restore-directory.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { startExporter } from '../support/exporter.ts'
import { missingPrograms, startTestPrometheus, waitForSamples } from '../support/prometheus.ts'
import { differences, samplesOf, startShippedServer } from '../support/shipped-server.ts'

const aheadMs = 9 * 60_000

describe.skipIf(missingPrograms('prometheus'))('a target whose timestamps are nine minutes ahead', () => {
  it('comes back with all it gave, and makes no restore say that less was lost than was', async () => {
    const exporter = await startExporter([{ name: 'ahead', lateMs: -aheadMs, valueAt: (ms) => ms }])
    const shipped = await startShippedServer({ targets: [exporter.target], scrapeInterval: '500ms', retention: '10y' })
    const { server, operations } = shipped
    await waitForSamples(server, 'up', 3)
    await shipped.shipOnce()
    await operations.backup()
    await waitForSamples(server, 'up', 8)
    const source = await samplesOf(server.api, { endMs: Date.now() + 2 * aheadMs })
    await shipped.shipOnce()
    const shippedMs = Date.now()
    await server.kill()
    // A minute later.
    const nowMs = shippedMs + 60_000
    const target = join(await temporaryDirectory('target'), 'data')
    const report = await operations.restore(target, { disasterAtMs: nowMs, start: false })
    expect(Date.parse(report.recoverableAt ?? '')).toBeLessThanOrEqual(shippedMs)
    expect(report.rpoSeconds).toBeGreaterThanOrEqual(60)
    // What is shipped of the new server leaves the old history there.
    expect(Date.parse((await readRestored(target))?.recoverableAt ?? '')).toBeLessThanOrEqual(shippedMs)
    const again = await startTestPrometheus({ dataDir: target, scrapeItself: false, retention: '10y' })
    const found = await samplesOf(again.api, { endMs: Date.now() + 2 * aheadMs })
    // What was scraped between the question and the look is there too.
    expect(differences(source, found).filter((line) => !line.includes('missing or changed  (0'))).toEqual([])
    expect(Math.max(...[...found].flatMap(([name, values]) => (name.includes('"ahead"') ? [...values.keys()] : [])))).toBeGreaterThan(nowMs)
    await again.kill()
  })
})
