import { describe, expect, it } from 'vitest'
import { startExporter } from '../support/exporter.ts'
import { expectMoments, momentsBetween } from '../support/moments.ts'
import { missingPrograms, waitFor } from '../support/prometheus.ts'
import { fastBlocks, samplesOf, startShippedServer } from '../support/shipped-server.ts'

const seed = Number(process.env['PROM_DR_TEST_SEED'] ?? Date.now() % 100_000)
const wave = (name: string) => ({ name, valueAt: (ms: number) => Math.cos(ms / 700) * 1e3 })

describe.skipIf(missingPrograms('prometheus'))('fifty moments', () => {
  it(`of a run with compactions, checkpoints and backups, drawn with seed ${seed}`, async () => {
    const exporter = await startExporter([wave('wave_0')], { timestamps: 'scrape' })
    const shipped = await startShippedServer({ targets: [exporter.target], minBlockDuration: '10s', retention: '10y', flags: fastBlocks })
    shipped.startShipping(1000)
    await shipped.operations.backup()
    const fromMs = Date.now()
    for (let round = 1; round <= 45; round += 1) {
      exporter.serve([wave(`wave_${round}`), wave(`wave_${round + 1}`), wave('wave_always')])
      const due = exporter.served.length + 3
      await waitFor(() => exporter.served.length >= due, { what: 'three scrapes' })
      if (round % 5 === 0) await shipped.operations.backup()
    }
    await shipped.stopShipping()
    const report = await shipped.shipOnce()
    const toMs = Date.parse(report.newestSample ?? '') - 1000
    const samples = await samplesOf(shipped.server.api, { endMs: Date.now() })
    await shipped.server.kill()
    const { withBlocks } = await expectMoments(shipped, { samples, fromMs, toMs, histogramsAt: () => undefined }, momentsBetween(fromMs, toMs, { count: 50, seed }))
    expect(withBlocks).toBeGreaterThan(10)
  })
})
