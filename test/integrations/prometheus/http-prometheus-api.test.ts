import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { createPrometheusApi } from '../../../src/integrations/prometheus/http-prometheus-api.ts'
import { startPrometheus } from '../../../src/integrations/prometheus/prometheus-server.ts'
import { atEndOfFile, temporaryDirectory } from '../../support/cleanup.ts'
import { missingPrograms, prometheusBinary, remoteWrite, startTestPrometheus, type TestPrometheus } from '../../support/prometheus.ts'

const hour = 3_600_000
const day = 24 * hour
const base = Math.floor(Date.now() / 60_000) * 60_000 - 10 * 60_000

describe.skipIf(missingPrograms('prometheus'))('the API of a running server', () => {
  let prometheus: TestPrometheus
  beforeAll(async () => {
    prometheus = await startTestPrometheus({
      scrapeItself: false,
      retention: '20d',
      flags: ['--storage.tsdb.retention.size=1536MB'],
      externalLabels: { replica: 'a', datacenter: '42' },
    })
    const series = (shelf: string, values: number[]) => ({
      labels: { __name__: 'stock', shelf },
      samples: values.map((value, index) => ({ timestampMs: base + index * 60_000, value })),
    })
    await remoteWrite(prometheus.url, [series('tea', [1, 2, 3]), series('co"ff\\ee\n', [0.1, 0.2, Number.NaN])])
  })
  const range = { startMs: base - hour, endMs: base + hour }

  it('tells its flags, version and how it runs', async () => {
    const { api } = prometheus
    expect(await api.flags()).toMatchObject({ 'web.enable-admin-api': 'true', 'config.file': prometheus.configFile })
    expect(await api.buildInfo()).toMatchObject({ version: expect.stringMatching(/^\d+\.\d+\.\d+/), goVersion: expect.stringMatching(/^go/) })
    const runtime = await api.runtimeInfo()
    expect(runtime).toMatchObject({ cwd: process.cwd(), reloadConfigSuccess: true, corruptionCount: 0 })
    expect(Math.abs(runtime.startTime.getTime() - Date.now())).toBeLessThan(60_000)
  })

  it('tells its external labels as text, whatever YAML makes of them', async () => {
    const { externalLabels, yaml } = await prometheus.api.config()
    expect(externalLabels).toEqual({ replica: 'a', datacenter: '42' })
    expect(yaml).toContain('external_labels:')
  })

  it('tells what it deletes and how it cuts blocks', async () => {
    const { api } = prometheus
    expect(await api.retention()).toEqual({ timeMs: 20 * day, sizeBytes: 1536 * 2 ** 20 })
    expect(await api.minBlockDurationMs()).toBe(2 * hour)
    expect(await api.maxBlockDurationMs()).toBe(2 * day)
  })

  it('tells the range of its head', async () => {
    expect(await prometheus.api.tsdbStatus()).toMatchObject({ numSeries: 2, headMinTime: base, headMaxTime: base + 120_000 })
  })

  it('tells nothing of an empty head rather than the ends of int64', async () => {
    const empty = await startTestPrometheus({ scrapeItself: false })
    expect(await empty.api.tsdbStatus()).toEqual({ numSeries: 0, chunkCount: 0, headMinTime: undefined, headMaxTime: undefined })
  })

  it('resolves a relative data directory with its working directory', async () => {
    expect(await prometheus.api.dataDirectory()).toBe(prometheus.dataDir)
    const cwd = await temporaryDirectory()
    const options = { binary: prometheusBinary(), cwd, config: { text: 'global: {}\n' }, logFile: join(cwd, 'log') }
    const relative = await startPrometheus({ ...options, dataDir: 'some/data' })
    atEndOfFile(() => relative.kill())
    expect(await relative.api.dataDirectory()).toBe(join(cwd, 'some/data'))
  })

  it('is ready, has nothing to replay, and has the time', async () => {
    const { api } = prometheus
    expect(await api.isReady()).toBe(true)
    expect(await api.walReplay()).toEqual({ min: 0, max: 0, current: 0 })
    const time = await api.serverTime()
    expect(Math.abs(time.offsetMs)).toBeLessThanOrEqual(time.uncertaintyMs)
    expect(time.uncertaintyMs).toBeLessThan(2000)
  })

  it('measures how far a clock is off', async () => {
    const clock = { now: () => new Date(Date.now() - 90_000), monotonicMs: () => performance.now(), sleep: async () => {} }
    const { offsetMs, uncertaintyMs } = await createPrometheusApi({ url: prometheus.url }, { clock }).serverTime()
    expect(Math.abs(offsetMs - 90_000)).toBeLessThanOrEqual(uncertaintyMs)
  })

  it('takes a snapshot that is then on the disk, with and without the head', async () => {
    const { api, dataDir } = prometheus
    const name = await api.takeSnapshot({ skipHead: false })
    expect(await readdir(join(dataDir, 'snapshots', name))).toHaveLength(1)
    const without = await api.takeSnapshot({ skipHead: true })
    expect(await readdir(join(dataDir, 'snapshots', without))).toEqual([])
  })

  it('answers a query as text that does not depend on the order of series', async () => {
    const { api } = prometheus
    const answer = await api.query('stock', base + 60_000)
    expect(answer).toContain('"value":[' + String((base + 60_000) / 1000))
    const other = await api.query('sort_desc(stock)', base + 60_000)
    expect(await api.query('sort(stock)', base + 60_000)).toBe(other)
    expect(await api.query('sum(stock)', base)).toContain('"1.1"')
    expect(await api.query('stock{shelf="tea"}', base)).not.toBe(await api.query('stock{shelf="tea"}', base + 60_000))
    expect(await api.query('stock[5m]', base + 120_000)).toContain('"NaN"')
    expect(await api.query('vector(1) or stock', 0)).toMatch(/^\{"result":\[.*\],"resultType":"vector"\}$/)
    expect(await api.query('3', base)).toBe(`{"result":[${base / 1000},"3"],"resultType":"scalar"}`)
  })

  it('says what is wrong with a query', async () => {
    await expect(prometheus.api.query('sum(', base)).rejects.toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE', message: expect.stringContaining('parse error') })
  })

  it('lists label values and series, in the range and matching, with labels that need escapes', async () => {
    const { api } = prometheus
    expect(await api.labelValues('__name__', range)).toEqual(['stock'])
    expect(await api.labelValues('shelf', range)).toEqual(['co"ff\\ee\n', 'tea'])
    expect(await api.labelValues('shelf', { ...range, match: [{ type: '=', name: '__name__', value: 'stock' }, { type: '!=', name: 'shelf', value: 'co"ff\\ee\n' }] })).toEqual(['tea'])
    expect(await api.series([{ type: '=', name: 'shelf', value: 'co"ff\\ee\n' }], range)).toEqual([{ __name__: 'stock', shelf: 'co"ff\\ee\n' }])
    expect(await api.series([{ type: '=~', name: 'shelf', value: 't.*' }], range)).toHaveLength(1)
    expect(await api.series([{ type: '=', name: '__name__', value: 'stock' }], { startMs: base - 2 * hour, endMs: base - hour })).toEqual([])
  })

  it('bounds what it reads', async () => {
    const small = createPrometheusApi({ url: prometheus.url }, { maxResponseBytes: 100 })
    await expect(small.series([{ type: '=', name: '__name__', value: 'stock' }], range)).rejects.toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE' })
    await expect(small.flags()).rejects.toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE', message: expect.stringContaining('more than 100 bytes') })
  })

  it('answers below a path prefix', async () => {
    const prefixed = await startTestPrometheus({ routePrefix: '/metrics/store', scrapeItself: false })
    expect(prefixed.url).toMatch(/\/metrics\/store$/)
    expect(await createPrometheusApi({ url: `${prefixed.url}/` }).isReady()).toBe(true)
    expect(await prefixed.api.dataDirectory()).toBe(prefixed.dataDir)
  })
})
