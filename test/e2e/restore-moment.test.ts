import { beforeAll, describe, expect, it } from 'vitest'
import { startExporter } from '../support/exporter.ts'
import { missingPrograms, waitFor } from '../support/prometheus.ts'
import { type Samples, type ShippedServer, differences, fastBlocks, restored, samplesOf, samplesUntil, startShippedServer } from '../support/shipped-server.ts'

describe.skipIf(missingPrograms('prometheus'))('a restore to any moment', () => {
  let shipped: ShippedServer
  let source: Samples
  let fromMs: number
  let toMs: number

  beforeAll(async () => {
    const wave = (name: string) => ({ name, labels: { kind: 'wave' }, valueAt: (ms: number) => Math.sin(ms / 1000) * 1e6 })
    const exporter = await startExporter([wave('wave_0')], { timestamps: 'scrape' })
    shipped = await startShippedServer({ targets: [exporter.target], minBlockDuration: '10s', retention: '10y', flags: fastBlocks })
    shipped.startShipping(1000)
    await shipped.operations.backup()
    fromMs = Date.now()
    // Series come and go: each lives for some seconds and ends with a stale marker.
    for (let round = 1; round <= 8; round += 1) {
      exporter.serve([wave(`wave_${round}`), wave(`wave_${round + 1}`)])
      const due = exporter.served.length + 3
      await waitFor(() => exporter.served.length >= due, { what: 'three scrapes' })
      if (round % 3 === 0) await shipped.operations.backup()
    }
    const report = await shipped.stopShipping()
    toMs = Date.parse(report.newestSample ?? '')
    source = await samplesOf(shipped.server.api, { endMs: Date.now() })
    await shipped.server.kill()
  })

  it('holds every sample up to the moment and none after', async () => {
    for (const part of [0.15, 0.5, 0.8]) {
      const atMs = Math.round(fromMs + (toMs - fromMs) * (part + Math.random() * 0.1))
      await restored(shipped.operations, { at: { kind: 'time', ms: atMs } }, async (api, report) => {
        const found = await samplesOf(api, { endMs: Date.now() + 3_600_000 })

        expect(differences(samplesUntil(source, atMs), found), `restored to ${new Date(atMs).toISOString()}`).toEqual([])
        expect(report).toMatchObject({ stoppedBy: 'moment' })
      })
    }
  })
})
