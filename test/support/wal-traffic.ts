import type { FloatHistogram, IntegerHistogram } from '../../src/tsdb/wal/histogram.ts'
import { runProgram } from '../../src/system/process.ts'
import { isAtLeast, parsePrometheusVersion, type PrometheusVersion } from '../../src/domain/prometheus-version.ts'
import { prometheusBinary, startTestPrometheus, type TestPrometheus, type TestPrometheusOptions } from './prometheus.ts'
import { bitsOf, nanBits, staleMarkerBits } from './remote-write.ts'
import { type RichSeries, richRemoteWrite } from './rich-remote-write.ts'
import { type Answers, seriesKey } from './wal-model.ts'

export type ServerCompression = 'none' | 'snappy' | 'zstd'

/** Those that a version can be told to use. */
export function compressionsOf(version: PrometheusVersion): ServerCompression[] {
  return isAtLeast(version, 2, 47) ? ['none', 'snappy', 'zstd'] : ['none', 'snappy']
}

export function compressionFlags(compression: ServerCompression): string[] {
  return { none: ['--no-storage.tsdb.wal-compression'], snappy: [], zstd: ['--storage.tsdb.wal-compression-type=zstd'] }[compression]
}

export async function testedVersion(): Promise<PrometheusVersion> {
  const { stdout, stderr } = await runProgram(prometheusBinary(), ['--version'])
  return parsePrometheusVersion(/version (\S+)/.exec(stdout + stderr)![1]!)!
}

/** A server whose log gets a record of every type that its version writes. */
export function startLoggingServer(compression: ServerCompression, options: TestPrometheusOptions = {}): Promise<TestPrometheus> {
  return startTestPrometheus({
    scrapeItself: false,
    config: { storage: { tsdb: { out_of_order_time_window: '1h' }, exemplars: { max_exemplars: 10_000 } } },
    ...options,
    flags: ['--enable-feature=native-histograms,exemplar-storage,metadata-wal-records', ...compressionFlags(compression), ...(options.flags ?? [])],
  })
}

const specialBits = [staleMarkerBits, nanBits, 0x7ff800000000beefn, bitsOf(Infinity), bitsOf(-Infinity), 1n << 63n, 0n, bitsOf(Number.MIN_VALUE)]

/** `rounds` scrapes of 60 series 10 s apart from `startMs`, in another order each time, some of them with histograms and exemplars. `firstRound` goes on counting. */
export async function writeRounds(url: string, at: { startMs: number; rounds: number; version: PrometheusVersion; firstRound?: number }): Promise<void> {
  const { firstRound = 0 } = at
  for (let round = firstRound; round < firstRound + at.rounds; round++) {
    const timestampMs = at.startMs + (round - firstRound) * 10_000
    const series = Array.from({ length: 60 }, (_, i): RichSeries => {
      const k = (i * 7 + round * 13) % 60
      const valueBits = (k * 31 + round) % 9 === 0 ? specialBits[(k + round) % specialBits.length]! : bitsOf(Math.sin(k * 1000 + round) * 10 ** (k % 20))
      const exemplars = k === 5 ? [{ timestampMs, valueBits: bitsOf(round), labels: { trace_id: `t${round}` } }] : []
      // Times differ within a record, and run backwards from series to series.
      return { labels: { __name__: 'wal_test', series: String(k), text: 'ünïcødé "quoted"' }, samples: [{ timestampMs: timestampMs - (k % 5) * 7, valueBits }], exemplars }
    })
    const kinds = isAtLeast(at.version, 3, 0) ? ['integer', 'float', 'custom'] : ['integer', 'float']
    const histograms = kinds.map((kind): RichSeries => ({ labels: { __name__: 'wal_histogram', kind }, histograms: [{ timestampMs, histogram: histogramOf(kind, round) }] }))
    await richRemoteWrite(url, [...series, ...histograms])
  }
}

/** Samples of a few series, all older than what those have, and so many that chunks of them are mapped to disk. */
export async function writeOutOfOrder(url: string, startMs: number): Promise<void> {
  for (let step = 0; step < 40; step++) {
    const series = [11, 12, 13].map((k): RichSeries => ({
      labels: { __name__: 'wal_test', series: String(k), text: 'ünïcødé "quoted"' },
      samples: [{ timestampMs: startMs + ((step * 3) % 40) * 1000 + k, valueBits: bitsOf(k + step / 10) }],
    }))
    await richRemoteWrite(url, series)
  }
}

export async function deleteSeries(url: string, selector: string, range: { startMs: number; endMs: number }): Promise<void> {
  const query = new URLSearchParams({ 'match[]': selector, start: String(range.startMs / 1000), end: String(range.endMs / 1000) })
  const response = await fetch(`${url}/api/v1/admin/tsdb/delete_series?${query}`, { method: 'POST' })
  if (!response.ok) throw new Error(`delete_series: HTTP ${response.status}: ${await response.text()}`)
}

/** Every float sample the server has, bit for bit. */
export async function answersOf(server: Pick<TestPrometheus, 'api'>, range: { startMs: number; endMs: number }): Promise<Answers> {
  const found = await server.api.remoteRead({ ...range, matchers: [{ type: '=~', name: '__name__', value: 'wal_.*' }] })
  return new Map(found.map(({ labels, samples }) => [seriesKey(labels), new Map(samples.map(({ timestampMs, valueBits }) => [timestampMs, valueBits]))]))
}

/** The histograms up to a moment, as the server prints them. */
export function histogramsOf(server: Pick<TestPrometheus, 'api'>, atMs: number): Promise<string> {
  return server.api.query('wal_histogram[1h]', atMs)
}

export async function exemplarsOf(url: string, range: { startMs: number; endMs: number }): Promise<{ timestampMs: number; text: string }[]> {
  const query = new URLSearchParams({ query: 'wal_test', start: String(range.startMs / 1000), end: String(range.endMs / 1000) })
  const answer = (await (await fetch(`${url}/api/v1/query_exemplars?${query}`)).json()) as { data: { exemplars: { timestamp: number }[] }[] }
  return answer.data.flatMap(({ exemplars }) => exemplars.map((exemplar) => ({ timestampMs: Math.round(exemplar.timestamp * 1000), text: JSON.stringify(exemplar) })))
}

export function histogramOf(kind: string, round: number): IntegerHistogram | FloatHistogram {
  const spans = { positiveSpans: [{ offset: 0, length: 2 }, { offset: 3, length: 1 }], negativeSpans: [{ offset: -2, length: 1 }] }
  const shape = { counterResetHint: 0, schema: 1, zeroThresholdBits: bitsOf(0.001), sumBits: bitsOf(round * 1.5), ...spans, customValueBits: [] }
  // Buckets round + 1, round + 3, round + 2 and one negative of 4, with 1 in the zero bucket.
  const count = 3 * round + 11
  if (kind === 'float') {
    const positiveBucketBits = [round + 1, round + 3, round + 2].map(bitsOf)
    return { kind: 'float', ...shape, zeroCountBits: bitsOf(1), countBits: bitsOf(count), positiveBucketBits, negativeBucketBits: [bitsOf(4)] }
  }
  const integer = { kind: 'integer' as const, ...shape, zeroCount: 1n, count: BigInt(count), positiveBuckets: [BigInt(round + 1), 2n, -1n], negativeBuckets: [4n] }
  if (kind !== 'custom') return integer
  const bounds = [0.5, 1, 2.5, 10, 100].map(bitsOf)
  return { ...integer, schema: -53, zeroThresholdBits: 0n, zeroCount: 0n, count: BigInt(3 * round + 6), positiveSpans: [{ offset: 0, length: 3 }], negativeSpans: [], negativeBuckets: [], customValueBits: bounds }
}
