import { describe, expect, it } from 'vitest'
import { startExporter } from '../support/exporter.ts'
import { type Held, expectMoments, histogramQuery, momentsBetween, writeRichRound } from '../support/moments.ts'
import { missingPrograms, waitFor } from '../support/prometheus.ts'
import { type ShippedServer, fastBlocks, samplesOf, startShippedServer } from '../support/shipped-server.ts'

const wave = (name: string) => ({ name, labels: { kind: 'wave' }, valueAt: (ms: number) => Math.sin(ms / 1000) * 1e6 })

describe.skipIf(missingPrograms('prometheus')).concurrent('a restore to any moment holds every sample up to it and none after', () => {
  it('across blocks that are cut and series that come and go', async () => {
    const exporter = await startExporter([wave('wave_0')], { timestamps: 'scrape' })
    const shipped = await startShippedServer({ targets: [exporter.target], minBlockDuration: '10s', retention: '10y', flags: fastBlocks })
    shipped.startShipping(1000)
    await shipped.operations.backup()
    const fromMs = Date.now()
    // Each series lives for some seconds and ends with a stale marker.
    for (let round = 1; round <= 8; round += 1) {
      exporter.serve([wave(`wave_${round}`), wave(`wave_${round + 1}`)])
      const due = exporter.served.length + 3
      await waitFor(() => exporter.served.length >= due, { what: 'three scrapes' })
      if (round % 3 === 0) await shipped.operations.backup()
    }
    const held = await endOf(shipped, fromMs)
    const moments = [0.15, 0.5, 0.8].map((part) => Math.round(fromMs + (held.toMs - fromMs) * (part + Math.random() * 0.1)))
    await expectMoments(shipped, held, moments)
  })

  it('with native histograms, samples nine minutes ahead and others that come late', async () => {
    const shipped = await startShippedServer({ retention: '10y', flags: ['--enable-feature=native-histograms'], config: { storage: { tsdb: { out_of_order_time_window: '10m' } } } })
    shipped.startShipping(1000)
    await shipped.operations.backup()
    const fromMs = Date.now()
    const histograms = new Map<number, string>()
    for (let round = 0; round < 12; round += 1) {
      await writeRichRound(shipped.server.url, round)
      const due = Date.now() + 700
      await waitFor(() => Date.now() >= due, { what: 'the next round' })
      if (round === 6) await shipped.operations.backup()
    }
    const held = await endOf(shipped, fromMs, async (atMs) => void histograms.set(atMs, await shipped.server.api.query(histogramQuery, atMs)))
    await expectMoments(shipped, { ...held, histogramsAt: (atMs) => histograms.get(atMs) }, [...histograms.keys()])
    expect(histograms.size).toBe(3)
    for (const text of histograms.values()) expect(text).toContain('rich_histogram')
  })
})

/** Everything that the server has, when all of it was shipped; then it is killed. `ask` is called for three moments before that. */
async function endOf(shipped: ShippedServer, fromMs: number, ask?: (atMs: number) => Promise<void>): Promise<Held> {
  await shipped.stopShipping()
  // What was logged since the last look before it ended: a late sample among them lies before moments that are asked for.
  const report = await shipped.shipOnce()
  // Samples ahead of time do not count: what was logged until the last look is there.
  const toMs = Math.min(Date.parse(report.newestSample ?? ''), Date.now() - 2000)
  for (const atMs of momentsBetween(fromMs, toMs, { count: 3, seed: fromMs & 0xffff })) await ask?.(atMs)
  const samples = await samplesOf(shipped.server.api, { endMs: Date.now() + 3_600_000 })
  await shipped.server.kill()
  return { samples, fromMs, toMs, histogramsAt: () => undefined }
}
