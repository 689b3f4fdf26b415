import { posix } from 'node:path'
import { parse } from 'yaml'
import { hasCode, PromDrError } from '../../errors.ts'
import { type Clock, systemClock } from '../../system/clock.ts'
import { createHttpClient, type HttpRequest, type HttpResponse, urlForPeople } from '../../system/http-client.ts'
import { dataOf, isStarting, numberOf, objectOf, refuseFailures, textOf } from './api-answers.ts'
import { canonicalAnswer } from './canonical-json.ts'
import type { PrometheusApi, PrometheusConnection, RequestOptions, Retention } from './prometheus-api.ts'
import { decodeReadResponse, encodeReadRequest, remoteReadHeaders } from './remote-read.ts'
import { durationOf, parseRetention } from './retention.ts'
import { selectorOf } from './selectors.ts'

export interface PrometheusApiLimits {
  /** Of one answer: JSON as it arrives, remote read also when unpacked. Default 64 MiB. */
  maxResponseBytes?: number
  clock?: Clock
}

const snapshotName = /^\d{8}T\d{6}Z-[0-9a-f]+$/
const defaultTimeoutMs = 30_000
const snapshotTimeoutFactor = 20
const reloadTimeoutFactor = 4
const defaultMaxResponseBytes = 64 * 1024 * 1024

export type PrometheusHttpApi = PrometheusApi & { close(): void }

/** The HTTP API of a running server. Nothing is asked before the first call. */
export function createPrometheusApi(connection: PrometheusConnection, limits: PrometheusApiLimits = {}): PrometheusHttpApi {
  const { maxResponseBytes = defaultMaxResponseBytes, clock = systemClock } = limits
  const base = connection.url.replace(/\/+$/, '')
  const url = urlForPeople(base)
  const timeoutMs = connection.timeoutMs ?? defaultTimeoutMs
  const client = createHttpClient({
    ...(connection.basicAuth !== undefined && { basicAuth: connection.basicAuth }),
    ...(connection.bearerTokenFile !== undefined && { bearerTokenFile: connection.bearerTokenFile }),
    ...(connection.tls !== undefined && { tls: connection.tls }),
    maxResponseBytes,
    failures: {
      service: 'Prometheus',
      unreachable: 'PROMETHEUS_UNREACHABLE',
      badResponse: 'PROMETHEUS_BAD_RESPONSE',
      unreachableHint: 'is it running, and is prometheus.url right?',
    },
  })

  const send = (path: string, request: Omit<HttpRequest, 'url'>, options: RequestOptions = {}): Promise<HttpResponse> =>
    client.request({ ...request, url: `${base}${path}`, timeoutMs: options.timeoutMs ?? timeoutMs, ...(options.signal !== undefined && { signal: options.signal }) })
  const ask = async (path: string, request: Omit<HttpRequest, 'url'>, options: RequestOptions = {}): Promise<unknown> => {
    const response = await send(`/api/v1/${path}`, request, options)
    try {
      return dataOf(response, url)
    } catch (error) {
      throw hasCode(error, 'PROMETHEUS_NOT_READY') ? await withReplayProgress(error, options) : error
    }
  }
  const get = async (path: string, options?: RequestOptions) => objectOf(await ask(path, {}, options), url)
  const post = (path: string, form: URLSearchParams, options?: RequestOptions) =>
    ask(path, { method: 'POST', idempotent: true, body: form.toString(), headers: { 'content-type': 'application/x-www-form-urlencoded' } }, options)

  const withReplayProgress = async (error: PromDrError, options: RequestOptions): Promise<PromDrError> => {
    const response = await send('/api/v1/status/walreplay', {}, options)
    if (response.status !== 200) return error
    const { current, max } = objectOf(dataOf(response, url), url)
    return new PromDrError(error.code, `${error.message} (WAL replay is at segment ${String(current)} of ${String(max)})`, {
      hint: error.hint ?? '',
      details: { walReplay: { current, max } },
    })
  }

  const api: PrometheusHttpApi = {
    url,
    close: () => client.close(),

    flags: async (options) => (await get('status/flags', options)) as Record<string, string>,

    runtimeInfo: async (options) => {
      const fields = await get('status/runtimeinfo', options)
      return {
        startTime: new Date(textOf(fields, 'startTime', url)),
        cwd: textOf(fields, 'CWD', url),
        storageRetention: textOf(fields, 'storageRetention', url),
        reloadConfigSuccess: fields['reloadConfigSuccess'] === true,
        lastConfigTime: new Date(textOf(fields, 'lastConfigTime', url)),
        corruptionCount: numberOf(fields, 'corruptionCount', url),
      }
    },

    buildInfo: async (options) => {
      const fields = await get('status/buildinfo', options)
      return { version: textOf(fields, 'version', url), revision: textOf(fields, 'revision', url), goVersion: textOf(fields, 'goVersion', url) }
    },

    config: async (options) => {
      const yaml = textOf(await get('status/config', options), 'yaml', url)
      const parsed = parse(yaml) as { global?: { external_labels?: Record<string, unknown> } } | null
      const labels = Object.entries(parsed?.global?.external_labels ?? {}).map(([name, value]) => [name, String(value)])
      return { yaml, externalLabels: Object.fromEntries(labels) as Record<string, string> }
    },

    tsdbStatus: async (options) => {
      const head = objectOf((await get('status/tsdb', options))['headStats'], url)
      return {
        numSeries: numberOf(head, 'numSeries', url),
        chunkCount: numberOf(head, 'chunkCount', url),
        headMinTime: timeOf(numberOf(head, 'minTime', url)),
        headMaxTime: timeOf(numberOf(head, 'maxTime', url)),
      }
    },

    dataDirectory: async (options) => {
      const path = textOf(await api.flags(options), 'storage.tsdb.path', url)
      return posix.isAbsolute(path) ? posix.normalize(path).replace(/(?<=.)\/$/, '') : posix.resolve((await api.runtimeInfo(options)).cwd, path)
    },

    retention: async (options) => parseRetention((await api.runtimeInfo(options)).storageRetention),
    minBlockDurationMs: async (options) => (await durationFlag(api, 'storage.tsdb.min-block-duration', options)) || 2 * 3_600_000,
    maxBlockDurationMs: async (options) => {
      const setMs = await durationFlag(api, 'storage.tsdb.max-block-duration', options)
      return setMs > 0 ? setMs : defaultMaxBlockMs(await api.retention(options))
    },

    isReady: async (options) => {
      const response = await send('/-/ready', {}, options)
      if (isStarting(response)) return false
      refuseFailures(response, url)
      return true
    },

    walReplay: async (options) => {
      const fields = await get('status/walreplay', options)
      return { min: numberOf(fields, 'min', url), max: numberOf(fields, 'max', url), current: numberOf(fields, 'current', url) }
    },

    serverTime: async (options) => {
      const startMs = clock.monotonicMs()
      const askedAt = clock.now().getTime()
      const response = await send('/-/healthy', {}, options)
      const roundTripMs = clock.monotonicMs() - startMs
      refuseFailures(response, url)
      const at = new Date(String(response.headers['date']))
      if (Number.isNaN(at.getTime())) throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `the answer of ${url} has no Date header`)
      // Cut to whole seconds, the true time is on average half a second later.
      return { at, roundTripMs, offsetMs: at.getTime() + 500 - (askedAt + roundTripMs / 2), uncertaintyMs: 500 + roundTripMs / 2 }
    },

    takeSnapshot: async ({ skipHead, ...options }) => {
      const patient = { ...options, timeoutMs: options.timeoutMs ?? timeoutMs * snapshotTimeoutFactor }
      const fields = objectOf(await ask(`admin/tsdb/snapshot?skip_head=${skipHead}`, { method: 'POST' }, patient), url)
      const name = textOf(fields, 'name', url)
      // It becomes a path.
      if (!snapshotName.test(name)) throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `${url} answers ${JSON.stringify(name.slice(0, 100))} as the name of a snapshot`)
      return name
    },

    reload: async (options) => {
      const patient = { ...options, timeoutMs: options?.timeoutMs ?? timeoutMs * reloadTimeoutFactor }
      const response = await send('/-/reload', { method: 'POST' }, patient)
      const text = response.body.toString('utf8').trim()
      if (response.status === 403 && /lifecycle api/i.test(text)) return { outcome: 'off' }
      if (response.status === 500 && /reload/i.test(text)) return { outcome: 'failed', reason: text.slice(0, 2000) }
      refuseFailures(response, url)
      return { outcome: 'reloaded' }
    },

    query: async (promql, timeMs, options) => {
      const fields = objectOf(await post('query', new URLSearchParams({ query: promql, time: secondsOf(timeMs) }), options), url)
      return canonicalAnswer({ resultType: textOf(fields, 'resultType', url), result: fields['result'] })
    },

    labelValues: async (name, { startMs, endMs, match = [], ...options }) => {
      const parameters = new URLSearchParams({ start: secondsOf(startMs), end: secondsOf(endMs) })
      if (match.length > 0) parameters.append('match[]', selectorOf(match))
      return arrayOf<string>(await ask(`label/${encodeURIComponent(name)}/values?${parameters.toString()}`, {}, options), url).sort()
    },

    series: async (matchers, { startMs, endMs, ...options }) => {
      const form = new URLSearchParams({ 'match[]': selectorOf(matchers), start: secondsOf(startMs), end: secondsOf(endMs) })
      return arrayOf<Record<string, string>>(await post('series', form, options), url)
    },

    remoteRead: async ({ matchers, startMs, endMs, ...options }) => {
      const body = await encodeReadRequest(matchers, { startMs, endMs })
      const response = await send('/api/v1/read', { method: 'POST', idempotent: true, body, headers: remoteReadHeaders }, options)
      refuseFailures(response, url)
      if (!String(response.headers['content-type']).startsWith('application/x-protobuf')) dataOf(response, url)
      return decodeReadResponse(response.body, maxResponseBytes)
    },
  }
  return api
}

/** 0 when the server does not tell. */
async function durationFlag(api: PrometheusApi, flag: string, options: RequestOptions | undefined): Promise<number> {
  const text = (await api.flags(options))[flag] ?? '0'
  return durationOf(text, `--${flag}`)
}

/** cmd/prometheus/main.go: 31 days, or a tenth of the retention where that is less. */
function defaultMaxBlockMs({ timeMs }: Retention): number {
  return Math.min(31 * 86_400_000, timeMs === undefined ? Number.POSITIVE_INFINITY : timeMs / 10)
}

/** The ends of int64 stand for "nothing yet", and a JavaScript number cannot hold them. */
function timeOf(ms: number): number | undefined {
  return Number.isSafeInteger(ms) ? ms : undefined
}

function secondsOf(ms: number): string {
  return (ms / 1000).toFixed(3)
}

function arrayOf<T>(data: unknown, url: string): T[] {
  if (Array.isArray(data)) return data as T[]
  throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `${url} answers with something else than Prometheus does`)
}
