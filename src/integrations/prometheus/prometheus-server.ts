import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PromDrError, messageOf, systemCode } from '../../errors.ts'
import { freePort } from '../../system/ports.ts'
import { type RunningProgram, startProgram } from '../../system/running-program.ts'
import { createPrometheusApi, type PrometheusHttpApi } from './http-prometheus-api.ts'
import type { PrometheusConnection, WalReplay } from './prometheus-api.ts'
import { waitUntilReady } from './server-readiness.ts'

export interface PrometheusServerOptions {
  /** Default: `prometheus`, looked up in PATH. */
  binary?: string
  dataDir: string
  /** The configuration: a file, or its text. */
  config: { file: string } | { text: string }
  /** `host:port`. Default: a free port of the loopback address, another one when it is lost to somebody else. */
  listen?: string
  /** Further flags, as on the command line: `--web.enable-admin-api`. */
  flags?: readonly string[]
  /** Given as --web.route-prefix; part of `url`. */
  routePrefix?: string
  /** How to get in when --web.config.file demands it; `tls` makes the URL https. */
  access?: Omit<PrometheusConnection, 'url'>
  /** Gets the server's log, appended. */
  logFile: string
  /** Whom to run as; only root may choose. */
  owner?: { uid: number; gid: number }
  cwd?: string
  /** Default 10 minutes: a large WAL takes its time. */
  readyTimeoutMs?: number
  onReplay?: (replay: WalReplay) => void
  signal?: AbortSignal
}

export interface PrometheusServer {
  readonly url: string
  readonly pid: number
  readonly isRunning: boolean
  readonly api: PrometheusHttpApi
  /** SIGTERM, SIGKILL after 30 s. Resolves when it has ended; may be called again. */
  stop(): Promise<void>
  /** SIGKILL: what a crash looks like. */
  kill(): Promise<void>
  logTail(lines?: number): string
}

const portTries = 5
const stopGraceMs = 30_000

/**
 * Starts a real Prometheus and waits until it answers queries. It does not outlive this process.
 * @throws PROGRAM_MISSING
 * @throws PROGRAM_FAILED with the end of its log, when it exits
 * @throws PROMETHEUS_NOT_READY when it is not ready in time; it is stopped then
 * @throws INTERRUPTED; it is stopped then
 */
export async function startPrometheus(options: PrometheusServerOptions): Promise<PrometheusServer> {
  for (let attempt = 1; ; attempt += 1) {
    const listen = options.listen ?? `127.0.0.1:${await freePort()}`
    const server = await launch(options, listen)
    const outcome = await waitUntilReady(server, options)
    if (outcome.ready) return server
    await server.kill()
    if (!outcome.portTaken || options.listen !== undefined || attempt === portTries) throw outcome.error
  }
}

async function launch(options: PrometheusServerOptions, listen: string): Promise<PrometheusServer> {
  if (options.signal?.aborted) throw new PromDrError('INTERRUPTED', 'interrupted before Prometheus was started', { cause: options.signal.reason })
  const config = await configFileOf(options)
  try {
    const program = await startProgram(options.binary ?? 'prometheus', argumentsOf(options, { listen, configFile: config.file }), {
      logFile: options.logFile,
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      ...(options.owner !== undefined && { owner: options.owner }),
    })
    return controlOf(program, { options, listen, removeConfig: config.remove })
  } catch (error) {
    await config.remove()
    throw error
  }
}

function controlOf(program: RunningProgram, started: { options: PrometheusServerOptions; listen: string; removeConfig: () => Promise<void> }): PrometheusServer {
  const { access = {}, routePrefix = '' } = started.options
  const url = `${access.tls === undefined ? 'http' : 'https'}://${started.listen}${routePrefix.replace(/\/$/, '')}`
  const api = createPrometheusApi({ url, ...access })
  const tidy = async () => {
    api.close()
    await started.removeConfig()
  }
  return {
    url,
    pid: program.pid,
    get isRunning() {
      return program.isRunning
    },
    api,
    stop: async () => {
      await program.stop(stopGraceMs)
      await tidy()
    },
    kill: async () => {
      await program.kill()
      await tidy()
    },
    logTail: program.logTail,
  }
}

function argumentsOf(options: PrometheusServerOptions, { listen, configFile }: { listen: string; configFile: string }): string[] {
  return [
    `--config.file=${configFile}`,
    `--storage.tsdb.path=${options.dataDir}`,
    `--web.listen-address=${listen}`,
    ...(options.routePrefix === undefined ? [] : [`--web.route-prefix=${options.routePrefix}`]),
    ...(options.flags ?? []),
  ]
}

/** A configuration given as text lives in a directory of its own, readable by the server's user alone. */
async function configFileOf({ config, owner }: PrometheusServerOptions): Promise<{ file: string; remove: () => Promise<void> }> {
  if ('file' in config) return { file: config.file, remove: async () => {} }
  const directory = await mkdtemp(join(tmpdir(), 'prom-dr-server-')).catch(failedToWrite)
  const remove = () => rm(directory, { recursive: true, force: true })
  const file = join(directory, 'prometheus.yml')
  try {
    await writeFile(file, config.text, { mode: 0o600 })
    if (owner !== undefined) await Promise.all([directory, file].map((path) => chown(path, owner.uid, owner.gid)))
  } catch (error) {
    await remove()
    return failedToWrite(error)
  }
  return { file, remove }
}

/** @throws DISK_FULL, FILE_SYSTEM */
function failedToWrite(error: unknown): never {
  const full = ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '')
  throw new PromDrError(full ? 'DISK_FULL' : 'FILE_SYSTEM', `the configuration of a throwaway server cannot be written to ${tmpdir()}: ${messageOf(error)}`, { hint: 'free some space there, or set TMPDIR to another directory', cause: error })
}
