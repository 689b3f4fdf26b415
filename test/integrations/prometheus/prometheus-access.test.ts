import { writeFile } from 'node:fs/promises'
import { request as forward } from 'node:http'
import { join } from 'node:path'
import { hash } from 'bcryptjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { createPrometheusApi } from '../../../src/integrations/prometheus/http-prometheus-api.ts'
import { type Certificates, makeCertificates } from '../../support/certificates.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { startHttpServer } from '../../support/http-server.ts'
import { missingPrograms, startTestPrometheus, type TestPrometheus } from '../../support/prometheus.ts'

const password = 'correct horse: battery/staple'

describe.skipIf(missingPrograms('prometheus'))('a Prometheus with basic auth', () => {
  let prometheus: TestPrometheus
  beforeAll(async () => {
    prometheus = await startTestPrometheus({
      webConfig: { basic_auth_users: { backup: await hash(password, 4) } },
      access: { basicAuth: { username: 'backup', password } },
    })
  })

  it('lets in who knows the password, from a setting, a file or the URL', async () => {
    const passwordFile = join(await temporaryDirectory(), 'password')
    await writeFile(passwordFile, `${password}\n`)
    expect(await prometheus.api.isReady()).toBe(true)
    expect(await createPrometheusApi({ url: prometheus.url, basicAuth: { username: 'backup', passwordFile } }).takeSnapshot({ skipHead: true })).toMatch(/^\d{8}T/)
    const inUrl = createPrometheusApi({ url: prometheus.url.replace('//', `//backup:${encodeURIComponent(password)}@`) })
    expect(await inUrl.dataDirectory()).toBe(prometheus.dataDir)
    expect(inUrl.url).toBe(prometheus.url)
  })

  it('refuses a wrong password, and none, without repeating it', async () => {
    for (const connection of [{}, { basicAuth: { username: 'backup', password: 'hunter2' } }, { basicAuth: { username: 'nobody', password } }]) {
      const api = createPrometheusApi({ url: prometheus.url, ...connection })
      for (const call of [() => api.flags(), () => api.isReady(), () => api.takeSnapshot({ skipHead: true }), () => api.remoteRead({ matchers: [], startMs: 0, endMs: 1 })]) {
        const error = (await call().catch((thrown: unknown) => thrown)) as Error
        expect(error).toMatchObject({ code: 'PROMETHEUS_UNAUTHORIZED', message: expect.stringContaining('HTTP 401') })
        expect(error.message).not.toMatch(/hunter2|horse/)
      }
    }
  })
})

describe.skipIf(missingPrograms('prometheus', 'openssl'))('a Prometheus with TLS and client certificates', () => {
  let certificates: Certificates
  let prometheus: TestPrometheus
  beforeAll(async () => {
    certificates = await makeCertificates(await temporaryDirectory())
    const { server, caFile, client } = certificates
    prometheus = await startTestPrometheus({
      webConfig: { tls_server_config: { cert_file: server.certFile, key_file: server.keyFile, client_auth_type: 'RequireAndVerifyClientCert', client_ca_file: caFile } },
      access: { tls: { caFile, ...client } },
    })
  })

  it('answers who shows a certificate of the CA', async () => {
    expect(prometheus.url).toMatch(/^https:/)
    expect(await prometheus.api.takeSnapshot({ skipHead: true })).toMatch(/^\d{8}T/)
    expect(await prometheus.api.query('1', 0)).toContain('"1"')
  })

  it('says that it wants a client certificate', async () => {
    const api = createPrometheusApi({ url: prometheus.url, tls: { caFile: certificates.caFile } })
    await expect(api.flags()).rejects.toMatchObject({ code: 'PROMETHEUS_UNREACHABLE', message: expect.stringContaining('wants a client certificate'), hint: expect.stringContaining('tls.certFile') })
  })

  it('is not believed without its CA', async () => {
    const api = createPrometheusApi({ url: prometheus.url, tls: { ...certificates.client } })
    await expect(api.flags()).rejects.toMatchObject({ code: 'PROMETHEUS_UNREACHABLE', message: expect.stringContaining('signed by a CA that is not trusted') })
  })

  it('says that it wants https', async () => {
    const api = createPrometheusApi({ url: prometheus.url.replace('https:', 'http:') })
    await expect(api.flags()).rejects.toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE', message: expect.stringContaining('wants TLS'), hint: expect.stringContaining('https://') })
  })
})

describe.skipIf(missingPrograms('prometheus'))('a Prometheus behind a proxy that wants a bearer token', () => {
  it('is reached with the token of the file, and with a new one after it changed', async () => {
    const prometheus = await startTestPrometheus({ scrapeItself: false })
    let token = 'first'
    const url = await startHttpServer((request, response) => {
      if (request.headers.authorization !== `Bearer ${token}`) {
        response.writeHead(403).end('go away')
        return
      }
      const target = new URL(request.url ?? '/', prometheus.url)
      request.pipe(forward(target, { method: request.method, headers: request.headers }, (answer) => answer.pipe(response.writeHead(answer.statusCode ?? 500, answer.headers))))
    })
    const bearerTokenFile = join(await temporaryDirectory(), 'token')
    await writeFile(bearerTokenFile, 'first\n')
    const api = createPrometheusApi({ url, bearerTokenFile })
    expect(await api.dataDirectory()).toBe(prometheus.dataDir)
    token = 'second'
    await expect(api.flags()).rejects.toMatchObject({ code: 'PROMETHEUS_UNAUTHORIZED' })
    await writeFile(bearerTokenFile, 'second\n')
    expect(await api.takeSnapshot({ skipHead: false })).toMatch(/^\d{8}T/)
    expect(await api.remoteRead({ matchers: [{ type: '=', name: '__name__', value: 'up' }], startMs: 0, endMs: Date.now() })).toEqual([])
  })
})
