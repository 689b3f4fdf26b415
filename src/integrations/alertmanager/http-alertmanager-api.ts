import { createHttpClient, type HttpRequest, type HttpResponse, urlForPeople } from '../../system/http-client.ts'
import type { AlertmanagerApi, AlertmanagerConnection, AlertmanagerRequestOptions } from './alertmanager-api.ts'
import { answerOf, createdSchema, metricOf, refuseFailures, silencesSchema, statusSchema } from './api-answers.ts'

const defaultTimeoutMs = 30_000

export type AlertmanagerHttpApi = AlertmanagerApi & { close(): void }

/** The HTTP API of a running server. Nothing is asked before the first call. */
export function createAlertmanagerApi(connection: AlertmanagerConnection): AlertmanagerHttpApi {
  const base = connection.url.replace(/\/+$/, '')
  const url = urlForPeople(base)
  const { basicAuth, bearerTokenFile, tls, timeoutMs = defaultTimeoutMs } = connection
  const client = createHttpClient({
    ...(basicAuth !== undefined && { basicAuth }),
    ...(bearerTokenFile !== undefined && { bearerTokenFile }),
    ...(tls !== undefined && { tls }),
    failures: {
      service: 'Alertmanager',
      unreachable: 'ALERTMANAGER_UNREACHABLE',
      badResponse: 'ALERTMANAGER_BAD_RESPONSE',
      unreachableHint: 'is it running, and is components.alertmanager.url right?',
    },
  })
  const send = (path: string, request: Omit<HttpRequest, 'url'>, options: AlertmanagerRequestOptions = {}): Promise<HttpResponse> =>
    client.request({ ...request, url: `${base}${path}`, timeoutMs: options.timeoutMs ?? timeoutMs, ...(options.signal !== undefined && { signal: options.signal }) })

  return {
    url,
    close: () => client.close(),

    status: async (options) => {
      const { cluster, versionInfo, uptime } = answerOf(await send('/api/v2/status', {}, options), statusSchema, url)
      return { version: versionInfo.version, cluster: cluster.status, peers: cluster.peers?.length ?? 0, startedAt: new Date(uptime) }
    },

    silences: async (options) => {
      const found = answerOf(await send('/api/v2/silences', {}, options), silencesSchema, url)
      return found.map(({ status, ...silence }) => ({ ...silence, state: status.state })).sort((a, b) => (a.id < b.id ? -1 : 1))
    },

    createSilence: async ({ matchers, startsAt, endsAt, createdBy, comment }, options) => {
      const body = JSON.stringify({ matchers, startsAt, endsAt, createdBy, comment })
      return answerOf(await send('/api/v2/silences', { method: 'POST', body, headers: { 'content-type': 'application/json' } }, options), createdSchema, url).silenceID
    },

    reload: async (options) => {
      const response = await send('/-/reload', { method: 'POST' }, options)
      const text = response.body.toString('utf8').trim()
      if (response.status === 500 && /reload/i.test(text)) return { outcome: 'failed', reason: text.slice(0, 2000) }
      refuseFailures(response, url)
      return { outcome: 'reloaded' }
    },

    configReload: async (options) => {
      const response = await send('/metrics', {}, options)
      refuseFailures(response, url)
      const metrics = response.body.toString('utf8')
      return {
        successful: metricOf(metrics, 'alertmanager_config_last_reload_successful', url) === 1,
        lastSuccessAt: new Date(metricOf(metrics, 'alertmanager_config_last_reload_success_timestamp_seconds', url) * 1000),
      }
    },
  }
}
