import { type RecordSummary, scanRecord } from '../../src/tsdb/wal/scan-record.ts'
import { decodeRecord, encodeRecord, type WalRecord } from '../../src/tsdb/wal/record-codec.ts'
import { readSegment } from '../../src/tsdb/wal/read-segment.ts'
import { defaultSegmentBytes } from '../../src/tsdb/wal/format.ts'
import { SegmentFrames } from '../../src/tsdb/wal/segment-frames.ts'
import type { WalSegmentFile } from '../../src/tsdb/wal/wal-directory.ts'

export interface LoggedRecord {
  content: Uint8Array
  record: WalRecord
  summary: RecordSummary
}

/** What a server that replays the log answers: time to bits, by series in the form of `seriesKey`. */
export type Answers = Map<string, Map<number, bigint>>

export interface ReadLog {
  records: LoggedRecord[]
  /** Each segment framed again from its stored records. */
  reframed: Buffer[]
  compressions: Set<string>
}

/** Reads whole segments, decoding every record in every way there is. */
export async function readLog(segments: readonly WalSegmentFile[]): Promise<ReadLog> {
  const log: ReadLog = { records: [], reframed: [], compressions: new Set() }
  for (const { path } of segments) {
    const frames = new SegmentFrames(defaultSegmentBytes * 2)
    const pieces: Uint8Array[] = []
    await readSegment(path, {}, (framed) => {
      for (const one of framed) {
        const content = Uint8Array.from(one.content())
        log.records.push({ content, record: decodeRecord(content, one), summary: scanRecord(content, one) })
        log.compressions.add(one.compression)
        pieces.push(frames.frame({ compression: one.compression, bytes: Uint8Array.from(one.stored) }))
      }
    })
    log.reframed.push(Buffer.concat(pieces))
  }
  return log
}

/** The float samples that Prometheus's replay makes of a WAL and a WBL: a WAL sample not newer than its series' newest is refused. */
export function replay(wal: readonly LoggedRecord[], wbl: readonly LoggedRecord[] = []): Answers {
  const keys = new Map<number, string>()
  const newest = new Map<string, number>()
  const answers: Answers = new Map()
  const store = (key: string, timestampMs: number, valueBits: bigint) => {
    const series = answers.get(key) ?? new Map<number, bigint>()
    answers.set(key, series.set(timestampMs, valueBits))
  }
  for (const { record } of wal) {
    if (record.type === 'series') for (const { ref, labels } of record.series) keys.set(ref, seriesKey(Object.fromEntries(labels)))
    if (record.type === 'samples' || record.type === 'samplesV2') {
      for (const { ref, timestampMs, valueBits } of record.samples) {
        const key = keys.get(ref)!
        if (timestampMs <= (newest.get(key) ?? -Infinity)) continue
        newest.set(key, timestampMs)
        store(key, timestampMs, valueBits)
      }
    }
    if (record.type === 'tombstones') {
      for (const { ref, mint, maxt } of record.tombstones) {
        const series = answers.get(keys.get(ref)!) ?? new Map()
        for (const timestampMs of [...series.keys()]) if (timestampMs >= mint && timestampMs <= maxt) series.delete(timestampMs)
      }
    }
  }
  for (const { record } of wbl) if (record.type === 'samples' || record.type === 'samplesV2') for (const { ref, timestampMs, valueBits } of record.samples) store(keys.get(ref)!, timestampMs, valueBits)
  return answers
}

export function seriesKey(labels: Record<string, string>): string {
  return JSON.stringify(Object.entries(labels).sort(([left], [right]) => (left < right ? -1 : 1)))
}

/** Beside them a server logs what it scrapes. */
const testedSeries = '["__name__","wal_'

/** The refs of the series with these labels. */
export function refsOf(records: readonly LoggedRecord[], labels: Record<string, string>): Set<number> {
  const wanted = seriesKey(labels)
  return new Set(records.flatMap(({ record }) => (record.type === 'series' ? record.series.filter((one) => seriesKey(Object.fromEntries(one.labels)) === wanted).map(({ ref }) => ref) : [])))
}

/** As text, to compare: the tested series only, sorted, without empty series, a negative zero as remote read gives it. */
export function answersText(answers: Answers, untilMs = Infinity): string {
  const lines: string[] = []
  for (const [key, series] of answers) {
    if (!key.includes(testedSeries)) continue
    const samples = [...series].filter(([timestampMs]) => timestampMs <= untilMs).sort(([left], [right]) => left - right)
    if (samples.length > 0) lines.push(`${key} ${samples.map(([timestampMs, bits]) => `${timestampMs}:${bits === 1n << 63n ? '0' : bits.toString(16)}`).join(' ')}`)
  }
  return lines.sort().join('\n')
}

/** The records whose encoding is not the one that Prometheus wrote; none are expected. */
export function encodedOtherwise(records: readonly LoggedRecord[]): LoggedRecord[] {
  return records.filter(({ content, record }) => Buffer.compare(encodeRecord(record), content) !== 0)
}
