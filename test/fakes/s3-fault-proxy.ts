import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What happens to one request on its way to the real server. */
export type ProxyFault =
  | { kind: 'answer'; status: number; body: string; contentType?: string; etag?: string }
  | { kind: 'hang' }
  /** The connection is closed before the request arrives. */
  | { kind: 'close' }
  /** The request is carried out; its answer never arrives. */
  | { kind: 'lose-answer' }
  | { kind: 'cut-answer'; afterBytes: number }
  | { kind: 'stall-answer'; afterBytes: number }
  /** The answer's clock, and with it what the client takes for the right time, is off. */
  | { kind: 'shift-date'; byMs: number }

export interface ProxiedRequest {
  method: string
  /** With the query. */
  path: string
  headers: IncomingHttpHeaders
}

export interface S3FaultProxy {
  endpoint: string
  /** Every request that came, in order. */
  readonly requests: ProxiedRequest[]
  /** How often a fault was injected. */
  readonly injected: number
  /** Decides for each request from now on; the count is of the requests since then, from 1. */
  inject(decide: (request: ProxiedRequest, count: number) => ProxyFault | undefined): void
  close(): Promise<void>
}

/** Stands in front of a real S3 server and passes everything on but for the faults. Host headers, and with them signatures, stay. */
export async function startS3FaultProxy(upstream: string): Promise<S3FaultProxy> {
  const target = new URL(upstream)
  const requests: ProxiedRequest[] = []
  let injected = 0
  let count = 0
  let decide: (request: ProxiedRequest, count: number) => ProxyFault | undefined = () => undefined

  const server = createServer((incoming, outgoing) => {
    const seen = { method: incoming.method ?? '', path: incoming.url ?? '', headers: incoming.headers }
    requests.push(seen)
    const fault = decide(seen, ++count)
    if (fault !== undefined) injected++
    incoming.on('error', () => undefined)
    outgoing.on('error', () => undefined)
    if (fault?.kind === 'close') incoming.socket.destroy()
    else if (fault?.kind === 'hang') incoming.resume()
    else if (fault?.kind === 'answer') incoming.resume().on('end', () => outgoing.writeHead(fault.status, { 'content-type': fault.contentType ?? 'application/xml', connection: 'close', ...(fault.etag !== undefined && { etag: fault.etag }) }).end(fault.body))
    else forward(target, { incoming, outgoing, fault })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get injected() {
      return injected
    },
    inject(decision) {
      decide = decision
      count = 0
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Exchange {
  incoming: IncomingMessage
  outgoing: ServerResponse
  fault: ProxyFault | undefined
}

function forward(target: URL, { incoming, outgoing, fault }: Exchange): void {
  const upstream = request({ host: target.hostname, port: target.port, method: incoming.method, path: incoming.url, headers: incoming.headers }, (answer) => {
    answer.on('error', () => incoming.socket.destroy())
    if (fault?.kind === 'lose-answer') {
      answer.resume().on('end', () => incoming.socket.destroy())
      return
    }
    const headers = { ...answer.headers }
    if (fault?.kind === 'shift-date') headers['date'] = new Date(Date.now() + fault.byMs).toUTCString()
    outgoing.writeHead(answer.statusCode ?? 502, headers)
    if (fault?.kind !== 'cut-answer' && fault?.kind !== 'stall-answer') {
      answer.pipe(outgoing)
      return
    }
    let leftBytes = fault.afterBytes
    answer.on('data', (chunk: Buffer) => {
      if (leftBytes > 0) outgoing.write(chunk.subarray(0, leftBytes))
      leftBytes -= chunk.byteLength
      if (leftBytes > 0) return
      answer.pause()
      if (fault.kind === 'cut-answer') setImmediate(() => incoming.socket.destroy())
    })
  })
  upstream.on('error', () => incoming.socket.destroy())
  incoming.on('close', () => {
    if (!incoming.complete) upstream.destroy()
  })
  incoming.pipe(upstream)
}
