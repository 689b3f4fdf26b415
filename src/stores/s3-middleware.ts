import { createHash } from 'node:crypto'
import { PromDrError } from '../errors.ts'

type Headers = Record<string, string>

/** The SDK's stacks are generic over every command; these functions need no more of them than this. */
interface Stack {
  add(middleware: Middleware, options: { step: string; name: string; priority: string }): void
}

type Middleware = (next: (args: Step) => Promise<Step>) => (args: Step) => Promise<Step>

/** What a middleware is given and answers: the request on the way out, the response on the way back. */
interface Step {
  request: HttpMessage
  response: HttpMessage
}

interface HttpMessage {
  statusCode?: number
  headers: Headers
  body?: unknown
}

/**
 * A login page or a web server is no object store. S3 speaks XML; an HTML page with status 200 would otherwise pass
 * for an empty listing or a finished write. Answers of 500 and above stay what they are: a gateway's outage.
 */
export function refuseWebPages(stack: unknown): void {
  ;(stack as Stack).add((next) => async (args) => refuseWebPage(await next(args)), { step: 'deserialize', name: 'promDrRefuseWebPages', priority: 'low' })
}

function refuseWebPage(result: Step): Step {
  const { statusCode = 0, headers } = result.response
  const html = /^text\/html/i.test(headers['content-type'] ?? '')
  if (!html || statusCode >= 500 || headers['etag'] !== undefined) return result
  throw new PromDrError('STORE_BAD_RESPONSE', `the endpoint answered with a web page (status ${statusCode}), not as an object store`, {
    hint: 'check s3.endpoint: it may be the address of a web console, a proxy or a login page',
  })
}

/**
 * Signs the request for this SHA-256 of its body, so that the server refuses other bytes, and the SDK does not hash
 * the body a second time.
 */
export function withPayloadDigest(stack: unknown, sha256: string): void {
  addHeaders(stack, () => ({ 'x-amz-content-sha256': sha256 }))
}

/** Some servers take a deletion of many objects only with Content-MD5, which the SDK no longer sends. */
export function withContentMd5(stack: unknown): void {
  addHeaders(stack, (body) => {
    if (typeof body !== 'string' && !(body instanceof Uint8Array)) throw new PromDrError('INTERNAL', 'the body of a request is not in memory')
    return { 'content-md5': createHash('md5').update(body).digest('base64') }
  })
}

function addHeaders(stack: unknown, headersFor: (body: unknown) => Headers): void {
  const middleware: Middleware = (next) => (args) => {
    Object.assign(args.request.headers, headersFor(args.request.body))
    return next(args)
  }
  ;(stack as Stack).add(middleware, { step: 'build', name: 'promDrHeaders', priority: 'low' })
}

/** Has the body of an answer with status 200 read by `read` first; what that leaves is what the SDK reads. */
export function readBodyFirst(stack: unknown, read: (body: Buffer) => Buffer): void {
  const middleware: Middleware = (next) => async (args) => {
    const result = await next(args)
    if (result.response.statusCode !== 200) return result
    const pieces: Buffer[] = []
    for await (const piece of result.response.body as AsyncIterable<Buffer>) pieces.push(piece)
    return { ...result, response: Object.assign(result.response, { body: read(Buffer.concat(pieces)) }) }
  }
  ;(stack as Stack).add(middleware, { step: 'deserialize', name: 'promDrReadBody', priority: 'low' })
}

/** Calls back with the Date header of the answer. */
export function watchDate(stack: unknown, onDate: (date: string | undefined) => void): void {
  const middleware: Middleware = (next) => async (args) => {
    const result = await next(args)
    onDate(result.response.headers['date'])
    return result
  }
  ;(stack as Stack).add(middleware, { step: 'deserialize', name: 'promDrDate', priority: 'low' })
}
