import { resolve } from 'node:path'
import { hasCode, PromDrError } from '../../errors.ts'
import { type Clock, systemClock } from '../../system/clock.ts'
import type { PrometheusApi, WalReplay } from './prometheus-api.ts'

export interface StartingServer {
  readonly url: string
  readonly isRunning: boolean
  readonly api: PrometheusApi
  logTail(lines?: number): string
}

export interface ReadinessOptions {
  dataDir: string
  /** What `dataDir` is relative to. */
  cwd?: string
  readyTimeoutMs?: number
  onReplay?: (replay: WalReplay) => void
  signal?: AbortSignal
  clock?: Clock
}

export type Readiness = { ready: true } | { ready: false; error: PromDrError; portTaken: boolean }

const pollMs = 50
const defaultReadyTimeoutMs = 10 * 60_000
const probeTimeoutMs = 5_000

/** Polls a server that was just started until it answers queries, has ended, or time is up. Stops nothing itself. */
export async function waitUntilReady(server: StartingServer, options: ReadinessOptions): Promise<Readiness> {
  const { clock = systemClock, readyTimeoutMs = defaultReadyTimeoutMs, signal } = options
  const giveUpAtMs = clock.monotonicMs() + readyTimeoutMs
  try {
    while (!(await answers(server, options))) {
      if (!server.isRunning) return ended(server)
      if (clock.monotonicMs() > giveUpAtMs) return late(server, readyTimeoutMs)
      await clock.sleep(pollMs, signal)
    }
    return server.isRunning ? { ready: true } : ended(server)
  } catch (error) {
    if (signal?.aborted) return { ready: false, portTaken: false, error: new PromDrError('INTERRUPTED', 'interrupted while Prometheus started', { cause: signal.reason }) }
    if (error instanceof PromDrError) return { ready: false, portTaken: false, error }
    throw error
  }
}

/** Whether *this* server answers: another may hold the port, for the moment it takes ours to fail on it. */
async function answers({ api, isRunning }: StartingServer, { dataDir, cwd = '.', onReplay, signal }: ReadinessOptions): Promise<boolean> {
  const options = { timeoutMs: probeTimeoutMs, ...(signal !== undefined && { signal }) }
  if (!isRunning) return false
  try {
    if (await api.isReady(options)) return (await api.dataDirectory(options)) === resolve(cwd, dataDir)
    if (onReplay !== undefined) onReplay(await api.walReplay(options))
    return false
  } catch (error) {
    if (hasCode(error, 'PROMETHEUS_UNREACHABLE', 'PROMETHEUS_NOT_READY', 'PROMETHEUS_BAD_RESPONSE')) return false
    throw error
  }
}

function ended(server: StartingServer): Readiness {
  const log = server.logTail(15)
  const portTaken = /address already in use/.test(log)
  const error = new PromDrError('PROGRAM_FAILED', `Prometheus ended before it was ready:\n${log}`, {
    ...(portTaken && { hint: `the port of ${server.url} is taken by another program` }),
  })
  return { ready: false, error, portTaken }
}

function late(server: StartingServer, readyTimeoutMs: number): Readiness {
  const error = new PromDrError('PROMETHEUS_NOT_READY', `Prometheus at ${server.url} was not ready after ${readyTimeoutMs} ms:\n${server.logTail(5)}`)
  return { ready: false, error, portTaken: false }
}
