import protobuf from 'protobufjs/minimal.js'
import { compress } from 'snappy'
import type { FloatHistogram, IntegerHistogram } from '../../src/tsdb/wal/histogram.ts'

/** What `remoteWrite` does not send: histograms and exemplars beside samples. */
export interface RichSeries {
  /** With `__name__`. */
  labels: Record<string, string>
  samples?: readonly { timestampMs: number; valueBits: bigint }[]
  histograms?: readonly { timestampMs: number; histogram: IntegerHistogram | FloatHistogram }[]
  exemplars?: readonly { timestampMs: number; valueBits: bigint; labels: Record<string, string> }[]
}

type Writer = InstanceType<typeof protobuf.Writer>

/** Remote write 1.0 with native histograms (prompb/types.proto of Prometheus); the server needs the features switched on. */
export async function richRemoteWrite(url: string, series: readonly RichSeries[]): Promise<void> {
  const writer = protobuf.Writer.create()
  for (const one of series) {
    writer.uint32(tag(1, 2)).fork()
    writeLabels(writer, one.labels)
    for (const { timestampMs, valueBits } of one.samples ?? []) {
      writer.uint32(tag(2, 2)).fork()
      bits(writer.uint32(tag(1, 1)), valueBits).uint32(tag(2, 0)).int64(timestampMs).ldelim()
    }
    for (const { timestampMs, valueBits, labels } of one.exemplars ?? []) {
      writer.uint32(tag(3, 2)).fork()
      writeLabels(writer, labels)
      bits(writer.uint32(tag(2, 1)), valueBits).uint32(tag(3, 0)).int64(timestampMs).ldelim()
    }
    for (const { timestampMs, histogram } of one.histograms ?? []) {
      writer.uint32(tag(4, 2)).fork()
      writeHistogram(writer, histogram)
      writer.uint32(tag(15, 0)).int64(timestampMs).ldelim()
    }
    writer.ldelim()
  }
  const response = await fetch(`${url}/api/v1/write`, {
    method: 'POST',
    body: Uint8Array.from(await compress(Buffer.from(writer.finish()))),
    headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy', 'x-prometheus-remote-write-version': '0.1.0' },
  })
  if (response.status >= 300) throw new Error(`remote write: HTTP ${response.status}: ${(await response.text()).slice(0, 500)}`)
}

function writeHistogram(writer: Writer, histogram: IntegerHistogram | FloatHistogram): void {
  if (histogram.kind === 'integer') writer.uint32(tag(1, 0)).uint64(Number(histogram.count))
  else bits(writer.uint32(tag(2, 1)), histogram.countBits)
  bits(writer.uint32(tag(3, 1)), histogram.sumBits)
  writer.uint32(tag(4, 0)).sint32(histogram.schema)
  bits(writer.uint32(tag(5, 1)), histogram.zeroThresholdBits)
  if (histogram.kind === 'integer') writer.uint32(tag(6, 0)).uint64(Number(histogram.zeroCount))
  else bits(writer.uint32(tag(7, 1)), histogram.zeroCountBits)
  const sides = [
    { spans: histogram.negativeSpans, at: 8, buckets: histogram.kind === 'integer' ? histogram.negativeBuckets : histogram.negativeBucketBits },
    { spans: histogram.positiveSpans, at: 11, buckets: histogram.kind === 'integer' ? histogram.positiveBuckets : histogram.positiveBucketBits },
  ]
  for (const { spans, at, buckets } of sides) {
    for (const { offset, length } of spans) writer.uint32(tag(at, 2)).fork().uint32(tag(1, 0)).sint32(offset).uint32(tag(2, 0)).uint32(length).ldelim()
    for (const bucket of buckets) {
      if (histogram.kind === 'integer') writer.uint32(tag(at + 1, 0)).sint64(Number(bucket))
      else bits(writer.uint32(tag(at + 2, 1)), bucket)
    }
  }
  if (histogram.counterResetHint !== 0) writer.uint32(tag(14, 0)).uint32(histogram.counterResetHint)
  for (const bound of histogram.customValueBits) bits(writer.uint32(tag(16, 1)), bound)
}

function writeLabels(writer: Writer, labels: Record<string, string>): void {
  for (const [name, value] of Object.entries(labels).sort(([left], [right]) => (left < right ? -1 : 1))) {
    writer.uint32(tag(1, 2)).fork().uint32(tag(1, 2)).string(name).uint32(tag(2, 2)).string(value).ldelim()
  }
}

function bits(writer: Writer, value: bigint): Writer {
  return writer.fixed32(Number(value & 0xffffffffn)).fixed32(Number(value >> 32n))
}

function tag(field: number, wireType: number): number {
  return (field << 3) | wireType
}
