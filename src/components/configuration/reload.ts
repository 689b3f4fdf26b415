import { stat } from 'node:fs/promises'
import { PromDrError } from '../../errors.ts'
import type { Clock } from '../../system/clock.ts'
import { ifThere } from '../../system/if-there.ts'
import { runProgram } from '../../system/process.ts'

/** A running server that reads its configuration anew when it is told to. */
export interface ReloadingServer {
  /** For people: `Prometheus`. */
  name: string
  /** By its API. */
  reload(signal: AbortSignal): Promise<{ outcome: 'reloaded' } | { outcome: 'off'; advice: string } | { outcome: 'failed'; reason: string }>
  lastReload(signal: AbortSignal): Promise<LastReload>
  /** What tells of the last reload: `its metrics say`. */
  witness: string
}

export interface LastReload {
  successful: boolean
  /** When it last read its configuration with success. */
  lastSuccessAt: Date
}

export interface ReloadOptions {
  /** Argv; default: the server's API. */
  command: readonly string[] | undefined
  /** What is known to be wrong with the files: a server may give its reasons in its log alone. */
  known?: readonly string[]
  clock: Clock
  signal: AbortSignal
}

export interface TakenOver {
  actions: string[]
  warnings: string[]
}

const commandTimeoutMs = 60_000
const confirmTimeoutMs = 60_000
const pollMs = 200

/**
 * Has the server read its configuration anew, and reads back whether it did.
 * @throws COMPONENT_FAILED with its reason, when it refuses it: it goes on with what it had; what the server's own calls throw
 */
export function reload(server: ReloadingServer, options: ReloadOptions): Promise<TakenOver> {
  return options.command === undefined ? reloadByApi(server, options) : reloadByCommand(server, options, options.command)
}

/** Whether the server runs on older files than these. */
export async function runsOnOlder(server: ReloadingServer, paths: readonly string[], signal: AbortSignal): Promise<boolean> {
  const { successful, lastSuccessAt } = await server.lastReload(signal)
  const changedMs = await Promise.all(paths.map(async (path) => (await ifThere(stat(path)))?.mtimeMs ?? 0))
  return !successful || Math.max(0, ...changedMs) >= lastSuccessAt.getTime() + 1000
}

/** A server that could not be asked may have done it, or not. */
export function outcomeUnknown({ name }: ReloadingServer, error: PromDrError): PromDrError {
  return new PromDrError('COMPONENT_FAILED', `the files are in place, but it is not known whether ${name} took them over: ${error.message}`, { hint: error.hint ?? 'have it reload its configuration by hand', cause: error })
}

async function reloadByApi(server: ReloadingServer, options: ReloadOptions): Promise<TakenOver> {
  const answer = await server.reload(options.signal)
  if (answer.outcome === 'failed') throw refused(server, answer.reason, options)
  if (answer.outcome === 'off') return { actions: [], warnings: [`${server.name} has not taken the files over yet: ${answer.advice}`] }
  await refuseFailed(server, options)
  return { actions: [`had ${server.name} read its configuration: it accepted it`], warnings: [] }
}

async function reloadByCommand(server: ReloadingServer, options: ReloadOptions, argv: readonly string[]): Promise<TakenOver> {
  const { clock, signal } = options
  const [file = '', ...args] = argv
  const startedMs = Math.floor(clock.now().getTime() / 1000) * 1000
  const { exitCode, stderr } = await runProgram(file, args, { timeoutMs: commandTimeoutMs, signal })
  if (exitCode !== 0) throw new PromDrError('COMPONENT_FAILED', `the files are in place, but ${argv.join(' ')} ended with ${exitCode}: ${stderr.trim().slice(0, 500)}`, { hint: `have ${server.name} reload its configuration by hand` })
  const actions = [`ran ${argv.join(' ')}`]
  for (const untilMs = clock.monotonicMs() + confirmTimeoutMs; clock.monotonicMs() < untilMs; await clock.sleep(pollMs, signal)) {
    const lastSuccessAt = await refuseFailed(server, options)
    if (lastSuccessAt.getTime() >= startedMs) return { actions: [...actions, `${server.name} has read its configuration: it accepted it`], warnings: [] }
  }
  return { actions, warnings: [`${server.name} has not read its configuration within ${confirmTimeoutMs / 1000} s after ${argv.join(' ')}: see its log`] }
}

/** @returns when the last one succeeded */
async function refuseFailed(server: ReloadingServer, options: ReloadOptions): Promise<Date> {
  const { successful, lastSuccessAt } = await server.lastReload(options.signal)
  if (!successful) throw refused(server, `${server.witness} that the last reload failed`, options)
  return lastSuccessAt
}

function refused({ name }: ReloadingServer, reason: string, { known = [] }: ReloadOptions): PromDrError {
  return new PromDrError('COMPONENT_FAILED', `the files are in place, but ${name} refuses them and goes on with what it had: ${[reason, ...known].join('; ')}`, {
    hint: 'its log says more; what was replaced lies in .prom-dr-replaced-<time> beside the configuration file',
  })
}
