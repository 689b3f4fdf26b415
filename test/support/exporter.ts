import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { atEndOfFile } from './cleanup.ts'

export interface ExportedSeries {
  name: string
  labels?: Record<string, string>
  /** The value at a time, so that a test can compute what must have been stored. NaN and infinities are fine. */
  valueAt: (timestampMs: number) => number
}

export interface Exporter {
  /** `host:port`, for `targets`. */
  target: string
  /** Every timestamp that was served, in order. */
  served: number[]
  /** Changes what is served from the next scrape on; a series that goes missing gets a stale marker (`scrape` timestamps only). */
  serve(series: readonly ExportedSeries[]): void
  close(): Promise<void>
}

/**
 * A deterministic exporter. With `timestamps: 'explicit'` (the default) it says which time each value is for, so that every
 * stored sample is `valueAt(timestamp)` of a time in `served`; Prometheus writes no stale markers for such series.
 * With `'scrape'` Prometheus sets the time. Closed at the end of the test file.
 */
export async function startExporter(series: readonly ExportedSeries[], options: { timestamps?: 'explicit' | 'scrape' } = {}): Promise<Exporter> {
  const explicit = options.timestamps !== 'scrape'
  const served: number[] = []
  let current = series
  const server = createServer((_request, response) => {
    const nowMs = Date.now()
    served.push(nowMs)
    response.setHeader('content-type', 'text/plain; version=0.0.4')
    response.end(current.map((one) => `${lineOf(one, nowMs)}${explicit ? ` ${nowMs}` : ''}\n`).join(''))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  atEndOfFile(close)
  return { target: `127.0.0.1:${(server.address() as AddressInfo).port}`, served, serve: (next) => void (current = next), close }
}

function lineOf({ name, labels = {}, valueAt }: ExportedSeries, timestampMs: number): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`)
  return `${name}{${pairs.join(',')}} ${expositionValue(valueAt(timestampMs))}`
}

function expositionValue(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value)
}
