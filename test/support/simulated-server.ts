import { join } from 'node:path'
import type { Clock } from '../../src/system/clock.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { systemClock } from '../../src/system/clock.ts'
import type { BackupRequest } from '../../src/operations/backup/backup-report.ts'
import { temporaryDirectory } from './cleanup.ts'
import { type TestOperations, operationsOn } from './operations.ts'
import { type TestPrometheus, type TestPrometheusOptions, startTestPrometheus, waitFor } from './prometheus.ts'
import { type WrittenSeries, remoteWrite } from './remote-write.ts'
import { shipOnce } from './shipping.ts'

export const hourMs = 3_600_000

/** A real server that lives through hours in seconds: what is written has the times of a simulated clock, and so has what is backed up and shipped. */
export interface SimulatedServer {
  server: TestPrometheus
  store: ObjectStore
  root: string
  operations: TestOperations
  /** The simulated time, ms. */
  nowMs(): number
  /** Lets time pass, each series getting a sample every half a minute. Waits for the blocks that come of it. */
  live(untilMs: number, series: readonly string[]): Promise<void>
  /** Lets time pass without any sample. */
  rest(untilMs: number): void
  backup(request?: Partial<BackupRequest>): Promise<{ id: string; createdAtMs: number }>
  ship(options?: Parameters<typeof shipOnce>[2]): ReturnType<typeof shipOnce>
}

const stepMs = 30_000

/**
 * Its clock begins two days ago at a full two hours, or at a multiple of `alignMs`: blocks are merged within such. Everything ends with the
 * test file.
 */
export async function startSimulatedServer(options: TestPrometheusOptions & { alignMs?: number } = {}): Promise<SimulatedServer & { startMs: number }> {
  const { alignMs = 2 * hourMs, ...others } = options
  const startMs = Math.floor((Date.now() - 48 * hourMs) / alignMs) * alignMs
  // As far apart as what is written: known answers are taken from windows of so many scrape intervals.
  const server = await startTestPrometheus({ scrapeItself: false, retention: '100y', scrapeInterval: `${stepMs / 1000}s`, ...others })
  const root = join(await temporaryDirectory('repository'), 'repository')
  const store = createFileStore({ root })
  let time = startMs
  const clock: Clock = { ...systemClock, now: () => new Date(time) }
  const operations = operationsOn(server.api, store, { clock })
  return {
    server, store, root, operations, startMs,
    nowMs: () => time,
    async live(untilMs, series) {
      while (time < untilMs) {
        const count = Math.min(60, Math.ceil((untilMs - time) / stepMs))
        const written = series.map((name): WrittenSeries => ({ labels: { __name__: name }, samples: Array.from({ length: count }, (_, n) => ({ timestampMs: time + n * stepMs, value: Math.sin(time / 1000 + n) * name.length })) }))
        await remoteWrite(server.url, written)
        time += count * stepMs
        await waitFor(async () => !(await compactable(server)), { what: 'the head to be compacted', intervalMs: 20 })
      }
    },
    rest: (untilMs) => void (time = untilMs),
    async backup(request = {}) {
      const { recoveryPoint } = await operations.backup(request)
      return { id: recoveryPoint.id, createdAtMs: Date.parse(recoveryPoint.createdAt) }
    },
    ship: (ship = {}) => shipOnce(server.api, store, { clock, ...ship }),
  }
}

/** As Prometheus decides it: the head spans one and a half times two hours. */
async function compactable(server: TestPrometheus): Promise<boolean> {
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(metrics)?.[1])
  return value('prometheus_tsdb_head_max_time') - value('prometheus_tsdb_head_min_time') > 3 * hourMs
}
