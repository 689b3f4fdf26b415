import { join } from 'node:path'
import type { PrometheusApi, RawSeries } from '../../src/integrations/prometheus/prometheus-api.ts'
import { startThrowawayServer } from '../../src/integrations/prometheus/throwaway-server.ts'
import type { RestoreReport, RestoreRequest } from '../../src/operations/restore/restore-report.ts'
import type { ShipReport, ShipRequest } from '../../src/operations/ship/ship-report.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { temporaryDirectory } from './cleanup.ts'
import { type TestOperations, operationsOn } from './operations.ts'
import { type TestPrometheus, type TestPrometheusOptions, prometheusBinary, startTestPrometheus } from './prometheus.ts'
import { type RunningShipper, shipOnce, startShipping } from './shipping.ts'

export interface ShippedServer {
  server: TestPrometheus
  store: ObjectStore
  /** Of the file repository. */
  root: string
  operations: TestOperations
  /** Ships in the background until `stopShipping`, which gives its report. */
  startShipping(intervalMs: number): void
  stopShipping(): Promise<ShipReport>
  shipOnce(request?: Partial<ShipRequest>): Promise<ShipReport>
}

/** Blocks come every 10 s and are merged up to 90 s. */
export const fastBlocks = ['--storage.tsdb.max-block-duration=90s']

/** A real server whose WAL is shipped into a file repository of its own. Everything ends with the test file. */
export async function startShippedServer(options: TestPrometheusOptions = {}): Promise<ShippedServer> {
  const server = await startTestPrometheus(options)
  const root = join(await temporaryDirectory('repository'), 'repository')
  const store = createFileStore({ root })
  return { server, store, root, operations: operationsOn(server.api, store), ...shippingOf(server, store) }
}

/** Ships a server's log into a store. */
export function shippingOf({ api }: Pick<TestPrometheus, 'api'>, store: ObjectStore): Pick<ShippedServer, 'startShipping' | 'stopShipping' | 'shipOnce'> {
  let running: RunningShipper | undefined
  return {
    startShipping: (intervalMs) => void (running = startShipping(api, store, { settings: { intervalMs } })),
    async stopShipping() {
      if (running === undefined) throw new Error('nothing is being shipped')
      return running.stop()
    },
    shipOnce: (request = {}) => shipOnce(api, store, { request }),
  }
}

/** Samples with all their bits, by series and then by time. */
export type Samples = Map<string, Map<number, bigint>>

/** Everything that a server has. */
export async function samplesOf(api: PrometheusApi, range: { startMs?: number; endMs: number }): Promise<Samples> {
  const found = await api.remoteRead({ matchers: [{ type: '=~', name: '__name__', value: '.+' }], startMs: range.startMs ?? 0, endMs: range.endMs })
  return new Map(found.map((series) => [nameOf(series), new Map(series.samples.map(({ timestampMs, valueBits }) => [timestampMs, valueBits]))]))
}

/** Those up to a moment; a series without any is left out. */
export function samplesUntil(samples: Samples, atMs: number): Samples {
  const cut = [...samples].map(([name, values]) => [name, new Map([...values].filter(([timestampMs]) => timestampMs <= atMs))] as const)
  return new Map(cut.filter(([, values]) => values.size > 0))
}

/** What differs, in a few lines; empty when nothing does. */
export function differences(expected: Samples, found: Samples): string[] {
  const lines: string[] = []
  for (const name of new Set([...expected.keys(), ...found.keys()])) {
    const [left, right] = [expected.get(name) ?? new Map<number, bigint>(), found.get(name) ?? new Map<number, bigint>()]
    const missing = [...left].filter(([time, bits]) => right.get(time) !== bits).map(([time]) => time)
    const extra = [...right.keys()].filter((time) => !left.has(time))
    if (missing.length + extra.length > 0) lines.push(`${name}: missing or changed ${missing.slice(0, 5).join(' ')} (${missing.length} of ${left.size}), too many ${extra.slice(0, 5).join(' ')} (${extra.length})`)
  }
  return lines
}

function nameOf({ labels }: RawSeries): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Restores to a moment into a new directory, starts a server there, hands it over and stops it. */
export async function restored<T>(operations: TestOperations, request: Partial<RestoreRequest>, look: (api: PrometheusApi, report: RestoreReport) => Promise<T>): Promise<T> {
  const directory = await temporaryDirectory('restored')
  const target = join(directory, 'data')
  const report = await operations.restore(target, { start: false, ...request })
  const server = await startThrowawayServer(target, { binary: prometheusBinary(), logFile: join(directory, 'log'), flags: ['--enable-feature=native-histograms'] })
  try {
    return await look(server.api, report)
  } finally {
    await server.stop()
  }
}
