import { PromDrError } from '../../errors.ts'
import type { HttpResponse } from '../../system/http-client.ts'

interface Envelope {
  status: 'success' | 'error'
  data?: unknown
  errorType?: string
  error?: string
}

/**
 * `data` of an API answer, or the error that it stands for.
 * @throws PROMETHEUS_UNAUTHORIZED, PROMETHEUS_NOT_READY, ADMIN_API_DISABLED, PROMETHEUS_BAD_RESPONSE
 */
export function dataOf(response: HttpResponse, url: string): unknown {
  refuseFailures(response, url)
  const envelope = envelopeOf(response)
  if (envelope?.status === 'success') return envelope.data
  throw notPrometheus(response, url)
}

/** For answers that are not JSON: throws for every status but 2xx. */
export function refuseFailures(response: HttpResponse, url: string): void {
  const { status } = response
  if (status >= 200 && status < 300) return
  const text = response.body.toString('utf8', 0, 2000)
  if (status === 401 || status === 403) {
    throw new PromDrError('PROMETHEUS_UNAUTHORIZED', `Prometheus at ${url} refuses the credentials (HTTP ${status})`, {
      hint: 'check prometheus.basicAuth, prometheus.bearerTokenFile and the server\'s --web.config.file',
    })
  }
  if (/HTTP request to an HTTPS server/i.test(text)) {
    throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `${url} wants TLS`, { hint: 'write https:// in prometheus.url, and tls.caFile where the CA is your own' })
  }
  const envelope = envelopeOf(response)
  if (envelope?.error?.includes('admin APIs disabled')) {
    throw new PromDrError('ADMIN_API_DISABLED', `Prometheus at ${url} has its admin API switched off`, {
      hint: 'start it with --web.enable-admin-api (Debian: ARGS in /etc/default/prometheus): without it there are no snapshots',
    })
  }
  if (isStarting(response)) {
    throw new PromDrError('PROMETHEUS_NOT_READY', `Prometheus at ${url} is not ready: it starts or stops`, { hint: 'it answers when its WAL is replayed: try again then' })
  }
  if (envelope?.status === 'error') {
    throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `Prometheus at ${url} answers with an error: ${envelope.error ?? 'no reason given'}`, {
      details: { status, errorType: envelope.errorType },
    })
  }
  throw notPrometheus(response, url)
}

/** Prometheus says so in plain text or JSON; a page in HTML is a proxy's, and says that nothing is behind it. */
export function isStarting(response: HttpResponse): boolean {
  return response.status === 503 && !/html/i.test(String(response.headers['content-type'])) && !/<html/i.test(response.body.toString('utf8', 0, 1000))
}

/** The fields of an object, or a clear error. */
export function objectOf(data: unknown, url: string): Record<string, unknown> {
  if (data !== null && typeof data === 'object' && !Array.isArray(data)) return data as Record<string, unknown>
  throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `${url} answers with something else than Prometheus does`)
}

export function textOf(fields: Record<string, unknown>, name: string, url: string): string {
  const value = fields[name]
  if (typeof value === 'string') return value
  throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `the answer of ${url} has no ${name}`)
}

export function numberOf(fields: Record<string, unknown>, name: string, url: string): number {
  const value = fields[name]
  if (typeof value === 'number') return value
  throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `the answer of ${url} has no ${name}`)
}

function envelopeOf(response: HttpResponse): Envelope | undefined {
  try {
    const parsed: unknown = JSON.parse(response.body.toString('utf8'))
    if (parsed === null || typeof parsed !== 'object') return undefined
    const { status } = parsed as Record<string, unknown>
    return status === 'success' || status === 'error' ? (parsed as Envelope) : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function notPrometheus(response: HttpResponse, url: string): PromDrError {
  const type = String(response.headers['content-type'] ?? 'no content type').split(';')[0]
  const moved = response.status >= 300 && response.status < 400 ? ' and sends elsewhere (a login page?)' : ''
  return new PromDrError('PROMETHEUS_BAD_RESPONSE', `${url} does not answer like a Prometheus: HTTP ${response.status}, ${type}${moved}`, {
    hint: 'check prometheus.url: its host, port and path prefix, and what stands in front of the server',
    details: { status: response.status },
  })
}
