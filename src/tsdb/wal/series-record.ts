import { type Label, readLabels, skipLabels, writeLabels } from './labels.ts'
import type { RecordBuilder } from './record-builder.ts'
import type { RecordCursor } from './record-cursor.ts'

export interface SeriesEntry {
  ref: number
  labels: readonly Label[]
}

/** Type 1: per series ref u64 and labels. */
export function readSeries(cursor: RecordCursor): SeriesEntry[] {
  const series: SeriesEntry[] = []
  while (cursor.hasMore) series.push({ ref: cursor.uint64(), labels: readLabels(cursor) })
  return series
}

export function skipSeries(cursor: RecordCursor): void {
  cursor.skip(8)
  skipLabels(cursor)
}

export function writeSeries(builder: RecordBuilder, series: readonly SeriesEntry[]): void {
  for (const { ref, labels } of series) writeLabels(builder.uint64(ref), labels)
}
