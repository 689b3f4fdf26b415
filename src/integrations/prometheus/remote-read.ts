import protobuf from 'protobufjs/minimal.js'
import { compress, uncompress } from 'snappy'
import type { BitSample } from '../../domain/known-answers.ts'
import { PromDrError } from '../../errors.ts'
import type { LabelMatcher, RawSeries, TimeRange } from './prometheus-api.ts'

/*
 * Remote read as prompb/remote.proto and prompb/types.proto of Prometheus define it (response type SAMPLES):
 *   ReadRequest {repeated Query queries = 1}
 *   Query {int64 start_timestamp_ms = 1; int64 end_timestamp_ms = 2; repeated LabelMatcher matchers = 3}
 *   LabelMatcher {Type type = 1 (EQ, NEQ, RE, NRE); string name = 2; string value = 3}
 *   ReadResponse {repeated QueryResult results = 1}; QueryResult {repeated TimeSeries timeseries = 1}
 *   TimeSeries {repeated Label labels = 1; repeated Sample samples = 2; repeated Histogram histograms = 4}
 *   Label {string name = 1; string value = 2}; Sample {double value = 1; int64 timestamp = 2}
 * Requests and answers are snappy blocks.
 */
const matcherTypes = ['=', '!=', '=~', '!~']
type Reader = InstanceType<typeof protobuf.Reader>

export const remoteReadHeaders = {
  'content-type': 'application/x-protobuf',
  'content-encoding': 'snappy',
  'x-prometheus-remote-read-version': '0.1.0',
}

export async function encodeReadRequest(matchers: readonly LabelMatcher[], range: TimeRange): Promise<Buffer> {
  const writer = protobuf.Writer.create()
  writer.uint32(tag(1, 2)).fork()
  writer.uint32(tag(1, 0)).int64(range.startMs).uint32(tag(2, 0)).int64(range.endMs)
  for (const { type, name, value } of matchers) {
    writer.uint32(tag(3, 2)).fork()
    writer.uint32(tag(1, 0)).uint32(matcherTypes.indexOf(type)).uint32(tag(2, 2)).string(name).uint32(tag(3, 2)).string(value)
    writer.ldelim()
  }
  return compress(Buffer.from(writer.ldelim().finish()))
}

/** @throws PROMETHEUS_BAD_RESPONSE for bytes that are no answer, or would be more than `maxBytes` when unpacked */
export async function decodeReadResponse(body: Buffer, maxBytes: number): Promise<RawSeries[]> {
  try {
    const unpackedBytes = protobuf.Reader.create(body).uint32()
    if (unpackedBytes > maxBytes) throw new RangeError(`it unpacks to ${unpackedBytes} bytes, more than the ${maxBytes} allowed`)
    const unpacked = body.byteLength === 0 ? Buffer.alloc(0) : ((await uncompress(body)) as Buffer)
    const found: RawSeries[] = []
    eachField(protobuf.Reader.create(unpacked), {
      1: (results) => eachField(results, { 1: (series) => void found.push(readSeries(series)) }),
    })
    return found
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `the answer to a remote read cannot be used: ${why}`, { hint: 'ask for fewer series or a shorter range', cause: error })
  }
}

function readSeries(reader: Reader): RawSeries {
  const labels: Record<string, string> = {}
  const samples: BitSample[] = []
  let histogramSamples = 0
  eachField(reader, {
    1: (label) => {
      let name = ''
      let value = ''
      eachField(label, { 1: (_, text) => (name = text()), 2: (_, text) => (value = text()) })
      Object.defineProperty(labels, name, { value, enumerable: true, configurable: true, writable: true })
    },
    2: (sample) => void samples.push(readSample(sample)),
    4: () => (histogramSamples += 1),
  })
  return { labels, samples, histogramSamples }
}

/** The double is read as two halves, so that no NaN passes through a JavaScript number. */
function readSample(reader: Reader): BitSample {
  let valueBits = 0n
  let timestampMs = 0
  while (reader.pos < reader.len) {
    const key = reader.uint32()
    if (key === tag(1, 1)) {
      const low = reader.fixed32()
      valueBits = (BigInt(reader.fixed32()) << 32n) | BigInt(low)
    } else if (key === tag(2, 0)) {
      timestampMs = Number(reader.int64())
    } else reader.skipType(key & 7)
  }
  return { timestampMs, valueBits }
}

type FieldReader = (message: Reader, text: () => string) => void

/** Calls the reader of each length-delimited field, on the bytes of that field alone; other fields are skipped. */
function eachField(reader: Reader, fields: Record<number, FieldReader>): void {
  while (reader.pos < reader.len) {
    const key = reader.uint32()
    const read = (key & 7) === 2 ? fields[key >>> 3] : undefined
    if (read === undefined) reader.skipType(key & 7)
    else {
      const bytes = reader.bytes()
      read(protobuf.Reader.create(bytes), () => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'))
    }
  }
}

function tag(field: number, wireType: number): number {
  return (field << 3) | wireType
}
