import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createPrometheusApi } from '../../../src/integrations/prometheus/http-prometheus-api.ts'
import type { PrometheusApi, WalReplay } from '../../../src/integrations/prometheus/prometheus-api.ts'
import { startPrometheus } from '../../../src/integrations/prometheus/prometheus-server.ts'
import { freePort } from '../../../src/system/ports.ts'
import { atEndOfFile, temporaryDirectory } from '../../support/cleanup.ts'
import { startHttpServer, startTcpServer } from '../../support/http-server.ts'
import { makePausedReplay } from '../../support/paused-replay.ts'
import { missingPrograms, prometheusBinary, startTestPrometheus, waitFor } from '../../support/prometheus.ts'

const range = { startMs: 0, endMs: 1000, matchers: [{ type: '=' as const, name: '__name__', value: 'up' }] }

/** Every call of the API, so that none forgets a failure. */
const everyCall: Record<string, (api: PrometheusApi) => Promise<unknown>> = {
  flags: (api) => api.flags(),
  runtimeInfo: (api) => api.runtimeInfo(),
  buildInfo: (api) => api.buildInfo(),
  config: (api) => api.config(),
  tsdbStatus: (api) => api.tsdbStatus(),
  dataDirectory: (api) => api.dataDirectory(),
  retention: (api) => api.retention(),
  minBlockDurationMs: (api) => api.minBlockDurationMs(),
  maxBlockDurationMs: (api) => api.maxBlockDurationMs(),
  isReady: (api) => api.isReady(),
  walReplay: (api) => api.walReplay(),
  serverTime: (api) => api.serverTime(),
  takeSnapshot: (api) => api.takeSnapshot({ skipHead: true }),
  query: (api) => api.query('up', 0),
  labelValues: (api) => api.labelValues('job', range),
  series: (api) => api.series(range.matchers, range),
  remoteRead: (api) => api.remoteRead(range),
}
const calls = Object.entries(everyCall)

describe.skipIf(missingPrograms('prometheus', 'mkfifo'))('a real Prometheus', () => {
  it('with its admin API switched off takes no snapshot, and the flag is named', async () => {
    const { api } = await startTestPrometheus({ adminApi: false, scrapeItself: false })
    await expect(api.takeSnapshot({ skipHead: true })).rejects.toMatchObject({ code: 'ADMIN_API_DISABLED', hint: expect.stringContaining('--web.enable-admin-api') })
  })

  it('that replays its WAL says how far it is, and is ready afterwards', async () => {
    const directory = await temporaryDirectory()
    const dataDir = join(directory, 'data')
    const { resume } = await makePausedReplay(dataDir)
    const listen = `127.0.0.1:${await freePort()}`
    const seen: WalReplay[] = []
    const start = startPrometheus({ binary: prometheusBinary(), dataDir, config: { text: 'global: {}\n' }, listen, logFile: join(directory, 'log'), readyTimeoutMs: 40_000, onReplay: (replay) => void seen.push(replay) })
    atEndOfFile(async () => (await start).kill())
    const api = createPrometheusApi({ url: `http://${listen}` })
    await waitFor(async () => (await api.walReplay()).max > 0, { what: 'the replay to start' })
    expect(await api.isReady()).toBe(false)
    for (const call of ['query', 'tsdbStatus', 'labelValues', 'takeSnapshot', 'remoteRead', 'series']) {
      await expect(everyCall[call]!(api), call).rejects.toMatchObject({ code: 'PROMETHEUS_NOT_READY' })
    }
    await expect(api.query('up', 0)).rejects.toMatchObject({ message: expect.stringMatching(/WAL replay is at segment \d+ of \d+/) })
    expect((await api.serverTime()).at).toBeInstanceOf(Date)
    await resume()
    const server = await start
    expect(await server.api.isReady()).toBe(true)
    expect(seen.at(-1)?.max).toBeGreaterThan(0)
  })

  it('that is not ready in time is stopped', async () => {
    const directory = await temporaryDirectory()
    const dataDir = join(directory, 'data')
    await makePausedReplay(dataDir)
    const start = startPrometheus({ binary: prometheusBinary(), dataDir, config: { text: 'global: {}\n' }, logFile: join(directory, 'log'), readyTimeoutMs: 500 })
    await expect(start).rejects.toMatchObject({ code: 'PROMETHEUS_NOT_READY', message: expect.stringContaining('after 500 ms') })
  })
})

describe('no Prometheus at all', () => {
  it.each(calls)('is unreachable for %s', async (_name, call) => {
    const api = createPrometheusApi({ url: `http://me:hunter2@127.0.0.1:${await freePort()}` })
    const error = (await call(api).catch((thrown: unknown) => thrown)) as Error
    expect(error).toMatchObject({ code: 'PROMETHEUS_UNREACHABLE', hint: 'is it running, and is prometheus.url right?' })
    expect(`${error.message} ${api.url}`).not.toContain('hunter2')
  })

  it.each(calls)('is a web page for %s', async (_name, call) => {
    const url = await startHttpServer((_request, response) => response.setHeader('content-type', 'text/html').end('<html>Welcome to nginx!</html>'))
    const outcome = await call(createPrometheusApi({ url })).then((value) => value, (error: unknown) => error)
    // Health is told by the status alone; whoever asks for it goes on to ask for something that a web page does not have.
    if (!['isReady', 'serverTime'].includes(_name)) expect(outcome).toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE', hint: expect.stringContaining('prometheus.url') })
  })

  it.each(calls)('is a 503 page of the proxy in front for %s', async (_name, call) => {
    const url = await startHttpServer((_request, response) => response.writeHead(503, { 'content-type': 'text/html' }).end('<html><body><h1>503 Service Unavailable</h1></body></html>'))
    await expect(call(createPrometheusApi({ url }))).rejects.toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE' })
  })

  it.each(calls)('is a login page elsewhere for %s', async (_name, call) => {
    const url = await startHttpServer((_request, response) => response.writeHead(302, { location: 'https://login.example/' }).end())
    await expect(call(createPrometheusApi({ url }))).rejects.toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE', message: expect.stringContaining('login page') })
  })

  it.each(calls)('is JSON of something else for %s', async (name, call) => {
    const url = await startHttpServer((_request, response) => response.setHeader('content-type', 'application/json').end('{"status":"success","data":[1]}'))
    const outcome = await call(createPrometheusApi({ url })).then((value) => value, (error: unknown) => error)
    if (!['isReady', 'serverTime', 'labelValues', 'series'].includes(name)) expect(outcome).toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE' })
  })

  it.each(calls)('hangs for %s, not for ever', async (_name, call) => {
    const target = await startTcpServer(() => {})
    const api = createPrometheusApi({ url: `http://${target}`, timeoutMs: 5 })
    await expect(call(api)).rejects.toMatchObject({ code: 'PROMETHEUS_UNREACHABLE', message: expect.stringContaining('did not answer within') })
  })

  it('takes no name of a snapshot that would lead elsewhere', async () => {
    for (const name of ['../../etc', '20261121T023615Z-79535be5b4d353f1/..', '', '20261121T023615Z-79535be5b4d353f1\n']) {
      const url = await startHttpServer((_request, response) => response.end(JSON.stringify({ status: 'success', data: { name } })))
      await expect(createPrometheusApi({ url }).takeSnapshot({ skipHead: true })).rejects.toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE' })
    }
  })

  it('asks for a snapshot once, even when the connection breaks', async () => {
    let asked = 0
    const url = await startHttpServer((request, response) => {
      if (request.method !== 'POST') return response.end('{"status":"success","data":{}}')
      asked += 1
      return request.socket.resetAndDestroy()
    })
    const api = createPrometheusApi({ url })
    await api.flags()
    await expect(api.takeSnapshot({ skipHead: true })).rejects.toMatchObject({ code: 'PROMETHEUS_UNREACHABLE' })
    expect(asked).toBe(1)
  })
})
