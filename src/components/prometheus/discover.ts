import { realpath } from 'node:fs/promises'
import { PromDrError } from '../../errors.ts'
import type { PrometheusApi } from '../../integrations/prometheus/prometheus-api.ts'
import { ifThere } from '../../system/if-there.ts'
import { failedFinding } from '../answers.ts'
import type { Finding } from '../component.ts'
import { checkerFinding, filesFindings } from '../configuration/discover-files.ts'
import { type Survey, surveyFiles } from '../configuration/survey.ts'
import { type LocalServer, type PrometheusComponentSettings, locateServer } from './local-server.ts'
import { isBehind } from './take-over.ts'

/** Whether the configuration of this machine's server is in reach, for `doctor`. */
export async function discoverPrometheus(api: PrometheusApi, settings: PrometheusComponentSettings, signal: AbortSignal): Promise<Finding[]> {
  const { promtool = 'promtool' } = settings
  const tool = checkerFinding({ name: 'promtool', program: promtool, debianPackage: 'prometheus', setting: 'components.prometheus.promtool' })
  try {
    const server = await locateServer(api, settings, signal)
    const survey = await surveyFiles([{ path: server.configFile, role: 'config' }, ...(server.webConfigFile === undefined ? [] : [{ path: server.webConfigFile, role: 'web' as const }])], server.knownAs)
    return [...(await filesFindings(server.configFile, survey)), ...(await startFindings(server)), ...(await runningFindings(api, server, { survey, settings, signal })), tool]
  } catch (error) {
    if (!(error instanceof PromDrError) || error.code === 'INTERRUPTED') throw error
    return [failedFinding('configuration', error), tool]
  }
}

async function startFindings({ configFile, startedWith }: LocalServer): Promise<Finding[]> {
  if (!(await isAnother(configFile, startedWith))) return []
  return [{ name: 'configuration', level: 'warn', detail: `Prometheus was started with ${startedWith ?? ''}, which is another file on this machine`, advice: 'correct components.prometheus.configFile, unless the server runs in a container' }]
}

async function runningFindings(api: PrometheusApi, server: LocalServer, { survey, settings, signal }: { survey: Survey; settings: PrometheusComponentSettings; signal: AbortSignal }): Promise<Finding[]> {
  const { running, silence } = server
  if (running === undefined) return [{ name: 'running server', level: 'warn', detail: `its command line cannot be archived: ${silence?.message ?? 'it does not answer'}`, advice: silence?.hint ?? 'start it' }]
  const canReload = settings.reload !== undefined || running.flags['web.enable-lifecycle'] === 'true'
  const reload: Finding = canReload
    ? { name: 'reload', level: 'ok', detail: 'a restored configuration can be taken over' }
    : { name: 'reload', level: 'warn', detail: 'the lifecycle API is off: a restored configuration is taken over at SIGHUP only', advice: 'start Prometheus with --web.enable-lifecycle, or set components.prometheus.reload' }
  if (!running.runtime.reloadConfigSuccess) return [reload, { name: 'loaded configuration', level: 'fail', detail: 'Prometheus refused the configuration when it last read it: what is archived is not what runs', advice: 'see its log, correct the file, and reload' }]
  const loaded = survey.files.filter(({ role }) => ['config', 'rules', 'scrapes'].includes(role)).map(({ path }) => path)
  if (await isBehind(api, loaded, signal)) return [reload, { name: 'loaded configuration', level: 'warn', detail: 'files have changed since Prometheus last read them', advice: 'reload it' }]
  return [reload, { name: 'loaded configuration', level: 'ok', detail: `read at ${running.runtime.lastConfigTime.toISOString()}` }]
}

/** A container's path may not be there at all, or be the same file by another name. */
async function isAnother(configFile: string, startedWith: string | undefined): Promise<boolean> {
  if (startedWith === undefined || startedWith === configFile) return false
  const [there, here] = await Promise.all([startedWith, configFile].map((path) => ifThere(realpath(path), ['ENOENT', 'ENOTDIR', 'EACCES'])))
  return there !== undefined && here !== undefined && there !== here
}
