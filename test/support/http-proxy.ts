import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { atEndOfFile } from './cleanup.ts'

export interface ProxyRules {
  /** Waited for before the server is asked, also when who asked has gone since. */
  before?: (path: string) => Promise<void>
  /** Lets the server do it and never tells. */
  loseAnswerTo?: (path: string) => boolean
  /** Lets the server do it and keeps the client waiting. */
  holdAnswerTo?: (path: string) => boolean
  rewrite?: (path: string, body: string) => string
  /** Refuses with 401 what does not bring this. */
  authorization?: string
}

/** A proxy in front of a test server, closed at the end of the test file. @returns its URL, and the paths that were asked for */
export async function startHttpProxy(target: string, rules: ProxyRules): Promise<{ url: string; paths: string[] }> {
  const paths: string[] = []
  const server = createServer((incoming, outgoing) => {
    const path = incoming.url ?? '/'
    paths.push(path)
    incoming.on('error', () => undefined)
    outgoing.on('error', () => undefined)
    if (rules.authorization !== undefined && incoming.headers.authorization !== rules.authorization) {
      incoming.resume().on('end', () => outgoing.writeHead(401).end('no'))
      return
    }
    const headers = { ...incoming.headers }
    delete headers.host
    delete headers['accept-encoding']
    const upstream = request(new URL(path, target), { method: incoming.method ?? 'GET', headers }, (answer) => {
      void buffer(answer).then((body) => {
        if (rules.loseAnswerTo?.(path) === true) incoming.socket.destroy()
        else if (rules.holdAnswerTo?.(path) !== true) {
          const bytes = rules.rewrite === undefined ? body : Buffer.from(rules.rewrite(path, body.toString('latin1')), 'latin1')
          const answered = { ...answer.headers, 'content-length': bytes.length }
          delete answered['transfer-encoding']
          outgoing.writeHead(answer.statusCode ?? 502, answered).end(bytes)
        }
      })
    })
    upstream.on('error', () => incoming.socket.destroy())
    const forward = () => (incoming.destroyed ? void upstream.end() : void incoming.pipe(upstream))
    void (rules.before?.(path) ?? Promise.resolve()).then(forward, () => upstream.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  atEndOfFile(async () => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, paths }
}
