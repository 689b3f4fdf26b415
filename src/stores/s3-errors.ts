import { type ErrorCode, messageOf, PromDrError, systemCode } from '../errors.ts'
import { interrupted } from './interruption.ts'

export interface S3ErrorContext {
  url: string
  endpoint: string | undefined
  region: string | undefined
  action: string
  key: string | undefined
  signal: AbortSignal | undefined
  now: Date
}

/** What the SDK throws: an answer of the server (`$metadata.httpStatusCode`) or what the network said. */
interface SdkError extends Error {
  $metadata?: { httpStatusCode?: number }
  $response?: { headers?: Record<string, string> }
  Code?: string
  Region?: string
}

interface Verdict {
  code: ErrorCode
  message: string
  hint?: string
}

const keysHint = 'check accessKeyId and secretAccessKey, the profile, or the role of this host'

/** Turns whatever an S3 request threw into the error that a caller of an object store expects. */
export function s3Error(thrown: unknown, context: S3ErrorContext): PromDrError {
  if (thrown instanceof PromDrError) return thrown
  if (context.signal?.aborted) return interrupted(context.signal)
  const error: SdkError = thrown instanceof Error ? thrown : new Error(String(thrown))
  const what = `cannot ${context.action} ${context.key === undefined ? context.url : `${context.key} in ${context.url}`}`
  const { code, message, hint } = networkVerdict(error, context) ?? answerVerdict(error, context)
  return new PromDrError(code, `${what}: ${message}`, { cause: withoutRequest(error), ...(hint !== undefined && { hint }) })
}

/** The SDK's errors carry the whole request, with its authorization and session token: only what tells the reason is kept. */
function withoutRequest(error: SdkError): Error {
  const kept: SdkError & { code?: string } = new Error(error.message)
  kept.name = error.name
  if (error.stack !== undefined) kept.stack = error.stack
  const code = networkCode(error)
  if (code !== undefined) kept.code = code
  if (error.Code !== undefined) kept.Code = error.Code
  if (error.$metadata?.httpStatusCode !== undefined) kept.$metadata = { httpStatusCode: error.$metadata.httpStatusCode }
  return kept
}

/** The server's name for the error; HEAD requests have none, then the SDK makes one up from the status. */
export function s3Code(thrown: unknown): string {
  const error = thrown as SdkError
  return error.Code ?? error.name
}

export function s3Status(thrown: unknown): number | undefined {
  return (thrown as SdkError).$metadata?.httpStatusCode
}

function networkVerdict(error: SdkError, context: S3ErrorContext): Verdict | undefined {
  const code = networkCode(error)
  const at = context.endpoint ?? `S3 in ${context.region ?? 'the default region'}`
  const unreachable = (message: string, hint: string): Verdict => ({ code: 'STORE_UNREACHABLE', message, hint })
  if (error.name === 'TimeoutError' || code === 'ETIMEDOUT') return unreachable(`${at} did not answer in time`, 'check the network and the scheme, host and port of s3.endpoint')
  if (code === 'ECONNREFUSED') return unreachable(`nothing listens at ${at} (ECONNREFUSED)`, 'is the server running, and is the port in s3.endpoint right?')
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return unreachable(`the name of ${at} cannot be resolved (${code})`, 'check s3.endpoint, s3.region and DNS; servers without a name for each bucket need s3.forcePathStyle: true')
  if (code?.startsWith('HPE_')) return { code: 'STORE_BAD_RESPONSE', message: `${at} does not speak HTTP (${code})`, hint: 'check the scheme and the port of s3.endpoint' }
  if (code !== undefined && isTlsCode(code)) {
    return { code: 'STORE_REJECTED', message: `no TLS connection to ${at}: ${error.message}`, hint: 'name the authority that signed its certificate with s3.caFile, or correct the host or scheme in s3.endpoint' }
  }
  if (code !== undefined && /^(E[A-Z]+|UND_ERR.*)$/.test(code)) return unreachable(`the connection to ${at} failed (${code})`, 'check the network between this host and the store')
  return undefined
}

/** The code of a socket error, also inside an AggregateError (one for each address that was tried). */
function networkCode(error: Error): string | undefined {
  const own = systemCode(error)
  if (own !== undefined) return own
  if (error instanceof AggregateError) return error.errors.map(systemCode).find((code) => code !== undefined)
  return error.cause instanceof Error ? networkCode(error.cause) : undefined
}

function isTlsCode(code: string): boolean {
  return /CERT|^ERR_TLS|^ERR_SSL|^EPROTO$|UNABLE_TO_VERIFY/.test(code)
}

function answerVerdict(error: SdkError, context: S3ErrorContext): Verdict {
  const name = s3Code(error)
  const status = s3Status(error)
  const bucket = context.url.split('/')[2]
  const said = saidBy(error, name, status)
  switch (name) {
    case 'NoSuchBucket':
      return { code: 'STORE_REJECTED', message: `the bucket ${bucket} does not exist`, hint: `create it (aws s3 mb s3://${bucket}) or correct the url of the repository` }
    case 'NoSuchKey':
    case 'NotFound':
      return { code: 'OBJECT_NOT_FOUND', message: 'no such object' }
    case 'InvalidObjectState':
      return {
        code: 'STORE_REJECTED', message: 'it lies in an archive class (GLACIER, DEEP_ARCHIVE) and cannot be read before it was asked for',
        hint: `a lifecycle rule of the bucket must have moved it: ask for it (aws s3api restore-object --bucket ${bucket} --restore-request Days=7 --key …), and run the command again when it is there; another repository may have a copy`,
      }
    case 'InvalidAccessKeyId':
      return { code: 'STORE_DENIED', message: 'the server does not know this access key (InvalidAccessKeyId)', hint: keysHint }
    case 'SignatureDoesNotMatch':
      return { code: 'STORE_DENIED', message: 'the secret key does not fit the access key (SignatureDoesNotMatch)', hint: `${keysHint}; a proxy that rewrites requests has the same effect` }
    case 'ExpiredToken':
    case 'InvalidToken':
    case 'TokenRefreshRequired':
      return { code: 'STORE_DENIED', message: `the session token is not valid any more (${name})`, hint: 'get new credentials (aws sso login, or a new session token)' }
    case 'CredentialsProviderError':
      return { code: 'STORE_DENIED', message: `no credentials were found: ${error.message}`, hint: 'set accessKeyId and secretAccessKey, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile' }
    case 'RequestTimeTooSkewed':
      return skewVerdict(error, context)
    case 'QuotaExceeded':
    case 'XMinioStorageFull':
    case 'InsufficientStorage':
      return { code: 'DISK_FULL', message: `the store is full (${said})`, hint: 'raise the quota, or run "prom-dr expire"' }
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
    case 'Redirect':
      return regionVerdict(error, context)
    case 'BadDigest':
    case 'XAmzContentSHA256Mismatch':
    case 'RequestTimeout':
    case 'SlowDown':
      return { code: 'STORE_UNREACHABLE', message: said, hint: 'the store or the network is overloaded; if it stays so, lower s3.concurrency' }
  }
  if (name === 'SyntaxError' || name === 'TypeError' || (status !== undefined && status < 300)) {
    return { code: 'STORE_BAD_RESPONSE', message: `the answer is not that of an object store (${messageOf(error).split('\n')[0]?.slice(0, 120)})`, hint: 'check s3.endpoint' }
  }
  if (status === 301 || status === 307) return regionVerdict(error, context)
  if (status === 401 || status === 403) return { code: 'STORE_DENIED', message: said, hint: `allow these keys to list, read, write and delete in ${context.url}` }
  if (status === 408 || status === 429 || (status !== undefined && status >= 500 && status !== 501)) {
    return { code: 'STORE_UNREACHABLE', message: `the server answered ${status} (${said})`, hint: 'the store is overloaded or down; try again later' }
  }
  if (status === undefined) return { code: 'STORE_UNREACHABLE', message: messageOf(error) }
  if (isForeign(error)) return { code: 'STORE_BAD_RESPONSE', message: `the answer is not that of an object store (${said})`, hint: 'check s3.endpoint: it may be the address of another program or of a gateway' }
  return { code: 'STORE_REJECTED', message: `the server answered ${status} (${said})` }
}

/** Whether it was no S3 that said no: the SDK could not read the error. */
export function isForeign(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.message.includes('Deserialization error')
}

/** A gateway in front of the store answers in its own words, of which the SDK says how to see them in a debugger. */
function saidBy(error: SdkError, name: string, status: number | undefined): string {
  const { message } = error
  if (isForeign(error)) return `HTTP ${status ?? 'without a status'}, with no error of S3 in it`
  return message === '' || message === 'UnknownError' ? name : `${name}: ${message}`
}

function regionVerdict(error: SdkError, context: S3ErrorContext): Verdict {
  const region = error.Region ?? error.$response?.headers?.['x-amz-bucket-region']
  return {
    code: 'STORE_REJECTED',
    message: `the bucket is not in region ${context.region ?? '(default)'} (${s3Code(error)})`,
    hint: region === undefined ? 'set s3.region to the region of the bucket (aws s3api get-bucket-location)' : `set s3.region: ${region}`,
  }
}

function skewVerdict(error: SdkError, { now }: S3ErrorContext): Verdict {
  const date = Date.parse(error.$response?.headers?.['date'] ?? '')
  const offset = Number.isNaN(date) ? 'too far' : `${Math.round(Math.abs(now.getTime() - date) / 1000)} s`
  return {
    code: 'STORE_DENIED',
    message: `the clocks of this host and of the store are ${offset} apart (RequestTimeTooSkewed)`,
    hint: `the clock here is off by ${offset}, or the store's is: set it right with chrony or ntp (timedatectl, chronyc makestep)`,
  }
}
