import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { readGenerations, readHeartbeat } from '../../src/repository/wal-stream.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import type { RestoreReport } from '../../src/operations/restore/restore-report.ts'
import { atEndOfFile, temporaryDirectory } from './cleanup.ts'
import { type ExportedSeries, startExporter } from './exporter.ts'
import { operationsOn } from './operations.ts'
import { type TestPrometheus, type TestPrometheusOptions, startTestPrometheus, waitFor, waitForSamples } from './prometheus.ts'
import { samplesOf } from './shipped-server.ts'
import { startShipping } from './shipping.ts'
import { type Comparison, compareWithTwin } from './twin-comparison.ts'

/** What ships a server. */
export interface KillableShipper {
  /** The end of it, with or without warning; it may have ended before. */
  kill(): Promise<unknown>
}

export interface KillScene {
  server: TestPrometheus
  shipper: KillableShipper
  /** Waits for so much of the server's scrapes. */
  pass(durationMs: number): Promise<void>
  backup(): Promise<void>
  /** SIGKILL, and a server on the same directory again: the disk is still there. */
  restartServer(): Promise<void>
}

export interface KillRound<Shipper extends KillableShipper = KillableShipper> {
  store: ObjectStore
  /** How long the server runs after the first pass, before it is killed. */
  runMs: number
  server?: TestPrometheusOptions
  /** Each scrape brings a sample that is older than those before; for servers with an out-of-order window. */
  late?: boolean
  /** Instead of shipping within this process. */
  ship?: (server: TestPrometheus) => Promise<Shipper>
  /** It runs on until there was a head compaction with its checkpoint. */
  untilCheckpoint?: boolean
  /** The shipper ends before the server does. */
  shipperFirst?: boolean
  /** Goes on while the server runs, and is waited for. */
  meanwhile?: (scene: KillScene & { shipper: Shipper }) => Promise<void>
}

export interface KillOutcome extends Comparison {
  /** From the newest restored sample to the kill. */
  lostMs: number
  /** The newest sample that came back at all, and the newest that the shipper had said to be stored, ms. */
  reachedMs: number
  claimedMs: number
  report: RestoreReport
  checkpoints: boolean
}

const longestLateMs = 25 * 60_000

/** Doubles without a pattern, and the special ones; series that live for seconds only; and one that gets a sample out of order each time. */
function seriesOf(target: number, late: boolean): (nowMs: number) => ExportedSeries[] {
  let steps = 0
  // One time has one value: a server that gets two keeps either.
  const taken = new Set<number>()
  const lateOf = (nowMs: number) => {
    taken.add(nowMs)
    let lateMs = (steps * 7000) % longestLateMs
    while (taken.has(nowMs - lateMs)) lateMs += 1
    taken.add(nowMs - lateMs)
    return lateMs
  }
  const labelled = (name: string, series: string) => ({ name, labels: { exporter: String(target), series } })
  return (nowMs) => {
    steps += 1
    return [
      ...Array.from({ length: 25 }, (_, at): ExportedSeries => ({
        ...labelled('killed', String(at)),
        valueAt: (ms) => (at === 0 ? Number.NaN : at === 1 ? Number.POSITIVE_INFINITY : Math.sin(ms * (at + 1)) * 10 ** (at % 17)),
      })),
      { ...labelled('killed', `brief ${Math.floor(nowMs / 7000)}`), valueAt: (ms) => ms % 7000 },
      ...(late ? [{ ...labelled('late', 'now'), valueAt: () => -1 }, { ...labelled('late', 'now'), lateMs: lateOf(nowMs), valueAt: () => nowMs }] : []),
    ]
  }
}

/**
 * A real server that scrapes deterministic exporters every second is shipped, killed with SIGKILL, and loses its directory; what
 * is restored is compared, sample by sample and bit by bit, with a second server that got all that the exporters had served.
 * @throws Error naming the first difference
 */
export async function killRound<Shipper extends KillableShipper>(round: KillRound<Shipper>): Promise<KillOutcome> {
  const exporters = await Promise.all([0, 1, 2].map((target) => startExporter(seriesOf(target, round.late === true))))
  const targets = exporters.map(({ target }) => target)
  const options = { targets, ...round.server }
  let server = await startTestPrometheus(options)
  const twin = await startTwin(targets, round.server)
  await waitForSamples(server, 'killed', 75)
  const operations = operationsOn(server.api, round.store)
  await operations.backup()
  const shipper = (await round.ship?.(server)) ?? (inThisProcess(server, round.store) as unknown as Shipper)
  atEndOfFile(async () => void (await shipper.kill()))
  await waitFor(() => isShipped(round.store), { what: 'the first sign of life of the shipper' })
  const runUntilMs = performance.now() + round.runMs
  let checkpoints = false
  const lookForCheckpoints = async () => {
    const answer = JSON.parse(await server.api.query('prometheus_tsdb_checkpoint_creations_total', Date.now())) as { result: { value: [number, string] }[] }
    checkpoints ||= answer.result.some(({ value }) => Number(value[1]) > 0)
  }
  await round.meanwhile?.({
    server, shipper,
    pass: (durationMs) => pass(server, durationMs),
    backup: async () => void (await operationsOn(server.api, round.store).backup()),
    async restartServer() {
      await lookForCheckpoints()
      await server.kill()
      server = await startTestPrometheus({ ...options, dataDir: server.dataDir })
    },
  })
  await waitFor(() => performance.now() >= runUntilMs, { timeoutMs: round.runMs + 120_000, what: 'the moment of the kill' })
  await lookForCheckpoints()
  if (round.untilCheckpoint === true) await waitFor(() => lookForCheckpoints().then(() => checkpoints), { timeoutMs: 180_000, intervalMs: 500, what: 'a checkpoint' })
  const known = await samplesOf(server.api, { endMs: Date.now() + 3_600_000 })
  if (round.shipperFirst === true) await shipper.kill()
  await server.kill()
  const killedAtMs = Date.now()
  // The shipper may be putting a link there.
  await rm(server.dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 20 })
  // The disk is gone: what the shipper has not read by now it will never read.
  await shipper.kill()

  const claimedMs = await claimOf(round.store)
  const target = join(await temporaryDirectory('target'), 'data')
  const report = await operations.restore(target, { disasterAtMs: killedAtMs, start: false })
  const { flags, config } = round.server ?? {}
  const restored = await startTestPrometheus({ dataDir: target, scrapeItself: false, retention: '10y', ...(flags && { flags: flags.filter((flag) => !flag.includes('block-duration')) }), ...(config && { config }) })
  for (const exporter of exporters) await waitFor(async () => (await newestOf(twin, exporter.target)) >= (exporter.served.at(-1) ?? 0), { what: 'the twin to have it all' })
  const all = { endMs: Date.now() + 3_600_000 }
  const sides = { restored: await samplesOf(restored.api, all), twin: await samplesOf(twin.api, all), known, certainMs: killedAtMs - 4000 }
  const comparison = explained(() => compareWithTwin(sides), report)
  await Promise.all([restored.kill(), twin.kill(), ...exporters.map((exporter) => exporter.close())])
  const reachedMs = [...sides.restored.values()].reduce((newest, values) => Math.max(newest, ...values.keys()), 0)
  return { ...comparison, lostMs: killedAtMs - comparison.newestMs, reachedMs, claimedMs, report, checkpoints }
}

async function claimOf(store: ObjectStore): Promise<number> {
  const generation = (await readGenerations(store, 'prom-a')).at(-1)
  const heartbeat = generation && (await readHeartbeat(store, 'prom-a', { generation: generation.id }))
  return heartbeat?.newestScrape ?? Number.POSITIVE_INFINITY
}

/** With what was restored: a difference comes from the log or from a block. */
function explained<T>(compare: () => T, { plan, recoverableAt, stoppedBy, warnings }: RestoreReport): T {
  try {
    return compare()
  } catch (error) {
    const blocks = plan.blocks.map(({ ulid, minTime, maxTime }) => `${ulid} ${Date.parse(minTime)}-${Date.parse(maxTime)}`)
    throw new Error(`${(error as Error).message}; restored from ${plan.recoveryPoint} up to ${recoverableAt} (${stoppedBy}) with ${blocks.length} blocks: ${blocks.join(', ')}; ${warnings.join('; ')}`, { cause: error })
  }
}

function startTwin(targets: readonly string[], { binary, config = {}, flags }: TestPrometheusOptions = {}): Promise<TestPrometheus> {
  const scraping = { scrape_configs: [{ job_name: 'test', metrics_path: '/twin', static_configs: [{ targets: [...targets] }] }] }
  return startTestPrometheus({ scrapeItself: false, retention: '10y', ...(binary !== undefined && { binary }), ...(flags && { flags: flags.filter((flag) => !flag.includes('block-duration')) }), config: { ...config, ...scraping } })
}

function inThisProcess(server: TestPrometheus, store: ObjectStore): KillableShipper {
  const running = startShipping(server.api, store)
  return { kill: () => running.stop().catch(() => undefined) }
}

async function isShipped(store: ObjectStore): Promise<boolean> {
  for await (const { key } of store.list('instances/prom-a/wal/')) if (key.endsWith('heartbeat.json')) return true
  return false
}

/** By the server's own clock, which has to go on meanwhile. */
async function pass(server: TestPrometheus, durationMs: number): Promise<void> {
  const untilMs = Date.now() + durationMs
  await waitFor(async () => (await answerOf(server, 'max(timestamp(up))')) * 1000 >= untilMs, { timeoutMs: durationMs + 120_000, intervalMs: 500, what: `${durationMs} ms of scrapes` })
}

async function newestOf(server: TestPrometheus, target: string): Promise<number> {
  return Math.round((await answerOf(server, `max(timestamp(killed{instance="${target}"}))`)) * 1000)
}

async function answerOf(server: TestPrometheus, query: string): Promise<number> {
  const answer = JSON.parse(await server.api.query(query, Date.now())) as { result: { value: [number, string] }[] }
  return Number(answer.result[0]?.value[1] ?? 0)
}
