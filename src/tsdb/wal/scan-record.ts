import { skipExemplarBody } from './exemplars-record.ts'
import { skipHistogram } from './histogram.ts'
import { skipMetadata } from './metadata-record.ts'
import { readMinValidTime } from './min-valid-time-record.ts'
import { skipMmapMarker } from './mmap-markers-record.ts'
import { RecordCursor } from './record-cursor.ts'
import { isTimed, type RecordType, recordTypeOf, type TimedLayout, timedLayouts, type TimedRecordType } from './record-types.ts'
import { skipSeries } from './series-record.ts'
import { TimedEntries } from './timed-entries.ts'
import { skipTombstone } from './tombstones-record.ts'
import type { RecordPosition } from './wal-damage.ts'

/** What a record holds, without its entries. */
export interface RecordSummary {
  type: RecordType | 'unknown' | 'empty'
  /** The record's first byte; undefined when it is empty. */
  code: number | undefined
  /** Samples, series, deletions… 0 for types that are not known. */
  entries: number
  /** Of the samples, histograms or exemplars in it; absent where there are none. Rounded beyond ±2^53. */
  minTimestampMs?: number
  maxTimestampMs?: number
}

/** Sees each sample, histogram or exemplar of a record. */
export type EntryVisitor = (ref: number, timestampMs: number) => void

type SkipEntry = (cursor: RecordCursor) => void

const skipEntry: Partial<Record<RecordType, SkipEntry>> = {
  series: skipSeries,
  tombstones: skipTombstone,
  mmapMarkers: skipMmapMarker,
  metadata: skipMetadata,
}

const skipBody: Record<TimedLayout['body'], SkipEntry> = {
  value: (cursor) => cursor.skip(8),
  exemplar: skipExemplarBody,
  histogram: (cursor) => skipHistogram(cursor, 'integer'),
  floatHistogram: (cursor) => skipHistogram(cursor, 'float'),
}

/**
 * Reads a record to its end without keeping anything of it: it follows the format of its type, and this is what it holds.
 * @throws DAMAGED
 */
export function scanRecord(content: Uint8Array, position: RecordPosition, visit?: EntryVisitor): RecordSummary {
  const type = recordTypeOf(content)
  const code = content[0]
  const cursor = new RecordCursor(content, position, 1)
  if (isTimed(type)) return { type, code, ...scanTimed(cursor, type, visit) }
  let entries = 0
  if (type === 'minValidTime') {
    readMinValidTime(cursor)
    entries = 1
  }
  const skip = type === 'unknown' || type === 'empty' ? undefined : skipEntry[type]
  for (; skip !== undefined && cursor.hasMore; entries++) skip(cursor)
  return { type, code, entries }
}

/** Passes over the body of an entry whose head was read. */
export function skipEntryBody(cursor: RecordCursor, body: TimedLayout['body']): void {
  skipBody[body](cursor)
}

function scanTimed(cursor: RecordCursor, type: TimedRecordType, visit: EntryVisitor | undefined): Pick<RecordSummary, 'entries' | 'minTimestampMs' | 'maxTimestampMs'> {
  const { heads, body } = timedLayouts[type]
  const skip = skipBody[body]
  const walk = new TimedEntries(cursor, heads)
  let entries = 0
  let min = Infinity
  let max = -Infinity
  for (; walk.next(); entries++) {
    const { timestampMs } = walk
    if (timestampMs < min) min = timestampMs
    if (timestampMs > max) max = timestampMs
    skip(cursor)
    visit?.(walk.ref, timestampMs)
  }
  return entries === 0 ? { entries } : { entries, minTimestampMs: min, maxTimestampMs: max }
}
