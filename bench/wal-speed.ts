/**
 * How fast write-ahead logs are read and written on one core, in MB/s of decoded records:
 *   npx tsx bench/wal-speed.ts [segment file of a real server…]
 * Without files, it makes a log as scrapes do: records of 500 samples, 100,000 series, values of counters and gauges.
 */
import { readFile } from 'node:fs/promises'
import { RecordCutter } from '../src/tsdb/wal/cut-record.ts'
import { compress } from '../src/tsdb/wal/compression.ts'
import { type Compression, defaultSegmentBytes } from '../src/tsdb/wal/format.ts'
import type { FramedRecord } from '../src/tsdb/wal/framed-record.ts'
import { decodeRecord, encodeRecord } from '../src/tsdb/wal/record-codec.ts'
import { scanRecord } from '../src/tsdb/wal/scan-record.ts'
import { SegmentFrames } from '../src/tsdb/wal/segment-frames.ts'
import { SegmentReader } from '../src/tsdb/wal/segment-reader.ts'

const chunkBytes = 1024 * 1024
const recordsMade = 24_000
const samplesARecord = 500
const series = 100_000

function makeRecords(): Uint8Array[] {
  const records: Uint8Array[] = []
  const view = new DataView(new ArrayBuffer(8))
  for (let i = 0; i < recordsMade; i++) {
    const timestampMs = 1_700_000_000_000 + Math.floor((i * samplesARecord) / series) * 15_000 + (i % 200) * 71
    const samples = Array.from({ length: samplesARecord }, (_, k) => {
      const ref = 1 + ((i * samplesARecord + k) % series)
      view.setFloat64(0, k % 3 === 0 ? Math.sin(i + k) * 100 : Math.floor(i * (k + 1) * 3.7))
      return { ref, timestampMs, startTimestampMs: 0, valueBits: view.getBigUint64(0) }
    })
    records.push(encodeRecord({ type: 'samples', samples }))
  }
  return records
}

function segmentOf(records: Uint8Array[], compression: Compression): Buffer {
  const frames = new SegmentFrames(defaultSegmentBytes * 8)
  const pieces: Uint8Array[] = []
  for (const record of records) {
    const packed = compress(compression, record)
    pieces.push(frames.frame(packed === undefined ? { compression: 'none', bytes: record } : { compression, bytes: packed }))
  }
  return Buffer.concat([...pieces, frames.padding()])
}

function measure(what: string, segment: Buffer, use: (record: FramedRecord) => number): void {
  const startMs = performance.now()
  const reader = new SegmentReader('segment')
  let decodedBytes = 0
  let entries = 0
  for (let at = 0; at < segment.length; at += chunkBytes) {
    reader.push(segment.subarray(at, at + chunkBytes), (record) => {
      entries += use(record)
      decodedBytes += record.content().length
    })
  }
  const seconds = (performance.now() - startMs) / 1000
  const perSecond = (bytes: number) => `${(bytes / 1e6 / seconds).toFixed(0).padStart(5)} MB/s`
  console.log(`${what.padEnd(34)} ${perSecond(decodedBytes)} decoded  ${perSecond(segment.length)} stored  ${(entries / 1e6 / seconds).toFixed(1).padStart(5)} M samples/s  128 MiB segment: ${((defaultSegmentBytes / segment.length) * seconds).toFixed(2)} s`)
}

function measureAll(name: string, segment: Buffer): void {
  let [min, max] = [Infinity, -Infinity]
  measure(`${name}: frames, checksums, unpacked`, segment, (record) => (record.content(), 0))
  measure(`${name}: times only`, segment, (record) => {
    const summary = scanRecord(record.content(), record)
    min = Math.min(min, summary.minTimestampMs ?? min)
    max = Math.max(max, summary.maxTimestampMs ?? max)
    return summary.entries
  })
  measure(`${name}: every sample`, segment, (record) => {
    const decoded = decodeRecord(record.content(), record)
    return decoded.type === 'samples' ? decoded.samples.length : 0
  })
  const cutter = new RecordCutter({ atMs: (min + max) / 2, tombstone: (tombstone) => tombstone, unknown: 'keep', mmapMarkers: 'drop' })
  measure(`${name}: cut in the middle`, segment, (record) => (cutter.cut(record.content(), record), 0))
}

const files = process.argv.slice(2)
for (const file of files) measureAll(file.slice(-20), await readFile(file))
if (files.length === 0) {
  const startMs = performance.now()
  const records = makeRecords()
  const totalBytes = records.reduce((sum, record) => sum + record.length, 0)
  console.log(`encoded ${records.length} records, ${(totalBytes / 1e6).toFixed(0)} MB, at ${(totalBytes / 1e3 / (performance.now() - startMs)).toFixed(0)} MB/s (making the samples included)`)
  for (const compression of ['none', 'snappy'] as const) {
    const startMs = performance.now()
    const segment = segmentOf(records, compression)
    console.log(`${compression}: framed at ${(totalBytes / 1e3 / (performance.now() - startMs)).toFixed(0)} MB/s into ${(segment.length / 1e6).toFixed(0)} MB`)
    measureAll(compression, segment)
  }
}
