import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PromDrError } from '../../../src/errors.ts'
import type { PrometheusApi } from '../../../src/integrations/prometheus/prometheus-api.ts'
import { createPrometheusApi } from '../../../src/integrations/prometheus/http-prometheus-api.ts'
import { confirmKnownAnswers, collectKnownAnswers } from '../../../src/operations/answers/known-answers.ts'
import { decodeKnownAnswers } from '../../../src/repository/known-answers-codec.ts'
import { readRecoveryPoints } from '../../../src/repository/recovery-points.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { newestSampleMs } from '../../../src/tsdb/newest-sample.ts'
import { makeBlocks } from '../../support/blocks.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { startHttpProxy } from '../../support/http-proxy.ts'
import { operationsOn } from '../../support/operations.ts'
import { type TestPrometheus, missingPrograms, remoteWrite, startTestPrometheus } from '../../support/prometheus.ts'
import { nanBits, staleMarkerBits } from '../../support/remote-write.ts'

const hourMs = 3_600_000

describe.skipIf(missingPrograms('prometheus', 'promtool'))('known answers of a backup', () => {
  it('hold stale markers and NaNs bit for bit, and a restored server gives the same', async () => {
    const server = await startTestPrometheus({ scrapeItself: false, externalLabels: { replica: 'a' } })
    const startMs = Date.now() - 60_000
    // No -0: Prometheus's protobuf encoder leaves zeros out, whatever their sign.
    const bits = [0n, nanBits, staleMarkerBits, 0x7ff8000000000123n, 0x7ff0000000000000n]
    await remoteWrite(server.url, [{ labels: { __name__: 'odd' }, samples: bits.map((valueBits, n) => ({ timestampMs: startMs + n * 1000, valueBits })) }])
    await remoteWrite(server.url, [{ labels: { __name__: 'later' }, samples: [{ timestampMs: startMs + 50_000, value: 1 }] }])
    const store = createMemoryStore()
    const operations = operationsOn(server.api, store, { settings: { knownAnswers: { series: 10, samplesPerSeries: 100, queries: ['odd', 'count(later)'] } } })
    const { recoveryPoint, warnings } = await operations.backup()
    expect(warnings).toEqual([])
    const [point] = (await readRecoveryPoints(store, 'prom-a')).points
    const answers = await decodeKnownAnswers(point!.knownAnswers)
    expect(answers.series.find(({ labels }) => labels['__name__'] === 'odd')?.samples.map(({ valueBits }) => valueBits)).toEqual(bits)
    expect(recoveryPoint.knownAnswers).toMatchObject({ queries: 2, dropped: 0 })
    expect(recoveryPoint.maxTime).toBe(new Date(startMs + 50_000).toISOString())
    const { answers: asked } = await operations.restore(join(await temporaryDirectory('restored'), 'data'))
    expect(asked).toMatchObject({ equal: true, series: recoveryPoint.knownAnswers.series, queries: 2, differences: [] })
  })

  it('are dropped when they change between the two readings', async () => {
    const server = await startTestPrometheus({ scrapeItself: false })
    const nowMs = Date.now()
    const names = ['kept', 'deleted', 'extended']
    await remoteWrite(server.url, names.map((name) => ({ labels: { __name__: name }, samples: [{ timestampMs: nowMs - 2000, value: 1 }] })))
    const window = { startMs: nowMs - 10_000, endMs: nowMs, series: 3 }
    const { answers } = await collectKnownAnswers(server.api, { seed: 'a', windows: [window], samplesPerSeries: 10, queries: ['kept', 'deleted'], queryAtMs: nowMs, externalLabels: {} })
    expect(answers.series).toHaveLength(3)
    await deleteSeries(server, 'deleted')
    await remoteWrite(server.url, [{ labels: { __name__: 'extended' }, samples: [{ timestampMs: nowMs - 1000, value: 2 }] }])
    const confirmed = await confirmKnownAnswers(server.api, answers, { externalLabels: {}, coveredUntilMs: nowMs })
    expect(confirmed.series.map(({ labels }) => labels['__name__'])).toEqual(['kept'])
    expect(confirmed.queries.map(({ query }) => query)).toEqual(['kept'])
    expect(confirmed.dropped).toBe(3)
    expect(await confirmKnownAnswers(server.api, answers, { externalLabels: {}, coveredUntilMs: nowMs - 1 })).toMatchObject({ series: [], queries: [], dropped: 5 })
  })

  it('are dropped, and a backup is made, where the server hangs up on the question', async () => {
    const server = await startTestPrometheus({ scrapeItself: false })
    await remoteWrite(server.url, [{ labels: { __name__: 'fine' }, samples: [{ timestampMs: Date.now() - 5000, value: 1 }, { timestampMs: Date.now(), value: 1 }] }])
    const proxy = await startHttpProxy(server.url, { loseAnswerTo: (path) => path.startsWith('/api/v1/series') })
    const { recoveryPoint } = await operationsOn(createPrometheusApi({ url: proxy.url }), createMemoryStore()).backup()
    expect(proxy.paths.some((path) => path.startsWith('/api/v1/series'))).toBe(true)
    expect(recoveryPoint.knownAnswers).toMatchObject({ series: 0, dropped: 1 })
    expect(recoveryPoint.samples).toBe(2)
  })

  it('cost a warning, not the backup, where the server refuses a query or all of them', async () => {
    const server = await startTestPrometheus({ scrapeItself: false })
    await remoteWrite(server.url, [{ labels: { __name__: 'fine' }, samples: [{ timestampMs: Date.now() - 5000, value: 1 }, { timestampMs: Date.now(), value: 1 }] }])
    const settings = { knownAnswers: { series: 5, samplesPerSeries: 5, queries: ['sum(', 'fine'] } }
    const { recoveryPoint, warnings } = await operationsOn(server.api, createMemoryStore(), { settings }).backup()
    expect(recoveryPoint.knownAnswers.queries).toBe(1)
    expect(warnings).toEqual([expect.stringMatching(/^no known answers of query "sum\(": .*parse error/s)])
  })

  it('cost a warning, not the backup, where the server is too busy to answer before or after the snapshot, or takes too long for one query', async () => {
    const server = await startTestPrometheus({ scrapeItself: false })
    await remoteWrite(server.url, [{ labels: { __name__: 'fine' }, samples: [{ timestampMs: Date.now() - 5000, value: 1 }, { timestampMs: Date.now(), value: 1 }] }])
    const settings = { knownAnswers: { series: 5, samplesPerSeries: 5, queries: ['fine', 'count(fine)'] } }
    const backupWhere = async (isSlow: (verb: string, query: unknown) => boolean) => {
      const answering = (verb: 'series' | 'remoteRead' | 'query') => (...request: never[]) => {
        if (isSlow(verb, request[0])) return Promise.reject(new PromDrError('PROMETHEUS_UNREACHABLE', 'it did not answer in time'))
        return (server.api[verb] as (...request: never[]) => Promise<never>)(...request)
      }
      const api: PrometheusApi = { ...server.api, series: answering('series'), remoteRead: answering('remoteRead'), query: answering('query') }
      const { recoveryPoint, warnings } = await operationsOn(api, createMemoryStore(), { settings }).backup()
      return { samples: recoveryPoint.samples, known: recoveryPoint.knownAnswers, warnings }
    }
    const warnings = ['no known answers: it did not answer in time']
    expect(await backupWhere((verb) => verb === 'series')).toMatchObject({ samples: 2, known: { series: 0, queries: 0 }, warnings })
    let reads = 0
    expect(await backupWhere((verb) => verb === 'remoteRead' && ++reads > 1)).toMatchObject({ samples: 2, known: { series: 0, queries: 0, dropped: 0 }, warnings })
    expect(await backupWhere((verb, query) => verb === 'query' && query === 'count(fine)')).toMatchObject({ known: { series: 1, queries: 1 }, warnings: ['no known answers of query "count(fine)": it did not answer in time'] })
    let queries = 0
    expect(await backupWhere((verb, query) => verb === 'query' && query === 'count(fine)' && ++queries > 1)).toMatchObject({ known: { series: 1, queries: 1, dropped: 1 }, warnings: [] })
  })

  it('leave out-of-order samples alone that are in memory only, so that a restored server is not blamed', async () => {
    const server = await startTestPrometheus({ scrapeItself: false, config: { storage: { tsdb: { out_of_order_time_window: '30m' } } } })
    const nowMs = Date.now()
    const write = (offsetMs: number, value: number) => remoteWrite(server.url, [{ labels: { __name__: 'shuffled' }, samples: [{ timestampMs: nowMs + offsetMs, value }] }])
    for (const offsetMs of [-40_000, -30_000, -20_000, -1000]) await write(offsetMs, 1)
    const store = createMemoryStore()
    const operations = operationsOn(server.api, store)
    expect((await operations.backup()).recoveryPoint.knownAnswers.series).toBe(1)
    await write(-35_000, 2)
    const { recoveryPoint, warnings } = await operations.backup()
    expect(warnings).toEqual([expect.stringMatching(/^out-of-order ingestion is on/)])
    expect(recoveryPoint.knownAnswers.series).toBe(0)
    const { answers } = await operations.restore(join(await temporaryDirectory('restored'), 'data'))
    expect(answers?.differences ?? []).toEqual([])
  })

  it('are none where there are no samples, and the recovery point claims none', async () => {
    const server = await startTestPrometheus({ scrapeItself: false })
    const operations = operationsOn(server.api, createMemoryStore())
    expect(await operations.backup()).toMatchObject({ recoveryPoint: { maxTime: null, blocks: 0, samples: 0, headIncluded: true, knownAnswers: { series: 0, dropped: 0 } }, warnings: [] })
    expect(await operations.verify({ readData: true })).toMatchObject({ ok: true })
  })
})

describe.skipIf(missingPrograms('prometheus', 'promtool'))('the newest sample of a backup', () => {
  const lastMs = Math.floor(Date.now() / (2 * hourMs) - 2) * 2 * hourMs + 17 * 60_000

  it('is measured where there is no head, and not the rounded end of the newest block', async () => {
    const { dataDir, server } = await serverWithBlocks()
    const operations = operationsOn(server.api, createMemoryStore())
    const { recoveryPoint } = await operations.backup()
    expect(recoveryPoint).toMatchObject({ headIncluded: true, maxTime: new Date(lastMs).toISOString() })
    expect(recoveryPoint.knownAnswers.series).toBeGreaterThan(0)
    const restored = await operations.restore(join(await temporaryDirectory('restored'), 'data'))
    expect(restored).toMatchObject({ recoverableAt: new Date(lastMs).toISOString(), answers: { equal: true } })
    expect(dataDir).toBe(server.dataDir)
  })

  it('is an older one where the newest was deleted', async () => {
    const { server } = await serverWithBlocks()
    await deleteSeries(server, 'prom_dr_test{series="1"}', lastMs - 1)
    const operations = operationsOn(server.api, createMemoryStore())
    expect((await operations.backup()).recoveryPoint.maxTime).toBe(new Date(lastMs).toISOString())
    await deleteSeries(server, 'prom_dr_test', lastMs - 1)
    const claimed = Date.parse((await operations.backup()).recoveryPoint.maxTime ?? '')
    expect(claimed).toBeLessThan(lastMs)
  })

  it('is not believed of a damaged index', async () => {
    const { blocks, remove } = await makeBlocks({ series: 300, samples: 10 })
    const index = join(blocks[0]!.path, 'index')
    const newest = await newestSampleMs(index)
    const bytes = await readFile(index)
    const damaged = join(await temporaryDirectory('index'), 'index')
    let refused = 0
    for (let at = 5; at < bytes.length; at += 97) {
      const copy = Buffer.from(bytes)
      copy[at] = (copy[at] ?? 0) ^ 0xff
      await writeFile(damaged, copy)
      const found = await newestSampleMs(damaged).catch((error: { code: string }) => error)
      if (typeof found === 'object') expect(found).toMatchObject({ code: 'DAMAGED' })
      if (found !== newest) refused += 1
    }
    expect(refused).toBeGreaterThan(0)
    await remove()
  })

  async function serverWithBlocks(): Promise<{ dataDir: string; server: TestPrometheus }> {
    const dataDir = join(await temporaryDirectory('blocks'), 'data')
    await mkdir(dataDir)
    await makeBlocks({ series: 3, samples: 200, startMs: lastMs - 199 * 15_000, dataDir })
    return { dataDir, server: await startTestPrometheus({ dataDir, retention: '10y', scrapeItself: false }) }
  }
})

async function deleteSeries(server: { url: string; api: PrometheusApi }, selector: string, startMs = 0): Promise<void> {
  const parameters = new URLSearchParams({ 'match[]': selector, start: String(startMs / 1000) })
  expect((await fetch(`${server.url}/api/v1/admin/tsdb/delete_series?${parameters}`, { method: 'POST' })).status).toBe(204)
}
