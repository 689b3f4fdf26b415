import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { PromDrError, hasCode, systemCode } from '../../errors.ts'
import { readStateFile } from '../../integrations/alertmanager/state-file.ts'
import { failedFinding } from '../answers.ts'
import type { Finding } from '../component.ts'
import { checkerFinding, filesFindings } from '../configuration/discover-files.ts'
import { surveyFiles } from '../configuration/survey.ts'
import { type StateName, stateNames } from './archived-silences.ts'
import type { AlertmanagerComponentContext } from './settings.ts'
import { isBehind } from './take-over.ts'

/** Twice Alertmanager's own interval: later than that it writes elsewhere, or not at all. */
const staleMs = 30 * 60_000

/** Whether what belongs to Alertmanager is in reach, for `doctor`. */
export async function discoverAlertmanager(context: AlertmanagerComponentContext, signal: AbortSignal): Promise<Finding[]> {
  const { amtool = 'amtool' } = context.settings
  const tool = checkerFinding({ name: 'amtool', program: amtool, debianPackage: 'prometheus-alertmanager', setting: 'components.alertmanager.amtool' })
  const running = await runningFinding(context, signal)
  const files = await configurationFindings(context, { isRunning: running.level === 'ok', signal })
  return [running, ...files, ...(await stateFindings(context, running.level === 'ok')), tool]
}

async function runningFinding({ api }: AlertmanagerComponentContext, signal: AbortSignal): Promise<Finding> {
  try {
    const [{ version, peers }, silences] = [await api.status({ signal }), await api.silences({ signal })]
    const cluster = peers > 1 ? `, one of ${peers} in a cluster: its peers bring silences back to it by themselves` : ''
    const alive = silences.filter(({ state }) => state !== 'expired').length
    return { name: 'running server', level: 'ok', detail: `Alertmanager ${version} with ${alive} silences at ${api.url}${cluster}` }
  } catch (error) {
    if (!hasCode(error, 'ALERTMANAGER_UNREACHABLE', 'ALERTMANAGER_BAD_RESPONSE', 'CONFIG_INVALID')) throw error
    return { name: 'running server', level: 'fail', detail: error.message, advice: error.hint ?? 'start it' }
  }
}

async function configurationFindings(context: AlertmanagerComponentContext, { isRunning, signal }: { isRunning: boolean; signal: AbortSignal }): Promise<Finding[]> {
  const { configFile } = context.settings
  if (configFile === undefined) return [{ name: 'configuration', level: 'warn', detail: 'is not archived', advice: 'set components.alertmanager.configFile' }]
  try {
    const survey = await surveyFiles([{ path: configFile, role: 'config' }])
    const findings = await filesFindings(configFile, survey)
    const loaded = survey.files.filter(({ role }) => role !== 'credential').map(({ path }) => path)
    if (isRunning && (await isBehind(context, loaded, signal))) findings.push({ name: 'loaded configuration', level: 'warn', detail: 'Alertmanager runs on an older one than its files: they have changed since, or it refused them', advice: 'reload it, and see its log' })
    return findings
  } catch (error) {
    if (!(error instanceof PromDrError) || error.code === 'INTERRUPTED') throw error
    return [failedFinding('configuration', error)]
  }
}

async function stateFindings({ settings, clock }: AlertmanagerComponentContext, isRunning: boolean): Promise<Finding[]> {
  const { dataDir } = settings
  if (dataDir === undefined) return [{ name: 'notification log', level: 'warn', detail: 'is not archived: after a restore, what fires may be notified again', advice: 'set components.alertmanager.dataDir (its --storage.path)' }]
  return Promise.all(stateNames.map((name) => stateFinding(name, { path: join(dataDir, name), nowMs: clock.now().getTime(), isRunning })))
}

async function stateFinding(name: StateName, { path, nowMs, isRunning }: { path: string; nowMs: number; isRunning: boolean }): Promise<Finding> {
  try {
    const [bytes, { mtimeMs }] = [await readFile(path), await stat(path)]
    const { records, damage } = readStateFile(bytes, name)
    if (damage !== undefined) return { name, level: 'fail', detail: `${path} is broken: ${damage}`, advice: 'Alertmanager will not start with it: restore it, or move it away' }
    const minutes = Math.max(0, Math.round((nowMs - mtimeMs) / 60_000))
    const detail = `${path} was written ${minutes} min ago, with ${records.length} records`
    if (isRunning && nowMs - mtimeMs > staleMs) return { name, level: 'warn', detail, advice: 'is components.alertmanager.dataDir the --storage.path of the running server, and can it write there?' }
    return { name, level: 'ok', detail }
  } catch (error) {
    const code = systemCode(error)
    if (code === undefined) throw error
    if (code === 'ENOENT') return { name, level: 'warn', detail: `${path} is not there yet`, advice: 'Alertmanager writes it every 15 minutes and when it stops; is components.alertmanager.dataDir right?' }
    return { name, level: 'fail', detail: `${path} cannot be read (${code})`, advice: 'run prom-dr as root, or as the user that Alertmanager runs as' }
  }
}
