import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { atEndOfFile } from './cleanup.ts'

export interface ExportedSeries {
  name: string
  labels?: Record<string, string>
  /** The value at a time, so that a test can compute what must have been stored. NaN and infinities are fine. */
  valueAt: (timestampMs: number) => number
  /** How much earlier than now the value is for; only where timestamps are served. */
  lateMs?: number
}

/** What is served, or what it is at a time. */
export type Exported = readonly ExportedSeries[] | ((nowMs: number) => readonly ExportedSeries[])

export interface Exporter {
  /** `host:port`, for `targets`. */
  target: string
  /** Every timestamp that was served, in order. */
  served: number[]
  /** Changes what is served from the next scrape on; a series that goes missing gets a stale marker (`scrape` timestamps only). */
  serve(series: Exported): void
  close(): Promise<void>
}

/** How much of what was served is served again below `/twin`: several scrapes of it may fail. */
const twinMs = 20_000

/**
 * A deterministic exporter. With `timestamps: 'explicit'` (the default) it says which time each value is for, so that every
 * stored sample is `valueAt(timestamp)` of a time in `served`; Prometheus writes no stale markers for such series.
 * With `'scrape'` Prometheus sets the time. Below `/twin` a second server gets, whenever it asks, all that the first one was served, with
 * the same timestamps. Closed at the end of the test file.
 */
export async function startExporter(series: Exported, options: { timestamps?: 'explicit' | 'scrape' } = {}): Promise<Exporter> {
  const explicit = options.timestamps !== 'scrape'
  const served: number[] = []
  const bodies: { atMs: number; body: string }[] = []
  let current = series
  const server = createServer(({ url }, response) => {
    const nowMs = Date.now()
    response.setHeader('content-type', 'text/plain; version=0.0.4')
    if (url === '/twin') return void response.end(bodies.filter(({ atMs }) => atMs > nowMs - twinMs).map(({ body }) => body).join(''))
    const lines = (typeof current === 'function' ? current(nowMs) : current).map((one) => {
      const timestampMs = nowMs - (one.lateMs ?? 0)
      return `${lineOf(one, timestampMs)}${explicit ? ` ${timestampMs}` : ''}\n`
    })
    const body = lines.join('')
    served.push(nowMs)
    if (explicit) bodies.push({ atMs: nowMs, body })
    response.end(body)
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
