/**
 * Real servers for tests. All of them listen on free loopback ports, live in temporary directories, and are killed and
 * removed at the end of the test file, also after a failure (and by the kernel when the test process itself is killed).
 *
 *   const prometheus = await startTestPrometheus()                     // scrapes itself every second, admin API on
 *   await waitForSamples(prometheus, 'up', 3)                          // poll, never sleep
 *   await prometheus.api.takeSnapshot({ skipHead: false })
 *   await prometheus.kill()                                            // SIGKILL; prometheus.dataDir stays
 *   const again = await startTestPrometheus({ dataDir: prometheus.dataDir })
 *
 *   const exporter = await startExporter([{ name: 'wave', valueAt: (ms) => ms % 60_000 }])
 *   await startTestPrometheus({ targets: [exporter.target] })          // every stored sample is valueAt(its timestamp)
 *
 *   await startTestPrometheus({ minBlockDuration: '10s' })             // a block every 10 s, a checkpoint within 50 s
 *   await remoteWrite(prometheus.url, [{ labels, samples }])           // days of blocks in seconds: support/remote-write.ts
 *
 * Guard a test with `needPrograms(ctx, 'prometheus')`, or a suite with `describe.skipIf(missingPrograms('prometheus'))`.
 * PROM_DR_TEST_PROMETHEUS names another binary than the installed one: `support/other-suite.ts`.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { PrometheusConnection } from '../../src/integrations/prometheus/prometheus-api.ts'
import { type PrometheusServer, type PrometheusServerOptions, startPrometheus } from '../../src/integrations/prometheus/prometheus-server.ts'
import { findProgram } from '../../src/system/programs.ts'
import { freePort } from '../../src/system/ports.ts'
import { startProgram } from '../../src/system/running-program.ts'
import { atEndOfFile, temporaryDirectory } from './cleanup.ts'
import { waitFor } from './wait-for.ts'

export { startExporter } from './exporter.ts'
export { remoteWrite } from './remote-write.ts'
export { waitFor } from './wait-for.ts'
export { missingPrograms, needPrograms } from './programs.ts'

export interface TestPrometheusOptions {
  /** Default 1s. */
  scrapeInterval?: string
  /** `host:port` of exporters, scraped as job `test`. */
  targets?: readonly string[]
  /** Scrape itself as job `prometheus`. Default true. */
  scrapeItself?: boolean
  externalLabels?: Record<string, string>
  /** `10s` gives a block every 10 s. */
  minBlockDuration?: string
  retention?: string
  /** Default true. */
  adminApi?: boolean
  /** Default true. */
  remoteWriteReceiver?: boolean
  flags?: readonly string[]
  /** Content of --web.config.file; then say in `access` how to get in. */
  webConfig?: object
  access?: Omit<PrometheusConnection, 'url'>
  routePrefix?: string
  /** A directory with data, or that is to be made. Default: a new temporary one. */
  dataDir?: string
  /** More of prometheus.yml: `rule_files`, `alerting`, `storage` … */
  config?: Record<string, unknown>
  binary?: string
  owner?: PrometheusServerOptions['owner']
}

export interface TestPrometheus extends PrometheusServer {
  /** Holds everything below. */
  directory: string
  dataDir: string
  configFile: string
  logFile: string
}

/** The binary under test: of PROM_DR_TEST_PROMETHEUS, or the installed one. */
export function prometheusBinary(): string {
  return process.env['PROM_DR_TEST_PROMETHEUS'] ?? 'prometheus'
}

/** The promtool under test: of PROM_DR_TEST_PROMTOOL, or the installed one. */
export function promtoolBinary(): string {
  return process.env['PROM_DR_TEST_PROMTOOL'] ?? 'promtool'
}

export async function startTestPrometheus(options: TestPrometheusOptions = {}): Promise<TestPrometheus> {
  const directory = await temporaryDirectory('prometheus')
  const dataDir = options.dataDir ?? join(directory, 'data')
  await mkdir(dataDir, { recursive: true })
  const configFile = join(directory, 'prometheus.yml')
  const logFile = join(directory, 'prometheus.log')
  const listen = `127.0.0.1:${await freePort()}`
  await writeFile(configFile, configText(options, listen))
  const flags = [...flagsOf(options)]
  if (options.webConfig !== undefined) {
    await writeFile(join(directory, 'web.yml'), stringify(options.webConfig))
    flags.push(`--web.config.file=${join(directory, 'web.yml')}`)
  }
  const server = await startPrometheus({
    binary: options.binary ?? prometheusBinary(),
    dataDir,
    config: { file: configFile },
    // Known beforehand, because the server scrapes itself.
    listen,
    flags,
    logFile,
    readyTimeoutMs: 40_000,
    ...(options.routePrefix !== undefined && { routePrefix: options.routePrefix }),
    ...(options.access !== undefined && { access: options.access }),
    ...(options.owner !== undefined && { owner: options.owner }),
  })
  atEndOfFile(() => server.kill())
  return Object.defineProperties({ directory, dataDir, configFile, logFile } as TestPrometheus, Object.getOwnPropertyDescriptors(server))
}

/** Waits until the instant query finds at least `count` samples of the selector in the last hour. */
export async function waitForSamples(prometheus: Pick<PrometheusServer, 'api'>, selector: string, count: number): Promise<void> {
  const what = `${count} samples of ${selector}`
  await waitFor(async () => {
    const answer = JSON.parse(await prometheus.api.query(`sum(count_over_time(${selector}[1h]))`, Date.now())) as { result: { value: [number, string] }[] }
    return Number(answer.result[0]?.value[1] ?? 0) >= count
  }, { what })
}

/** node_exporter on a free port. */
export async function startNodeExporter(flags: readonly string[] = []): Promise<{ target: string; stop(): Promise<void> }> {
  const directory = await temporaryDirectory('node-exporter')
  const target = `127.0.0.1:${await freePort()}`
  const name = findProgram('prometheus-node-exporter') === undefined ? 'node_exporter' : 'prometheus-node-exporter'
  const program = await startProgram(name, [`--web.listen-address=${target}`, ...flags], { logFile: join(directory, 'log') })
  const stop = async () => void (await program.kill())
  atEndOfFile(stop)
  await waitFor(async () => (await fetch(`http://${target}/metrics`)).ok, { what: 'node_exporter' })
  return { target, stop }
}

function flagsOf(options: TestPrometheusOptions): string[] {
  return [
    ...(options.adminApi === false ? [] : ['--web.enable-admin-api']),
    ...(options.remoteWriteReceiver === false ? [] : ['--web.enable-remote-write-receiver']),
    ...(options.minBlockDuration === undefined ? [] : [`--storage.tsdb.min-block-duration=${options.minBlockDuration}`]),
    ...(options.retention === undefined ? [] : [`--storage.tsdb.retention.time=${options.retention}`]),
    ...(options.flags ?? []),
  ]
}

function configText(options: TestPrometheusOptions, listen: string): string {
  const { scrapeInterval = '1s', targets = [], scrapeItself = options.webConfig === undefined, externalLabels = {}, routePrefix = '' } = options
  return stringify({
    global: { scrape_interval: scrapeInterval, scrape_timeout: scrapeInterval, external_labels: externalLabels },
    scrape_configs: [
      ...(scrapeItself ? [{ job_name: 'prometheus', metrics_path: `${routePrefix}/metrics`, static_configs: [{ targets: [listen] }] }] : []),
      ...(targets.length === 0 ? [] : [{ job_name: 'test', static_configs: [{ targets: [...targets] }] }]),
    ],
    ...options.config,
  })
}
