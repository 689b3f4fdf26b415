import { encodeRecord } from '../src/tsdb/wal/record-codec.ts'
import { WalWriter } from '../src/tsdb/wal/wal-writer.ts'

/** A head of this many series: counters at speeds of their own, as of hosts with 500 metrics each. */
export const headSeries = 100_000
const scrapeIntervalMs = 15_000

/** Writes the log of a server that scraped that often, up to now, into a directory that is not there. */
export async function writeLargeHead(directory: string, scrapes: number): Promise<void> {
  const writer = new WalWriter(directory)
  const range = (from: number, count: number) => Array.from({ length: count }, (_, at) => from + at)
  for (let from = 0; from < headSeries; from += 1000) {
    const series = range(from, 1000).map((n) => ({ ref: n + 1, labels: [['__name__', `metric_${n % 500}`], ['instance', `host-${Math.floor(n / 500)}:9100`], ['job', 'node']] as [string, string][] }))
    await writer.append(encodeRecord({ type: 'series', series }))
  }
  const startMs = Date.now() - scrapes * scrapeIntervalMs
  const value = new DataView(new ArrayBuffer(8))
  for (let round = 0; round < scrapes; round += 1) {
    for (let from = 0; from < headSeries; from += 500) {
      const samples = range(from, 500).map((n) => {
        value.setFloat64(0, Math.floor(n * 3.7 + round * ((n % 7) + 1) * 13))
        return { ref: n + 1, timestampMs: startMs + round * scrapeIntervalMs + (from % 14_000), startTimestampMs: 0, valueBits: value.getBigUint64(0) }
      })
      await writer.append(encodeRecord({ type: 'samples', samples }))
    }
  }
  await writer.close()
}
