import { PromDrError } from '../../errors.ts'
import { type HttpRequest, createHttpClient, urlForPeople } from '../../system/http-client.ts'
import type { GrafanaApi, GrafanaConnection, RequestOptions } from './grafana-api.ts'
import type { AskGrafana, GrafanaCall } from './grafana-call.ts'
import type { GrafanaObject } from './grafana-content.ts'
import { readContent } from './read-content.ts'

const hints: Readonly<Record<number, string>> = {
  401: 'is the token right, and has it not expired?',
  403: 'give the service account the role Admin, or the rights that "prom-dr doctor" names',
  404: 'is grafana.url right, with its path below a proxy?',
}

/** Nothing is asked before the first call. */
export function createGrafanaApi(connection: GrafanaConnection): GrafanaApi {
  const base = connection.url.replace(/\/+$/, '')
  const url = urlForPeople(base)
  const client = createHttpClient({
    ...(connection.tokenFile !== undefined && { bearerTokenFile: connection.tokenFile }),
    ...(connection.basicAuth !== undefined && { basicAuth: connection.basicAuth }),
    ...(connection.tls !== undefined && { tls: connection.tls }),
    ...(connection.timeoutMs !== undefined && { timeoutMs: connection.timeoutMs }),
    failures: { service: 'Grafana', unreachable: 'COMPONENT_FAILED', badResponse: 'COMPONENT_FAILED', unreachableHint: 'is it running, and is grafana.url right?' },
  })
  const ask: AskGrafana = async (path, call = {}) => {
    const { method = 'GET', query, body, signal } = call
    const response = await client.request({
      method, url: `${base}${path}${query === undefined ? '' : `?${new URLSearchParams(query).toString()}`}`, idempotent: method !== 'POST',
      headers: { accept: 'application/json', ...(body !== undefined && { 'content-type': 'application/json' }), ...(call.editable === true && { 'x-disable-provenance': 'true' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }), ...(signal !== undefined && { signal }),
    })
    if (response.status === 404 && call.missing === 'undefined') return undefined
    if (response.status >= 200 && response.status < 300) return jsonOf(response.body, { url, path })
    throw new PromDrError('COMPONENT_FAILED', `Grafana at ${url} answered ${method} ${path} with ${response.status}: ${messageIn(response.body)}`, {
      ...(hints[response.status] !== undefined && { hint: hints[response.status] as string }), details: { status: response.status },
    })
  }
  const write = async (path: string, call: GrafanaCall) => void (await ask(path, call))
  const provision = (method: HttpRequest['method'], path: string, body: unknown, options: RequestOptions = {}) => write(`/api/v1/provisioning/${path}`, { ...options, method, body, editable: true })
  const named = (object: GrafanaObject, key: string) => encodeURIComponent(String(object[key]))
  return {
    url,
    close: () => client.close(),
    version: async (options) => String((await ask('/api/health', options) as { version?: unknown } | undefined)?.version ?? 'unknown'),
    permissions: async (options) => {
      const answer = await ask('/api/access-control/user/permissions', { ...options, missing: 'undefined' })
      return typeof answer === 'object' && answer !== null ? new Set(Object.keys(answer)) : undefined
    },
    readContent: (options) => readContent(ask, options),
    createFolder: ({ uid, title, parentUid }, options) => write('/api/folders', { ...options, method: 'POST', body: { uid, title, ...(parentUid !== null && { parentUid }) } }),
    renameFolder: ({ uid, title }, options) => write(`/api/folders/${encodeURIComponent(uid)}`, { ...options, method: 'PUT', body: { title, overwrite: true } }),
    createDataSource: (dataSource, options) => write('/api/datasources', { ...options, method: 'POST', body: dataSource }),
    updateDataSource: (dataSource, options) => write(`/api/datasources/uid/${named(dataSource, 'uid')}`, { ...options, method: 'PUT', body: dataSource }),
    putTemplate: (template, options) => provision('PUT', `templates/${named(template, 'name')}`, { template: template['template'] }, options),
    createMuteTiming: (muteTiming, options) => provision('POST', 'mute-timings', muteTiming, options),
    updateMuteTiming: (muteTiming, options) => provision('PUT', `mute-timings/${named(muteTiming, 'name')}`, muteTiming, options),
    createContactPoint: (contactPoint, options) => provision('POST', 'contact-points', contactPoint, options),
    updateContactPoint: (contactPoint, options) => provision('PUT', `contact-points/${named(contactPoint, 'uid')}`, contactPoint, options),
    putPolicies: (policies, options) => provision('PUT', 'policies', policies, options),
    putRuleGroup: (group, options) => provision('PUT', `folder/${encodeURIComponent(group.folderUid)}/rule-groups/${encodeURIComponent(group.title)}`, group, options),
    putDashboard: ({ dashboard, folderUid }, options) => write('/api/dashboards/db', {
      ...options, method: 'POST', body: { dashboard: { ...dashboard, id: null }, ...(folderUid !== null && { folderUid }), overwrite: true, message: 'restored by prom-dr' },
    }),
  }
}

function jsonOf(body: Buffer, { url, path }: { url: string; path: string }): unknown {
  if (body.length === 0) return undefined
  try {
    return JSON.parse(body.toString('utf8'))
  } catch (error) {
    throw new PromDrError('COMPONENT_FAILED', `Grafana at ${url} answered ${path} with something that is not JSON`, { hint: 'is grafana.url that of Grafana itself, not of a login page before it?', cause: error })
  }
}

function messageIn(body: Buffer): string {
  const text = body.toString('utf8')
  try {
    const { message } = JSON.parse(text) as { message?: unknown }
    if (typeof message === 'string') return message.slice(0, 500)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  return text.slice(0, 200)
}
