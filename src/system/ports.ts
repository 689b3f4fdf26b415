import { createServer } from 'node:net'

/**
 * A TCP port of the loopback address that was free a moment ago. Another process may take it before the caller does:
 * who starts a server on it tries again with another when the server says that it is in use.
 */
export function freePort(host = '127.0.0.1'): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen({ port: 0, host, exclusive: true }, () => {
      const address = server.address()
      server.close((error) => {
        if (error !== undefined) reject(error)
        else if (address === null || typeof address === 'string') reject(new Error(`no port in ${String(address)}`))
        else resolve(address.port)
      })
    })
  })
}
