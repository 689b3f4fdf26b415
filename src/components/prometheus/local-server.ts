import { dirname, posix } from 'node:path'
import { PromDrError, hasCode } from '../../errors.ts'
import type { PrometheusApi, RuntimeInfo } from '../../integrations/prometheus/prometheus-api.ts'
import { readConfiguration } from '../configuration/references.ts'
import { type KnownAs, type LocatedReference, locate } from '../configuration/survey.ts'

export interface PrometheusComponentSettings {
  /** Default: what the server's flag config.file says. Needed where the server may be down, or in a container. */
  configFile?: string
  /** A path, or a name found on PATH. Default: `promtool`. */
  promtool?: string
  /** Argv of what has the server read its configuration anew, instead of its lifecycle API. */
  reload?: readonly string[]
  /** Directories beside the configuration's own that a restore may write to. */
  places?: readonly string[]
}

/** What answers, as far as something does. */
export interface RunningServer {
  flags: Record<string, string>
  runtime: RuntimeInfo
}

export interface LocalServer {
  /** On this machine, absolute. */
  configFile: string
  webConfigFile: string | undefined
  /** What the server says it was started with. */
  startedWith: string | undefined
  knownAs: KnownAs | undefined
  running: RunningServer | undefined
  /** Why nothing is known of a running server. */
  silence: PromDrError | undefined
}

/**
 * Where this machine's configuration lies: by the settings, or by the flags of the running server.
 * @throws COMPONENT_FAILED when neither tells
 */
export async function locateServer(api: PrometheusApi, settings: PrometheusComponentSettings, signal: AbortSignal): Promise<LocalServer> {
  const asked = await ask(api, signal)
  const running = asked instanceof PromDrError ? undefined : asked
  const silence = asked instanceof PromDrError ? asked : undefined
  const named = running === undefined ? undefined : absolute(running, 'config.file')
  const configFile = settings.configFile ?? named
  if (configFile === undefined) {
    throw new PromDrError('COMPONENT_FAILED', `it is not known where the configuration of Prometheus lies: ${silence?.message ?? 'its flag config.file is empty'}`, {
      hint: 'set components.prometheus.configFile, or start the server', cause: silence,
    })
  }
  const [here, there] = [dirname(configFile), dirname(named ?? configFile)]
  const knownAs = here === there ? undefined : { here, there }
  const web = running === undefined ? undefined : absolute(running, 'web.config.file')
  const webConfigFile = web !== undefined && knownAs !== undefined && web.startsWith(`${there}/`) ? `${here}${web.slice(there.length)}` : web
  return { configFile, webConfigFile, startedWith: named, knownAs, running, silence }
}

/** What the configuration in the server's memory names: it still knows when the files are lost. */
export async function namedByServer(api: PrometheusApi, { running, knownAs }: LocalServer, signal: AbortSignal): Promise<LocatedReference[]> {
  if (running === undefined) return []
  const { yaml } = await api.config({ signal })
  // The server has put the directory of its configuration before relative paths already.
  return locate(readConfiguration(yaml, 'the configuration that Prometheus answers').references, posix.join(running.runtime.cwd, 'prometheus.yml'), knownAs)
}

function absolute({ flags, runtime }: RunningServer, flag: string): string | undefined {
  const value = flags[flag]
  return value === undefined || value === '' ? undefined : posix.resolve(runtime.cwd, value)
}

/** A server that is down, starts, or may not be asked, is as good as none. */
async function ask(api: PrometheusApi, signal: AbortSignal): Promise<RunningServer | PromDrError> {
  try {
    const [flags, runtime] = await Promise.all([api.flags({ signal }), api.runtimeInfo({ signal })])
    return { flags, runtime }
  } catch (error) {
    if (hasCode(error, 'PROMETHEUS_UNREACHABLE', 'PROMETHEUS_NOT_READY', 'PROMETHEUS_UNAUTHORIZED', 'PROMETHEUS_BAD_RESPONSE')) return error
    throw error
  }
}
