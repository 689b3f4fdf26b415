/**
 * A real Alertmanager for tests, on a free loopback port, not clustered, killed at the end of the test file.
 *
 *   const alertmanager = await startTestAlertmanager({ config })       // a directory of its own: alertmanager.yml, data/
 *   await alertmanager.stop()                                          // SIGTERM: it writes its state
 *   await alertmanager.kill()                                          // SIGKILL
 *   await startTestAlertmanager({ directory: alertmanager.directory }) // the same files again
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { stringify } from 'yaml'
import type { AlertmanagerConnection } from '../../src/integrations/alertmanager/alertmanager-api.ts'
import { type AlertmanagerHttpApi, createAlertmanagerApi } from '../../src/integrations/alertmanager/http-alertmanager-api.ts'
import { freePort } from '../../src/system/ports.ts'
import { type RunningProgram, startProgram } from '../../src/system/running-program.ts'
import { atEndOfFile, temporaryDirectory } from './cleanup.ts'
import { waitFor } from './wait-for.ts'

export interface TestAlertmanagerOptions {
  /** Default: a new temporary one. */
  directory?: string
  /** Content of alertmanager.yml; default: what lies there, or a route to nowhere. */
  config?: object | string
  /** How often it writes its state. Default 1 s; its own default is 15 min. */
  maintenanceInterval?: string
  webConfig?: object
  access?: Omit<AlertmanagerConnection, 'url'>
  routePrefix?: string
  port?: number
  flags?: readonly string[]
}

export interface TestAlertmanager {
  directory: string
  configFile: string
  dataDir: string
  url: string
  /** `host:port`. */
  target: string
  api: AlertmanagerHttpApi
  program: RunningProgram
  stop(): Promise<void>
  kill(): Promise<void>
}

export const routeToNowhere = { route: { receiver: 'none' }, receivers: [{ name: 'none' }] }

const portTries = 5

/** The binary under test: of PROM_DR_TEST_ALERTMANAGER, or the installed one. */
export function alertmanagerBinary(): string {
  return process.env['PROM_DR_TEST_ALERTMANAGER'] ?? 'prometheus-alertmanager'
}

/** Its amtool: the one beside it. */
export function amtoolBinary(): string {
  const alertmanager = alertmanagerBinary()
  return alertmanager.includes('/') ? join(dirname(alertmanager), 'amtool') : 'amtool'
}

export async function startTestAlertmanager(options: TestAlertmanagerOptions = {}): Promise<TestAlertmanager> {
  const directory = options.directory ?? (await temporaryDirectory('alertmanager'))
  await mkdir(directory, { recursive: true })
  const configFile = join(directory, 'alertmanager.yml')
  const config = options.config ?? (options.directory === undefined ? routeToNowhere : undefined)
  if (config !== undefined) await writeFile(configFile, typeof config === 'string' ? config : stringify(config))
  if (options.webConfig !== undefined) await writeFile(join(directory, 'web.yml'), stringify(options.webConfig))
  for (let tries = 1; ; tries += 1) {
    const started = await start(directory, options)
    if (started !== undefined) return started
    if (tries === portTries) throw new Error('Alertmanager found no free port')
  }
}

/** Undefined when somebody else had taken the port. */
async function start(directory: string, options: TestAlertmanagerOptions): Promise<TestAlertmanager | undefined> {
  const { maintenanceInterval = '1s', webConfig, access = {}, routePrefix = '', flags = [] } = options
  const dataDir = join(directory, 'data')
  const configFile = join(directory, 'alertmanager.yml')
  const target = `127.0.0.1:${options.port ?? (await freePort())}`
  const logFile = join(directory, 'alertmanager.log')
  const program = await startProgram(alertmanagerBinary(), [
    `--config.file=${configFile}`, `--storage.path=${dataDir}`, `--web.listen-address=${target}`, '--cluster.listen-address=',
    `--data.maintenance-interval=${maintenanceInterval}`,
    ...(webConfig === undefined ? [] : [`--web.config.file=${join(directory, 'web.yml')}`]),
    ...(routePrefix === '' ? [] : [`--web.route-prefix=${routePrefix}`]),
    ...flags,
  ], { logFile })
  atEndOfFile(async () => void (await program.kill()))
  const url = `${access.tls === undefined ? 'http' : 'https'}://${target}${routePrefix}`
  const api = createAlertmanagerApi({ url, ...access })
  const end = async (ended: Promise<unknown>) => {
    await ended
    api.close()
  }
  const outcome = await waitFor(async () => {
    if (!program.isRunning) return 'ended'
    await api.status()
    return 'answers'
  }, { what: 'Alertmanager' })
  if (outcome === 'answers') return { directory, configFile, dataDir, url, target, api, program, stop: () => end(program.stop()), kill: () => end(program.kill()) }
  if (/address already in use/.test(program.logTail())) return undefined
  throw new Error(`Alertmanager ended:\n${program.logTail()}`)
}

/** The time from now, as the API has it. */
export function inSeconds(seconds: number): string {
  return new Date(Date.now() + seconds * 1000).toISOString()
}

/** Alerts by their labels, firing for ten minutes. */
export async function sendAlerts(alertmanager: Pick<TestAlertmanager, 'url'>, labels: readonly Record<string, string>[]): Promise<void> {
  const response = await fetch(`${alertmanager.url}/api/v2/alerts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(labels.map((one) => ({ labels: one, startsAt: inSeconds(-1), endsAt: inSeconds(600) }))),
  })
  if (!response.ok) throw new Error(`alerts were refused: ${response.status} ${await response.text()}`)
}

/** The alerts' names, by whether they are silenced (`suppressed`) or not (`active`). */
export async function alertStates(alertmanager: Pick<TestAlertmanager, 'url'>): Promise<Record<string, string>> {
  const alerts = (await (await fetch(`${alertmanager.url}/api/v2/alerts`)).json()) as { labels: Record<string, string>; status: { state: string } }[]
  return Object.fromEntries(alerts.map(({ labels, status }) => [labels['alertname'], status.state]))
}
