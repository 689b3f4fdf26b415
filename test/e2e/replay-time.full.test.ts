import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { writeLargeHead } from '../../bench/large-head.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { missingPrograms, startTestPrometheus } from '../support/prometheus.ts'
import { shipOnce } from '../support/shipping.ts'

/** 37 minutes of scrapes. */
const scrapes = 150

describe.skipIf(missingPrograms('prometheus'))('the time of a restore', () => {
  it('of a head of 100,000 series and 15 million samples is under 1.5 times what Prometheus takes to replay it', async () => {
    const dataDir = join(await temporaryDirectory('source'), 'data')
    await mkdir(dataDir)
    await writeLargeHead(join(dataDir, 'wal'), scrapes)
    const server = await startTestPrometheus({ dataDir, scrapeItself: false, retention: '10y' })
    const store = createFileStore({ root: join(await temporaryDirectory('repository'), 'repository') })
    const operations = operationsOn(server.api, store, { settings: { knownAnswers: { series: 0, samplesPerSeries: 1, queries: [] } } })
    // What 100,000 series log in ten seconds.
    await shipOnce(server.api, store, { settings: { partBytes: 600_000 } })
    await operations.backup({ head: 'never' })
    await shipOnce(server.api, store)
    await server.kill()
    const ratios: number[] = []
    for (let run = 0; run < 3; run += 1) {
      const target = join(await temporaryDirectory('target'), 'data')
      const report = await operations.restore(target, { start: false })
      const restoreMs = report.stages.reduce((sum, stage) => sum + stage.durationMs, 0)
      const restored = await startTestPrometheus({ dataDir: target, scrapeItself: false, retention: '10y' })
      const log = await readFile(restored.logFile, 'utf8')
      await restored.kill()
      const replayMs = Number(/total_replay_duration=([\d.]+)s/.exec(log)?.[1]) * 1000
      console.log(`restored in ${Math.round(restoreMs)} ms, replayed by Prometheus in ${Math.round(replayMs)} ms`)
      ratios.push(restoreMs / replayMs)
    }
    expect(Math.min(...ratios)).toBeLessThan(1.5)
  })
})
