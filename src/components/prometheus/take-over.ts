import { stat } from 'node:fs/promises'
import { PromDrError, hasCode, systemCode } from '../../errors.ts'
import type { PrometheusApi } from '../../integrations/prometheus/prometheus-api.ts'
import type { Clock } from '../../system/clock.ts'
import { runProgram } from '../../system/process.ts'

export interface TakeOverRequest {
  api: PrometheusApi
  /** Argv; default: the server's lifecycle API. */
  reload: readonly string[] | undefined
  /** What is known to be wrong with the files: a server gives its reasons in its log alone. */
  known: readonly string[]
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
 * Has the running server read its configuration anew, and reads back whether it did.
 * @throws COMPONENT_FAILED with its reason, when it refuses it: it goes on with what it had
 */
export async function takeOver(request: TakeOverRequest): Promise<TakenOver> {
  const { api, reload, known, signal } = request
  try {
    if (reload !== undefined) return await reloadByCommand(request, reload)
    const answer = await api.reload({ signal })
    if (answer.outcome === 'failed') throw refused(answer.reason, known)
    if (answer.outcome === 'off') {
      return { actions: [], warnings: ['Prometheus has not taken the files over yet: it was started without --web.enable-lifecycle; send it SIGHUP (systemctl reload prometheus), or set components.prometheus.reload'] }
    }
    if ((await api.runtimeInfo({ signal })).reloadConfigSuccess) return { actions: ['had Prometheus read its configuration: it accepted it'], warnings: [] }
    throw refused('its runtime information says that the last reload failed', known)
  } catch (error) {
    if (hasCode(error, 'PROMETHEUS_UNAUTHORIZED', 'PROMETHEUS_BAD_RESPONSE')) {
      throw new PromDrError('COMPONENT_FAILED', `the files are in place, but it is not known whether Prometheus took them over: ${error.message}`, { hint: error.hint ?? 'have it reload its configuration by hand', cause: error })
    }
    if (!hasCode(error, 'PROMETHEUS_UNREACHABLE', 'PROMETHEUS_NOT_READY')) throw error
    return { actions: [], warnings: [`Prometheus has not taken the files over: ${error.message}; it reads them when it starts`] }
  }
}

/** Whether the server runs on older files than these. */
export async function isBehind(api: PrometheusApi, paths: readonly string[], signal: AbortSignal): Promise<boolean> {
  try {
    const { reloadConfigSuccess, lastConfigTime } = await api.runtimeInfo({ signal })
    if (!reloadConfigSuccess) return true
    const changed = await Promise.all(paths.map(changedAtMs))
    return Math.max(...changed) >= lastConfigTime.getTime() + 1000
  } catch (error) {
    if (hasCode(error, 'PROMETHEUS_UNREACHABLE', 'PROMETHEUS_NOT_READY')) return false
    throw error
  }
}

async function reloadByCommand({ api, known, clock, signal }: TakeOverRequest, argv: readonly string[]): Promise<TakenOver> {
  const [file = '', ...args] = argv
  const startedMs = Math.floor(clock.now().getTime() / 1000) * 1000
  const { exitCode, stderr } = await runProgram(file, args, { timeoutMs: commandTimeoutMs, signal })
  if (exitCode !== 0) throw new PromDrError('COMPONENT_FAILED', `the files are in place, but ${argv.join(' ')} ended with ${exitCode}: ${stderr.trim().slice(0, 500)}`, { hint: 'have Prometheus reload its configuration by hand' })
  const actions = [`ran ${argv.join(' ')}`]
  for (const untilMs = clock.monotonicMs() + confirmTimeoutMs; clock.monotonicMs() < untilMs; await clock.sleep(pollMs, signal)) {
    const { reloadConfigSuccess, lastConfigTime } = await api.runtimeInfo({ signal })
    if (!reloadConfigSuccess) throw refused('its runtime information says that the last reload failed', known)
    if (lastConfigTime.getTime() >= startedMs) return { actions: [...actions, 'Prometheus has read its configuration: it accepted it'], warnings: [] }
  }
  return { actions, warnings: [`Prometheus has not read its configuration within ${confirmTimeoutMs / 1000} s after ${argv.join(' ')}: see its log`] }
}

function refused(reason: string, known: readonly string[]): PromDrError {
  return new PromDrError('COMPONENT_FAILED', `the files are in place, but Prometheus refuses them and goes on with what it had: ${[reason, ...known].join('; ')}`, {
    hint: 'its log says more; what was replaced lies in .prom-dr-replaced-<time> beside the configuration file',
  })
}

async function changedAtMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 0
    throw error
  }
}
