import protobuf from 'protobufjs/minimal.js'
import { compress } from 'snappy'
import { createHttpClient } from '../../src/system/http-client.ts'

export interface WrittenSeries {
  /** With `__name__`. */
  labels: Record<string, string>
  /** In time order. `valueBits` writes any NaN exactly: 0x7ff0000000000002n is the stale marker. */
  samples: readonly ({ timestampMs: number; value: number } | { timestampMs: number; valueBits: bigint })[]
}

export const staleMarkerBits = 0x7ff0000000000002n
export const nanBits = 0x7ff8000000000001n

/** The bits of a double. */
export function bitsOf(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  return view.getBigUint64(0)
}

const client = createHttpClient({ failures: { service: 'the remote write receiver', unreachable: 'PROMETHEUS_UNREACHABLE', badResponse: 'PROMETHEUS_BAD_RESPONSE', unreachableHint: 'is it running?' } })

/**
 * Stores samples through the remote write receiver (`flags: ['--web.enable-remote-write-receiver']`, on by default in
 * `startTestPrometheus`). Samples need only be in order within a series: with the times of a simulated clock that runs from
 * days ago to now, the head compacts and real blocks appear at ingestion speed (call `write` once per simulated minute or so).
 * Samples too old for the head are refused by the server, and so here.
 */
export async function remoteWrite(url: string, series: readonly WrittenSeries[]): Promise<void> {
  const writer = protobuf.Writer.create()
  for (const one of series) {
    writer.uint32(10).fork()
    for (const [name, value] of Object.entries(one.labels).sort(([left], [right]) => (left < right ? -1 : 1))) {
      writer.uint32(10).fork().uint32(10).string(name).uint32(18).string(value).ldelim()
    }
    for (const sample of one.samples) {
      const bits = 'valueBits' in sample ? sample.valueBits : bitsOf(sample.value)
      writer.uint32(18).fork().uint32(9).fixed32(Number(bits & 0xffffffffn)).fixed32(Number(bits >> 32n)).uint32(16).int64(sample.timestampMs).ldelim()
    }
    writer.ldelim()
  }
  const response = await client.request({
    method: 'POST',
    url: `${url}/api/v1/write`,
    body: await compress(Buffer.from(writer.finish())),
    headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy', 'x-prometheus-remote-write-version': '0.1.0' },
  })
  if (response.status >= 300) throw new Error(`remote write: HTTP ${response.status}: ${response.body.toString('utf8', 0, 500)}`)
}
