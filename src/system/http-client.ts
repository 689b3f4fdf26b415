import { readFile } from 'node:fs/promises'
import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as httpRequest, type RequestOptions as NodeRequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { type ErrorCode, PromDrError, systemCode } from '../errors.ts'
import { connectionFailure, type HttpFailureNames } from './http-failures.ts'

export interface HttpClientOptions {
  basicAuth?: { username: string; password?: string; passwordFile?: string }
  /** Read at each request, so that a token may be rotated. */
  bearerTokenFile?: string
  tls?: { caFile?: string; certFile?: string; keyFile?: string; serverName?: string; insecureSkipVerify?: boolean }
  /** Until the connection stands, TLS included. Default 5 s. */
  connectTimeoutMs?: number
  /** From the start to the last byte of the answer. Default 30 s. */
  timeoutMs?: number
  /** Default 64 MiB. */
  maxResponseBytes?: number
  /** Who is spoken to, and under which codes it fails. */
  failures: HttpFailureNames
}

export interface HttpRequest {
  method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  url: string
  headers?: Record<string, string>
  body?: string | Uint8Array
  /** May be sent twice without harm. Default: GET and HEAD may. Others go over a connection of their own. */
  idempotent?: boolean
  connectTimeoutMs?: number
  timeoutMs?: number
  maxResponseBytes?: number
  signal?: AbortSignal
}

export interface HttpResponse {
  status: number
  /** Names in lower case. */
  headers: Record<string, string | string[] | undefined>
  body: Buffer
}

/** The one door for HTTP(S). Redirects are not followed: credentials go where they were meant to go. */
export interface HttpClient {
  /**
   * Any status is an answer.
   * @throws the `unreachable` code (refused, timed out, TLS), the `badResponse` code (not HTTP, too large, cut short),
   * CONFIG_INVALID (credential file, URL) or INTERRUPTED. No credential is in a message.
   */
  request(request: HttpRequest): Promise<HttpResponse>
  close(): void
}

const defaults = { connectTimeoutMs: 5_000, timeoutMs: 30_000, maxResponseBytes: 64 * 1024 * 1024 }

export function createHttpClient(options: HttpClientOptions): HttpClient {
  const agents = { 'http:': new HttpAgent({ keepAlive: true }), 'https:': new HttpsAgent({ keepAlive: true }) }
  const send = async (request: HttpRequest, reuse: boolean): Promise<HttpResponse> => {
    const url = parseUrl(request.url)
    const settings: NodeRequestOptions & { rejectUnauthorized?: boolean } = {
      method: request.method ?? 'GET',
      headers: { ...(await authorization(url, options)), ...request.headers },
      agent: reuse ? agents[url.protocol as keyof typeof agents] : false,
      ...(url.protocol === 'https:' && (await tlsSettings(options))),
    }
    return exchange(stripped(url), settings, { ...defaults, ...definedOnly(options), ...definedOnly(request), failures: options.failures })
  }
  return {
    request: async (request) => {
      const repeatable = request.idempotent ?? ['GET', 'HEAD'].includes(request.method ?? 'GET')
      try {
        return await send(request, repeatable)
      } catch (error) {
        // A kept-alive connection that the server closed as it was taken again: once more, on a new one.
        if (!repeatable || !(error instanceof PromDrError) || error.details?.['staleConnection'] !== true) throw error
        return send(request, false)
      }
    },
    close: () => Object.values(agents).forEach((agent) => agent.destroy()),
  }
}

interface Exchange {
  connectTimeoutMs: number
  timeoutMs: number
  maxResponseBytes: number
  failures: HttpFailureNames
  body?: string | Uint8Array
  signal?: AbortSignal
}

function exchange(url: URL, settings: NodeRequestOptions, options: Exchange): Promise<HttpResponse> {
  const { failures, signal } = options
  const fail = (code: ErrorCode, what: string, hint?: string) =>
    new PromDrError(code, `${failures.service} at ${describeUrl(url)} ${what}`, hint === undefined ? {} : { hint })
  const aborted = () => new PromDrError('INTERRUPTED', `interrupted while asking ${failures.service}`, { cause: signal?.reason })
  if (signal?.aborted) return Promise.reject(aborted())
  return new Promise((resolve, reject) => {
    const outgoing = open(url, settings, failures)
    const timers = [
      setTimeout(() => outgoing.destroy(fail(failures.unreachable, `did not answer within ${options.timeoutMs} ms`, 'is it overloaded, or is the timeout too short?')), options.timeoutMs),
    ]
    const onAbort = () => outgoing.destroy(aborted())
    signal?.addEventListener('abort', onAbort, { once: true })
    const settle = (act: () => void) => {
      timers.forEach(clearTimeout)
      signal?.removeEventListener('abort', onAbort)
      act()
    }
    const fallen = (error: Error) =>
      settle(() => reject(error instanceof PromDrError ? error : connectionFailure(error, { url: describeUrl(url), failures, reusedConnection: outgoing.reusedSocket })))
    outgoing.on('socket', (socket) => {
      if (!socket.connecting) return
      const connectTimer = setTimeout(
        () => outgoing.destroy(fail(failures.unreachable, `did not accept a connection within ${options.connectTimeoutMs} ms`, failures.unreachableHint)),
        options.connectTimeoutMs,
      )
      timers.push(connectTimer)
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(connectTimer))
    })
    outgoing.on('error', fallen)
    outgoing.on('response', (incoming) => {
      const tooLarge = fail(failures.badResponse, `answered with more than ${options.maxResponseBytes} bytes`)
      readAll(incoming, options.maxResponseBytes, tooLarge).then(
        (body) => settle(() => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body })),
        (error: Error) => {
          outgoing.destroy()
          fallen(error)
        },
      )
    })
    outgoing.end(options.body)
  })
}

/** A certificate and a key that do not fit make Node throw at once. */
function open(url: URL, settings: NodeRequestOptions, failures: HttpFailureNames): ClientRequest {
  try {
    return url.protocol === 'https:' ? httpsRequest(url, settings) : httpRequest(url, settings)
  } catch (error) {
    if (error instanceof Error) throw connectionFailure(error, { url: describeUrl(url), failures, reusedConnection: false })
    throw error
  }
}

async function readAll(incoming: IncomingMessage, limitBytes: number, tooLarge: PromDrError): Promise<Buffer> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    sizeBytes += chunk.byteLength
    if (sizeBytes > limitBytes) throw tooLarge
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

async function authorization(url: URL, options: HttpClientOptions): Promise<Record<string, string>> {
  if (options.bearerTokenFile !== undefined) return { authorization: `Bearer ${await tokenOf(options.bearerTokenFile)}` }
  const { basicAuth } = options
  if (basicAuth === undefined) return url.username === '' ? {} : basic(decodeURIComponent(url.username), decodeURIComponent(url.password))
  const password = basicAuth.passwordFile === undefined ? (basicAuth.password ?? '') : await secretOf(basicAuth.passwordFile)
  return basic(basicAuth.username, password)
}

function basic(username: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
}

async function secretOf(path: string): Promise<string> {
  const secret = (await credentialFile(path)).toString('utf8').trim()
  if (/[\p{Cc}\uFFFD]/u.test(secret)) throw notOneLine(path)
  return secret
}

/** A header takes ASCII alone; Node's own error would quote the token. */
async function tokenOf(path: string): Promise<string> {
  const token = await secretOf(path)
  if (/[^\x20-\x7e]/.test(token)) throw notOneLine(path)
  return token
}

function notOneLine(path: string): PromDrError {
  return new PromDrError('CONFIG_INVALID', `${path} does not hold one line of plain text`, { hint: 'write the secret alone into it, in UTF-8; a token in ASCII' })
}

async function tlsSettings({ tls }: HttpClientOptions): Promise<object> {
  if (tls === undefined) return {}
  return {
    ...(tls.caFile !== undefined && { ca: await credentialFile(tls.caFile) }),
    ...(tls.certFile !== undefined && { cert: await credentialFile(tls.certFile) }),
    ...(tls.keyFile !== undefined && { key: await credentialFile(tls.keyFile) }),
    ...(tls.serverName !== undefined && { servername: tls.serverName }),
    ...(tls.insecureSkipVerify === true && { rejectUnauthorized: false }),
  }
}

async function credentialFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new PromDrError('CONFIG_INVALID', `cannot read ${path}: ${systemCode(error) ?? 'unknown error'}`, {
      hint: 'the connection settings name this file: check the path and who may read it',
      cause: error,
    })
  }
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url
  throw new PromDrError('CONFIG_INVALID', `${JSON.stringify(urlForPeople(text))} is not an http or https URL`, { hint: 'write it with its scheme: http://127.0.0.1:9090' })
}

function stripped(url: URL): URL {
  const copy = new URL(url)
  copy.username = ''
  copy.password = ''
  return copy
}

/** Without credentials, and without the query, which may hold some. */
function describeUrl(url: URL): string {
  return `${url.origin}${url.pathname}`
}

/** The URL without credentials, query and fragment; also of a text that is hardly a URL. */
export function urlForPeople(text: string): string {
  return URL.canParse(text) && new URL(text).origin !== 'null' ? describeUrl(new URL(text)).replace(/\/$/, '') : text.replace(/[^/\s]*@/, '').replace(/[?#].*$/, '')
}

function definedOnly<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T
}
