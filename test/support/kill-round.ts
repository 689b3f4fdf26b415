import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { NamedStore } from '../../src/operations/backup.ts'
import type { RestoreReport } from '../../src/operations/restore-report.ts'
import { atEndOfFile, temporaryDirectory } from './cleanup.ts'
import { type ExportedSeries, type Exporter, startExporter } from './exporter.ts'
import { operationsOn } from './operations.ts'
import { type TestPrometheus, type TestPrometheusOptions, startTestPrometheus, waitFor, waitForSamples } from './prometheus.ts'
import { bitsOf } from './remote-write.ts'
import { startShipping } from './shipping.ts'

export interface KillRound {
  /** Where it is shipped to; `restoreFrom` when the way there is not the way back. */
  store: NamedStore['store']
  restoreFrom?: NamedStore['store']
  /** How long the server runs after the first pass, before it is killed. */
  runMs: number
  server?: TestPrometheusOptions
  /** Instead of shipping within this process. Ends with the server. */
  ship?: (server: TestPrometheus) => Promise<{ stop(): Promise<unknown> }>
  /** Timestamps of the series `late` that were written before, values counting up from 0: all but what is lost with the kill must come back. */
  expectLate?: readonly number[]
  /** Goes on while the server runs, and is waited for. */
  meanwhile?: (server: TestPrometheus) => Promise<void>
}

export interface KillOutcome {
  /** From the newest restored sample to the kill. */
  lostMs: number
  report: RestoreReport
  /** Of one series of an exporter. */
  restoredSamples: number
  checkpoints: boolean
}

/** Doubles without a pattern, and the special ones. */
function seriesOf(target: number): ExportedSeries[] {
  return Array.from({ length: 25 }, (_, series) => ({
    name: 'killed', labels: { exporter: String(target), series: String(series) },
    valueAt: (ms) => (series === 0 ? Number.NaN : series === 1 ? Number.POSITIVE_INFINITY : Math.sin(ms * (series + 1)) * 10 ** (series % 17)),
  }))
}

/**
 * A real server that scrapes deterministic exporters every second is shipped, killed with SIGKILL, and loses its directory; what
 * is restored is compared with what the exporters served, sample by sample and bit by bit: nothing is missing before the newest.
 * @throws Error naming the first difference
 */
export async function killRound(round: KillRound): Promise<KillOutcome> {
  const exporters = await Promise.all([0, 1, 2].map((target) => startExporter(seriesOf(target))))
  const server = await startTestPrometheus({ targets: exporters.map(({ target }) => target), externalLabels: { replica: 'a' }, ...round.server })
  await waitForSamples(server, 'killed', 75)
  const operations = operationsOn(server.api, round.restoreFrom ?? round.store)
  await operations.backup()
  const shipper = round.ship === undefined ? startShipping(server.api, round.store) : await round.ship(server)
  atEndOfFile(async () => void (await shipper.stop()))
  const meanwhile = round.meanwhile?.(server)
  const runUntilMs = performance.now() + round.runMs
  await waitFor(() => performance.now() >= runUntilMs, { timeoutMs: round.runMs + 10_000, what: 'the moment of the kill' })
  await meanwhile
  const checkpoints = JSON.parse(await server.api.query('prometheus_tsdb_checkpoint_creations_total', Date.now())).result.some(({ value }: { value: [number, string] }) => Number(value[1]) > 0)
  await server.kill()
  const killedAtMs = Date.now()
  await rm(server.dataDir, { recursive: true })
  // The disk is gone: what the shipper has not read by now it will never read.
  await shipper.stop().catch(() => undefined)
  for (const exporter of exporters) await exporter.close()

  const target = join(await temporaryDirectory('target'), 'data')
  const report = await operations.restore(target, { disasterAtMs: killedAtMs, start: false })
  const restored = await startTestPrometheus({ dataDir: target, scrapeItself: false, targets: [], retention: '10y', ...(round.server?.config !== undefined && { config: round.server.config }) })
  const newestMs = await compare(restored, exporters)
  if (round.expectLate !== undefined) await compareLate(restored, round.expectLate)
  await restored.kill()
  return { lostMs: killedAtMs - newestMs.newest, report, restoredSamples: newestMs.samples, checkpoints }
}

/** @returns the newest restored sample of any exporter, ms */
async function compare(restored: TestPrometheus, exporters: readonly Exporter[]): Promise<{ newest: number; samples: number }> {
  let newest = 0
  let samples = 0
  for (const [target, exporter] of exporters.entries()) {
    const answered = await restored.api.remoteRead({ matchers: [{ type: '=', name: '__name__', value: 'killed' }, { type: '=', name: 'exporter', value: String(target) }], startMs: 0, endMs: Date.now() + 3_600_000 })
    const expected = seriesOf(target)
    if (answered.length !== expected.length) throw new Error(`exporter ${target}: ${answered.length} series came back instead of ${expected.length}`)
    for (const one of expected) {
      const found = answered.find(({ labels }) => labels['series'] === one.labels?.['series'])
      const times = found?.samples.map(({ timestampMs }) => timestampMs) ?? []
      const served = exporter.served.slice(0, times.length)
      if (JSON.stringify(times) !== JSON.stringify(served)) throw new Error(`exporter ${target}, series ${one.labels?.['series']}: ${times.length} samples came back, and they are not the first of the ${exporter.served.length} that were served: ${difference(times, exporter.served)}`)
      for (const sample of found?.samples ?? []) {
        const wanted = Number.isNaN(one.valueAt(sample.timestampMs)) ? 0x7ff8000000000001n : bitsOf(one.valueAt(sample.timestampMs))
        if (sample.valueBits !== wanted) throw new Error(`exporter ${target}, series ${one.labels?.['series']} at ${sample.timestampMs}: ${sample.valueBits.toString(16)} instead of ${wanted.toString(16)}`)
      }
      newest = Math.max(newest, times.at(-1) ?? 0)
      samples = times.length
    }
  }
  return { newest, samples }
}

/** Written every two seconds: of those of the last four seconds two may be missing. */
async function compareLate(restored: TestPrometheus, written: readonly number[]): Promise<void> {
  const [series] = await restored.api.remoteRead({ matchers: [{ type: '=', name: '__name__', value: 'late' }], startMs: 0, endMs: Date.now() })
  const found = new Map(series?.samples.map(({ timestampMs, valueBits }) => [timestampMs, valueBits]))
  const wrong = written.slice(0, -3).filter((timestampMs, at) => found.get(timestampMs) !== bitsOf(at))
  if (wrong.length > 0) throw new Error(`${wrong.length} of ${written.length} samples that came out of order did not come back: ${wrong.join(' ')}; found ${[...found.keys()].join(' ')}`)
}

function difference(times: readonly number[], served: readonly number[]): string {
  const missing = served.filter((time) => !times.includes(time))
  return `missing ${missing.slice(0, 10).join(' ')}, more ${times.filter((time) => !served.includes(time)).slice(0, 10).join(' ')}`
}
