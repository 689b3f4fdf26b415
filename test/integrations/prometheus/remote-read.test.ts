import { compressSync } from 'snappy'
import { beforeAll, describe, expect, it } from 'vitest'
import { createPrometheusApi } from '../../../src/integrations/prometheus/http-prometheus-api.ts'
import type { LabelMatcher } from '../../../src/integrations/prometheus/prometheus-api.ts'
import { decodeReadResponse } from '../../../src/integrations/prometheus/remote-read.ts'
import { withExternalLabels } from '../../../src/domain/external-labels.ts'
import { startHttpServer } from '../../support/http-server.ts'
import { missingPrograms, startExporter, startTestPrometheus, type TestPrometheus, waitFor } from '../../support/prometheus.ts'
import { bitsOf, nanBits, remoteWrite, staleMarkerBits } from '../../support/remote-write.ts'

const named = (name: string): LabelMatcher[] => [{ type: '=', name: '__name__', value: name }]
const base = Math.floor(Date.now() / 60_000) * 60_000 - 10 * 60_000
const range = { startMs: base - 3_600_000, endMs: base + 7_200_000 }

describe.skipIf(missingPrograms('prometheus'))('remote read', () => {
  let prometheus: TestPrometheus
  beforeAll(async () => {
    prometheus = await startTestPrometheus({ externalLabels: { replica: 'a' }, scrapeItself: false })
  })

  it('gives back every bit that was written: stale markers, NaNs, infinities', async () => {
    const payloadNan = 0x7ff800000000beefn
    const bits = [bitsOf(1.1), 0n, nanBits, payloadNan, bitsOf(Number.POSITIVE_INFINITY), bitsOf(Number.NEGATIVE_INFINITY), bitsOf(Number.MIN_VALUE), bitsOf(Number.MAX_VALUE), staleMarkerBits]
    const samples = bits.map((valueBits, index) => ({ timestampMs: base + index * 1000, valueBits }))
    await remoteWrite(prometheus.url, [{ labels: { __name__: 'exact' }, samples }])
    expect(await prometheus.api.remoteRead({ ...range, matchers: named('exact') })).toEqual([{ labels: { __name__: 'exact', replica: 'a' }, samples, histogramSamples: 0 }])
  })

  it('loses the sign of a negative zero, as the server does', async () => {
    await remoteWrite(prometheus.url, [{ labels: { __name__: 'zero' }, samples: [{ timestampMs: base, value: -0 }] }])
    expect((await prometheus.api.remoteRead({ ...range, matchers: named('zero') }))[0]?.samples).toEqual([{ timestampMs: base, valueBits: 0n }])
  })

  it('includes both ends of the range, and reads times before 1970', async () => {
    const samples = [0, 1, 2, 3].map((value) => ({ timestampMs: base + value, value }))
    await remoteWrite(prometheus.url, [{ labels: { __name__: 'ends' }, samples }])
    const [series] = await prometheus.api.remoteRead({ matchers: named('ends'), startMs: base + 1, endMs: base + 2 })
    expect(series?.samples.map(({ timestampMs }) => timestampMs)).toEqual([base + 1, base + 2])
    expect(await prometheus.api.remoteRead({ matchers: named('ends'), startMs: -1000, endMs: -1 })).toEqual([])
  })

  it('adds the external labels, which a series of its own label overrides', async () => {
    await remoteWrite(prometheus.url, [
      { labels: { __name__: 'owned', replica: 'z' }, samples: [{ timestampMs: base, value: 1 }] },
      { labels: { __name__: 'owned', job: 'x' }, samples: [{ timestampMs: base, value: 2 }] },
    ])
    const found = await prometheus.api.remoteRead({ ...range, matchers: named('owned') })
    const stored = await prometheus.api.series(named('owned'), range)
    const asRead = stored.map((labels) => withExternalLabels(labels, { replica: 'a' }))
    expect(found.map(({ labels }) => labels)).toEqual(expect.arrayContaining(asRead))
    expect(found).toHaveLength(2)
  })

  it('selects with every kind of matcher', async () => {
    const labels = ['alpha', 'beta', 'gamma'].map((group) => ({ __name__: 'kinds', group }))
    await remoteWrite(prometheus.url, labels.map((one) => ({ labels: one, samples: [{ timestampMs: base, value: 1 }] })))
    const groups = async (type: LabelMatcher['type'], value: string) => {
      const found = await prometheus.api.remoteRead({ ...range, matchers: [...named('kinds'), { type, name: 'group', value }] })
      return found.map((series) => series.labels['group'])
    }
    expect(await groups('=', 'beta')).toEqual(['beta'])
    expect(await groups('!=', 'beta')).toEqual(['alpha', 'gamma'])
    expect(await groups('=~', '.*m.*')).toEqual(['gamma'])
    expect(await groups('!~', '.*m.*')).toEqual(['alpha', 'beta'])
  })

  it('shows what scrapes wrote, the marker of a series that went away included', async () => {
    const exporter = await startExporter([{ name: 'wave', valueAt: (ms) => ms % 1000 }, { name: 'never', valueAt: () => Number.NaN }], { timestamps: 'scrape' })
    const scraping = await startTestPrometheus({ targets: [exporter.target], scrapeItself: false })
    const read = async (name: string) => (await scraping.api.remoteRead({ matchers: named(name), startMs: base, endMs: Date.now() }))[0]?.samples ?? []
    await waitFor(async () => (await read('wave')).length >= 2)
    expect((await read('never')).every(({ valueBits }) => valueBits === nanBits)).toBe(true)
    exporter.serve([])
    const last = await waitFor(async () => (await read('wave')).find(({ valueBits }) => valueBits === staleMarkerBits), { what: 'the stale marker' })
    expect(last.timestampMs).toBe((await read('wave')).at(-1)?.timestampMs)
  })

  it('finds the values of an exporter at exactly the times that it served', async () => {
    const valueAt = (ms: number) => Math.sin(ms)
    const exporter = await startExporter([{ name: 'sine', valueAt }])
    const scraping = await startTestPrometheus({ targets: [exporter.target], scrapeItself: false })
    const samples = await waitFor(async () => {
      const [series] = await scraping.api.remoteRead({ matchers: named('sine'), startMs: base, endMs: Date.now() })
      return (series?.samples.length ?? 0) >= 3 && series?.samples
    })
    expect(samples).toEqual(exporter.served.slice(0, samples.length).map((timestampMs) => ({ timestampMs, valueBits: bitsOf(valueAt(timestampMs)) })))
  })

  it('counts native histograms instead of dropping them in silence', async () => {
    // ReadResponse{results{timeseries{labels{n, v}, histograms{timestamp 1}, histograms{}}}}
    const series = Buffer.from([0x0a, 6, 0x0a, 1, 0x6e, 0x12, 1, 0x76, 0x22, 2, 0x78, 1, 0x22, 0])
    const result = Buffer.concat([Buffer.from([0x0a, series.length]), series])
    const body = compressSync(Buffer.concat([Buffer.from([0x0a, result.length]), result]))
    expect(await decodeReadResponse(body, 1000)).toEqual([{ labels: { n: 'v' }, samples: [], histogramSamples: 2 }])
  })

  it('bounds the answer before it unpacks it', async () => {
    const bomb = compressSync(Buffer.alloc(50_000_000))
    await expect(decodeReadResponse(bomb, 1_000_000)).rejects.toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE', message: expect.stringContaining('unpacks to 50000000 bytes') })
    const url = await startHttpServer((_request, response) => response.setHeader('content-type', 'application/x-protobuf').end(bomb))
    await expect(createPrometheusApi({ url }, { maxResponseBytes: 5_000_000 }).remoteRead({ ...range, matchers: named('x') })).rejects.toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE' })
  })

  it('refuses an answer that is cut short or garbled', async () => {
    const good = compressSync(Buffer.from([0x0a, 4, 0x0a, 2, 0x0a, 0]))
    expect(await decodeReadResponse(good, 1000)).toHaveLength(1)
    for (const body of [good.subarray(0, 3), compressSync(Buffer.from([0x0a, 200, 1])), Buffer.from('<html>'), Buffer.alloc(0)]) {
      await expect(decodeReadResponse(body, 1000)).rejects.toMatchObject({ code: 'PROMETHEUS_BAD_RESPONSE' })
    }
  })
})
