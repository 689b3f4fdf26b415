import { hasCode } from '../../errors.ts'
import type { PrometheusApi } from '../../integrations/prometheus/prometheus-api.ts'
import { type ReloadOptions, type ReloadingServer, type TakenOver, outcomeUnknown, reload, runsOnOlder } from '../configuration/reload.ts'

/**
 * Has the running server read its configuration anew, and reads back whether it did. One that does not run reads it when it starts.
 * @throws COMPONENT_FAILED with its reason, when it refuses it: it goes on with what it had
 */
export async function takeOver(api: PrometheusApi, options: ReloadOptions): Promise<TakenOver> {
  const server = serverOf(api)
  try {
    return await reload(server, options)
  } catch (error) {
    if (hasCode(error, 'PROMETHEUS_UNAUTHORIZED', 'PROMETHEUS_BAD_RESPONSE')) throw outcomeUnknown(server, error)
    if (!hasCode(error, 'PROMETHEUS_UNREACHABLE', 'PROMETHEUS_NOT_READY')) throw error
    return { actions: [], warnings: [`Prometheus has not taken the files over: ${error.message}; it reads them when it starts`] }
  }
}

/** Whether the server runs on older files than these. */
export async function isBehind(api: PrometheusApi, paths: readonly string[], signal: AbortSignal): Promise<boolean> {
  try {
    return await runsOnOlder(serverOf(api), paths, signal)
  } catch (error) {
    if (hasCode(error, 'PROMETHEUS_UNREACHABLE', 'PROMETHEUS_NOT_READY')) return false
    throw error
  }
}

function serverOf(api: PrometheusApi): ReloadingServer {
  return {
    name: 'Prometheus',
    witness: 'its runtime information says',
    async reload(signal) {
      const answer = await api.reload({ signal })
      if (answer.outcome !== 'off') return answer
      return { ...answer, advice: 'it was started without --web.enable-lifecycle; send it SIGHUP (systemctl reload prometheus), or set components.prometheus.reload' }
    },
    async lastReload(signal) {
      const { reloadConfigSuccess, lastConfigTime } = await api.runtimeInfo({ signal })
      return { successful: reloadConfigSuccess, lastSuccessAt: lastConfigTime }
    },
  }
}
