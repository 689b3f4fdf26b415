import { readFile, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { createHttpClient, type HttpClientOptions, urlForPeople } from '../../src/system/http-client.ts'
import { freePort } from '../../src/system/ports.ts'
import { type Certificates, makeCertificates } from '../support/certificates.ts'
import { atEndOfFile, temporaryDirectory } from '../support/cleanup.ts'
import { startHttpServer, startTcpServer } from '../support/http-server.ts'
import { missingPrograms } from '../support/programs.ts'
import { waitFor } from '../support/wait-for.ts'

function clientWith(options: Partial<HttpClientOptions> = {}) {
  return createHttpClient({
    ...options,
    failures: { service: 'the test server', unreachable: 'PROMETHEUS_UNREACHABLE', badResponse: 'PROMETHEUS_BAD_RESPONSE', unreachableHint: 'start it' },
  })
}

/** Answers with what it was asked. */
const echo = () =>
  startHttpServer((request, response) => {
    request.on('data', () => {})
    request.on('end', () => response.end(JSON.stringify({ method: request.method, path: request.url, authorization: request.headers.authorization })))
  })

describe('a request', () => {
  it('carries its method, body and headers, and any status is an answer', async () => {
    const url = await startHttpServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      response.writeHead(418, { 'x-seen': String(request.headers['x-mark']) }).end(Buffer.concat(chunks))
    })
    const response = await clientWith().request({ method: 'PUT', url, body: 'tea', headers: { 'x-mark': 'green' } })
    expect({ status: response.status, seen: response.headers['x-seen'], body: response.body.toString() }).toEqual({ status: 418, seen: 'green', body: 'tea' })
  })

  it('carries basic auth, from settings, a file or the URL', async () => {
    const url = await echo()
    const passwordFile = join(await temporaryDirectory(), 'password')
    await writeFile(passwordFile, 's3cret\n')
    const seen = async (options: Partial<HttpClientOptions>, asked = url) => JSON.parse((await clientWith(options).request({ url: asked })).body.toString()).authorization
    const expected = `Basic ${Buffer.from('me:s3cret').toString('base64')}`
    expect(await seen({ basicAuth: { username: 'me', password: 's3cret' } })).toBe(expected)
    expect(await seen({ basicAuth: { username: 'me', passwordFile } })).toBe(expected)
    expect(await seen({}, url.replace('//', '//me:s3cret@'))).toBe(expected)
    expect(await seen({})).toBeUndefined()
    await writeFile(passwordFile, 'pä:ss wörd\n')
    expect(await seen({ basicAuth: { username: 'me', passwordFile } })).toBe(`Basic ${Buffer.from('me:pä:ss wörd').toString('base64')}`)
  })

  it('reads the bearer token again each time', async () => {
    const url = await echo()
    const bearerTokenFile = join(await temporaryDirectory(), 'token')
    const client = clientWith({ bearerTokenFile })
    for (const token of ['first', 'second']) {
      await writeFile(bearerTokenFile, `${token}\n`)
      expect(JSON.parse((await client.request({ url })).body.toString()).authorization).toBe(`Bearer ${token}`)
    }
  })

  it('does not follow redirects', async () => {
    const url = await startHttpServer((_request, response) => response.writeHead(302, { location: 'http://192.0.2.1/' }).end())
    expect((await clientWith().request({ url })).status).toBe(302)
  })

  it('is sent once more when a kept connection had just been closed, unless it must not be sent twice', async () => {
    let requests = 0
    const target = await startTcpServer((socket) => {
      let answered = 0
      socket.on('data', () => {
        requests += 1
        answered += 1
        if (answered > 1) socket.resetAndDestroy()
        else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
      })
    })
    const client = clientWith()
    for (let time = 0; time < 3; time += 1) expect((await client.request({ url: `http://${target}/` })).status).toBe(200)
    const repeated = requests
    expect(repeated).toBeGreaterThan(3)
    await client.request({ method: 'POST', url: `http://${target}/` })
    await client.request({ method: 'POST', url: `http://${target}/` })
    expect(requests).toBe(repeated + 2)
  })
})

describe('a failure', () => {
  const secret = 'hunter2'

  it('never shows credentials', async () => {
    const port = await freePort()
    const failure = clientWith({ basicAuth: { username: 'me', password: secret } }).request({ url: `http://me:${secret}@127.0.0.1:${port}/path?token=${secret}` })
    const error = (await failure.catch((thrown: unknown) => thrown)) as Error
    expect(error).toMatchObject({ code: 'PROMETHEUS_UNREACHABLE', hint: 'start it', message: `cannot reach the test server at http://127.0.0.1:${port}/path: the connection was refused` })
    expect(JSON.stringify([error.message, error.stack, String(error.cause)])).not.toContain(secret)
    const notAUrl = (await clientWith().request({ url: `ftp://me:${secret}@host/` }).catch((thrown: unknown) => thrown)) as Error
    expect(notAUrl).toMatchObject({ code: 'CONFIG_INVALID' })
    expect(notAUrl.message).not.toContain(secret)
  })

  it('of a credential file names the file', async () => {
    await expect(clientWith({ bearerTokenFile: '/nowhere/token' }).request({ url: 'http://127.0.0.1:1/' })).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: 'cannot read /nowhere/token: ENOENT' })
    const file = join(await temporaryDirectory(), 'token')
    await writeFile(file, `${secret}\nsecond: line`)
    const error = (await clientWith({ bearerTokenFile: file }).request({ url: 'http://127.0.0.1:1/' }).catch((thrown: unknown) => thrown)) as Error
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
    expect(error.message).not.toContain(secret)
  })

  it('is a silent server, one that stops in the middle, and one that never ends', async () => {
    const silent = await startTcpServer(() => {})
    await expect(clientWith({ timeoutMs: 100 }).request({ url: `http://${silent}/` })).rejects.toMatchObject({ code: 'PROMETHEUS_UNREACHABLE', message: expect.stringContaining('did not answer within 100 ms') })
    const half = await startTcpServer((socket) => socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf')))
    await expect(clientWith().request({ url: `http://${half}/` })).rejects.toMatchObject({ code: 'PROMETHEUS_UNREACHABLE', message: expect.stringContaining('closed in the middle') })
    const endless = await startHttpServer((_request, response) => {
      const drip = setInterval(() => response.write('drip'), 10)
      response.on('close', () => clearInterval(drip))
    })
    await expect(clientWith({ timeoutMs: 200 }).request({ url: endless })).rejects.toMatchObject({ code: 'PROMETHEUS_UNREACHABLE' })
  })

  it('is an answer beyond the limit, and one that is not HTTP', async () => {
    const large = await startHttpServer((_request, response) => response.end(Buffer.alloc(10_001)))
    await expect(clientWith({ maxResponseBytes: 10_000 }).request({ url: large })).rejects.toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE', message: expect.stringContaining('more than 10000 bytes') })
    expect((await clientWith({ maxResponseBytes: 10_001 }).request({ url: large })).body.byteLength).toBe(10_001)
    const ssh = await startTcpServer((socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'))
    await expect(clientWith().request({ url: `http://${ssh}/` })).rejects.toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE', message: expect.stringContaining('does not speak HTTP') })
  })

  it('is a host name that nobody knows', async () => {
    await expect(clientWith().request({ url: 'http://prometheus.invalid/' })).rejects.toMatchObject({ code: 'PROMETHEUS_UNREACHABLE', message: expect.stringContaining('host name is not known') })
  })

  it('is an interruption, before and in the middle', async () => {
    let asked = false
    const silent = await startTcpServer((socket) => socket.on('data', () => (asked = true)))
    const abort = new AbortController()
    const request = clientWith().request({ url: `http://${silent}/`, signal: abort.signal })
    await waitFor(() => asked, { what: 'the request' })
    abort.abort()
    await expect(request).rejects.toMatchObject({ code: 'INTERRUPTED' })
    await expect(clientWith().request({ url: `http://${silent}/`, signal: abort.signal })).rejects.toMatchObject({ code: 'INTERRUPTED' })
  })
})

describe.skipIf(missingPrograms('openssl'))('TLS', () => {
  let certificates: Certificates
  beforeAll(async () => {
    certificates = await makeCertificates(await temporaryDirectory())
  })
  const listen = async (pair: { certFile: string; keyFile: string }, demandClient = false): Promise<string> => {
    const options = { cert: await readFile(pair.certFile), key: await readFile(pair.keyFile), ca: await readFile(certificates.caFile), requestCert: demandClient }
    const server: Server = createServer(options, (_request, response) => response.end('secure'))
    server.on('tlsClientError', () => {})
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    atEndOfFile(async () => {
      server.closeAllConnections()
      server.close()
    })
    return `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
  }
  const said = (message: string) => ({ code: 'PROMETHEUS_UNREACHABLE', message: expect.stringContaining(message) })

  it('trusts the CA it was given, and nobody else', async () => {
    const url = await listen(certificates.server)
    expect((await clientWith({ tls: { caFile: certificates.caFile } }).request({ url })).body.toString()).toBe('secure')
    await expect(clientWith().request({ url })).rejects.toMatchObject({ ...said('signed by a CA that is not trusted'), hint: 'give the CA in tls.caFile' })
    expect((await clientWith({ tls: { insecureSkipVerify: true } }).request({ url })).status).toBe(200)
  })

  it('refuses the certificate of another host, unless that name was asked for', async () => {
    const url = await listen(certificates.otherHost)
    await expect(clientWith({ tls: { caFile: certificates.caFile } }).request({ url })).rejects.toMatchObject(said('for another host name'))
    expect((await clientWith({ tls: { caFile: certificates.caFile, serverName: 'other.test' } }).request({ url })).status).toBe(200)
  })

  it('shows its client certificate, and says when one is wanted', async () => {
    const url = await listen(certificates.server, true)
    const { caFile, client } = certificates
    expect((await clientWith({ tls: { caFile, ...client } }).request({ url })).status).toBe(200)
    await expect(clientWith({ tls: { caFile } }).request({ url })).rejects.toMatchObject(said('wants a client certificate'))
    await expect(clientWith({ tls: { caFile, certFile: client.certFile, keyFile: certificates.server.keyFile } }).request({ url })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  })

  it('says that a server does not speak it', async () => {
    const url = await echo()
    await expect(clientWith().request({ url: url.replace('http:', 'https:') })).rejects.toMatchObject({ ...said('does not speak TLS'), hint: 'does the URL want http:// instead of https://?' })
  })
})

describe('a URL for people', () => {
  it.each([
    ['http://me:secret@host:9090/prefix?token=x#y', 'http://host:9090/prefix'],
    ['http://host/', 'http://host'],
    ['me:secret@host', 'host'],
    ['ftp://me:secret@host/', 'ftp://host'],
  ])('of %s is %s', (url, expected) => {
    expect(urlForPeople(url)).toBe(expected)
  })
})
