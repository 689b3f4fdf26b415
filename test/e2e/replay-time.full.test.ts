import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createFileStore } from '../../src/stores/file-store.ts'
import { encodeRecord } from '../../src/tsdb/wal/record-codec.ts'
import { WalWriter } from '../../src/tsdb/wal/wal-writer.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { missingPrograms, startTestPrometheus } from '../support/prometheus.ts'
import { bitsOf } from '../support/remote-write.ts'
import { shipOnce } from '../support/shipping.ts'

const seriesCount = 100_000
const rounds = 150
const intervalMs = 15_000

/** The log of a server that scraped for 37 minutes. */
async function writeLog(directory: string): Promise<void> {
  const writer = new WalWriter(directory)
  const range = (from: number, count: number) => Array.from({ length: count }, (_, at) => from + at)
  for (let from = 0; from < seriesCount; from += 1000) {
    const series = range(from, 1000).map((n) => ({ ref: n + 1, labels: [['__name__', `metric_${n % 500}`], ['instance', `host-${Math.floor(n / 500)}:9100`], ['job', 'node']] as [string, string][] }))
    await writer.append(encodeRecord({ type: 'series', series }))
  }
  const startMs = Date.now() - rounds * intervalMs
  for (let round = 0; round < rounds; round += 1) {
    for (let from = 0; from < seriesCount; from += 500) {
      const samples = range(from, 500).map((n) => ({ ref: n + 1, timestampMs: startMs + round * intervalMs + (from % 14_000), startTimestampMs: 0, valueBits: bitsOf(Math.floor(n * 3.7 + round * ((n % 7) + 1) * 13)) }))
      await writer.append(encodeRecord({ type: 'samples', samples }))
    }
  }
  await writer.close()
}

describe.skipIf(missingPrograms('prometheus'))('the time of a restore', () => {
  it('of a head of 100,000 series and 15 million samples is under 1.5 times what Prometheus takes to replay it', async () => {
    const dataDir = join(await temporaryDirectory('source'), 'data')
    await mkdir(dataDir)
    await writeLog(join(dataDir, 'wal'))
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
