import { z } from 'zod'
import { PromDrError } from '../../errors.ts'
import type { HttpResponse } from '../../system/http-client.ts'

const time = z.string().refine((text) => !Number.isNaN(Date.parse(text)), 'is no time')

export const silencesSchema = z.array(z.object({
  id: z.string().min(1),
  matchers: z.array(z.object({ name: z.string(), value: z.string(), isRegex: z.boolean(), isEqual: z.boolean().default(true) })),
  startsAt: time,
  endsAt: time,
  updatedAt: time,
  createdBy: z.string(),
  comment: z.string(),
  status: z.object({ state: z.enum(['pending', 'active', 'expired']) }),
}))

export const statusSchema = z.object({
  cluster: z.object({ status: z.string(), peers: z.array(z.unknown()).nullish() }),
  versionInfo: z.object({ version: z.string() }),
  uptime: time,
})

export const createdSchema = z.object({ silenceID: z.string().min(1) })

/** The JSON of an answer, checked. @throws ALERTMANAGER_BAD_RESPONSE */
export function answerOf<T>(response: HttpResponse, schema: z.ZodType<T>, url: string): T {
  refuseFailures(response, url)
  const parsed = schema.safeParse(jsonOf(response.body))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw notAlertmanager(url, `its answer has no ${issue?.path.join('.') || 'JSON'} as it should be: ${issue?.message ?? ''}`)
}

/** Throws for every status but 2xx. */
export function refuseFailures(response: HttpResponse, url: string): void {
  const { status } = response
  if (status >= 200 && status < 300) return
  const text = response.body.toString('utf8', 0, 1000).trim()
  if (status === 401 || status === 403) {
    throw new PromDrError('ALERTMANAGER_BAD_RESPONSE', `Alertmanager at ${url} refuses the credentials (HTTP ${status})`, { hint: 'check basicAuth and bearerTokenFile of components.alertmanager, and the server\'s --web.config.file' })
  }
  if (/HTTP request to an HTTPS server/i.test(text)) throw new PromDrError('ALERTMANAGER_BAD_RESPONSE', `${url} wants TLS`, { hint: 'write https:// in components.alertmanager.url, and tls.caFile where the CA is your own' })
  const refusal = status >= 400 && status < 500 ? messageIn(response.body) : undefined
  if (refusal !== undefined) throw new PromDrError('ALERTMANAGER_BAD_RESPONSE', `Alertmanager at ${url} refuses it (HTTP ${status}): ${refusal}`, { details: { status } })
  throw notAlertmanager(url, `HTTP ${status}, ${String(response.headers['content-type'] ?? 'no content type').split(';')[0]}`)
}

/** The value of a metric without labels, in Prometheus's text format. @throws ALERTMANAGER_BAD_RESPONSE when it is not there */
export function metricOf(text: string, name: string, url: string): number {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `))
  const value = Number(line?.slice(name.length + 1).trim().split(' ')[0])
  if (line === undefined || Number.isNaN(value)) throw notAlertmanager(url, `its metrics have no ${name}`)
  return value
}

/** Errors are JSON texts, or `{"code": …, "message": …}` where the request did not fit the API's description. */
function messageIn(body: Buffer): string | undefined {
  const parsed = jsonOf(body)
  if (typeof parsed === 'string') return parsed.slice(0, 500)
  const message = typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>)['message'] : undefined
  return typeof message === 'string' ? message.slice(0, 500) : undefined
}

function notAlertmanager(url: string, why: string): PromDrError {
  return new PromDrError('ALERTMANAGER_BAD_RESPONSE', `${url} does not answer like an Alertmanager: ${why}`, { hint: 'check components.alertmanager.url: its host, port and path prefix, and what stands in front of the server' })
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
