import { stat } from 'node:fs/promises'
import { PromDrError, hasCode, systemCode } from '../../errors.ts'
import { runProgram } from '../../system/process.ts'
import type { AlertmanagerComponentContext } from './settings.ts'

const commandTimeoutMs = 60_000
const confirmTimeoutMs = 60_000
const pollMs = 200

/**
 * Has the running server read its configuration anew, and reads back from its metrics whether it did.
 * @throws COMPONENT_FAILED with its reason, when it refuses it: it goes on with what it had
 */
export async function takeOver(context: AlertmanagerComponentContext, signal: AbortSignal): Promise<{ actions: string[]; warnings: string[] }> {
  try {
    return context.settings.reload === undefined ? await reloadByApi(context, signal) : await reloadByCommand(context, context.settings.reload, signal)
  } catch (error) {
    if (!hasCode(error, 'ALERTMANAGER_UNREACHABLE', 'ALERTMANAGER_BAD_RESPONSE')) throw error
    throw new PromDrError('COMPONENT_FAILED', `the files are in place, but it is not known whether Alertmanager took them over: ${error.message}`, { hint: error.hint ?? 'have it reload its configuration by hand', cause: error })
  }
}

async function reloadByApi({ api }: AlertmanagerComponentContext, signal: AbortSignal): Promise<{ actions: string[]; warnings: string[] }> {
  const answer = await api.reload({ signal })
  if (answer.outcome === 'failed') throw refused(answer.reason)
  if (!(await api.configReload({ signal })).successful) throw refused('its metrics say that the last reload failed')
  return { actions: ['had Alertmanager read its configuration: it accepted it'], warnings: [] }
}

/** Whether the server runs on older files than these. */
export async function isBehind({ api }: AlertmanagerComponentContext, paths: readonly string[], signal: AbortSignal): Promise<boolean> {
  const { successful, lastSuccessAt } = await api.configReload({ signal })
  const changed = await Promise.all(paths.map(changedAtMs))
  return !successful || Math.max(0, ...changed) >= lastSuccessAt.getTime() + 1000
}

async function reloadByCommand({ api, clock }: AlertmanagerComponentContext, argv: readonly string[], signal: AbortSignal): Promise<{ actions: string[]; warnings: string[] }> {
  const [file = '', ...args] = argv
  const startedMs = Math.floor(clock.now().getTime() / 1000) * 1000
  const { exitCode, stderr } = await runProgram(file, args, { timeoutMs: commandTimeoutMs, signal })
  if (exitCode !== 0) throw new PromDrError('COMPONENT_FAILED', `the files are in place, but ${argv.join(' ')} ended with ${exitCode}: ${stderr.trim().slice(0, 500)}`, { hint: 'have Alertmanager reload its configuration by hand' })
  const actions = [`ran ${argv.join(' ')}`]
  for (const untilMs = clock.monotonicMs() + confirmTimeoutMs; clock.monotonicMs() < untilMs; await clock.sleep(pollMs, signal)) {
    const { successful, lastSuccessAt } = await api.configReload({ signal })
    if (!successful) throw refused('its metrics say that the last reload failed')
    if (lastSuccessAt.getTime() >= startedMs) return { actions: [...actions, 'Alertmanager has read its configuration: it accepted it'], warnings: [] }
  }
  return { actions, warnings: [`Alertmanager has not read its configuration within ${confirmTimeoutMs / 1000} s after ${argv.join(' ')}: see its log`] }
}

function refused(reason: string): PromDrError {
  return new PromDrError('COMPONENT_FAILED', `the files are in place, but Alertmanager refuses them and goes on with what it had: ${reason}`, {
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
