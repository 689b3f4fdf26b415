import { compress } from 'snappy'

/** A series as remote write sends it again and again: its labels are encoded once. */
export interface SimulatedSeries {
  encodedLabels: Buffer
  /** The value at the n-th scrape; called in order of n. */
  next(): number
}

/** @param labels with `__name__`; remote write wants them sorted by name. */
export function encodeLabels(labels: Record<string, string>): Buffer {
  const entries = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))
  return Buffer.concat(entries.map(([name, value]) => lengthDelimited(1, Buffer.concat([lengthDelimited(1, Buffer.from(name)), lengthDelimited(2, Buffer.from(value))]))))
}

const sampleBytes = 18

/**
 * A remote write 1.0 request body (snappy of prometheus.WriteRequest) with `timestamps.length` samples of each series.
 * Timestamps are milliseconds of this century, which take six bytes as varint.
 */
export async function encodeWriteRequest(series: readonly SimulatedSeries[], timestamps: readonly number[]): Promise<Buffer> {
  const times = timestamps.map((time) => encodeVarint(time))
  const headers = series.map((one) => Buffer.concat([Buffer.from([0x0a]), encodeVarint(one.encodedLabels.length + times.length * sampleBytes)]))
  const size = series.reduce((sum, one, index) => sum + headers[index]!.length + one.encodedLabels.length + times.length * sampleBytes, 0)
  const message = Buffer.allocUnsafe(size)
  let offset = 0
  series.forEach((one, index) => {
    offset += headers[index]!.copy(message, offset)
    offset += one.encodedLabels.copy(message, offset)
    for (const time of times) {
      // TimeSeries.samples (field 2) of 16 bytes: Sample.value (field 1, double), Sample.timestamp (field 2, varint).
      message.writeUInt32BE(0x12100900, offset)
      message.writeDoubleLE(one.next(), offset + 3)
      message[offset + 11] = 0x10
      time.copy(message, offset + 12)
      offset += sampleBytes
    }
  })
  return compress(message)
}

/** @throws Error with the server's answer when it does not take the samples. */
export async function sendWriteRequest(url: string, body: Buffer): Promise<void> {
  const response = await fetch(`${url}/api/v1/write`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy', 'x-prometheus-remote-write-version': '0.1.0' },
    body: new Uint8Array(body),
  })
  const answer = await response.text()
  if (!response.ok) throw new Error(`remote write was refused with ${response.status}: ${answer.trim()}`)
}

function lengthDelimited(field: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(field << 3) | 2]), encodeVarint(content.length), content])
}

function encodeVarint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest >= 128) {
    bytes.push((rest % 128) | 128)
    rest = Math.floor(rest / 128)
  }
  return Buffer.from([...bytes, rest])
}
