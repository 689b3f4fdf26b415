import { type FloatHistogram, type IntegerHistogram, readFloatHistogram, readHistogram, writeHistogram } from './histogram.ts'
import type { RecordBuilder } from './record-builder.ts'
import type { RecordCursor } from './record-cursor.ts'
import type { TimedLayout } from './record-types.ts'
import { type EntryHead, TimedEntries, TimedEntriesBuilder } from './timed-entries.ts'

export interface HistogramEntry extends EntryHead {
  /** Of the kind that the record's type says. */
  histogram: IntegerHistogram | FloatHistogram
}

/** Types 7, 9 and 12 (integer), 8, 10 and 13 (float): the body of an entry is the histogram. */
export function readHistograms(cursor: RecordCursor, layout: TimedLayout): HistogramEntry[] {
  const entries = new TimedEntries(cursor, layout.heads)
  const read = layout.body === 'floatHistogram' ? readFloatHistogram : readHistogram
  const histograms: HistogramEntry[] = []
  while (entries.next()) {
    entries.checkExact()
    const { ref, timestampMs, startTimestampMs } = entries
    histograms.push({ ref, timestampMs, startTimestampMs, histogram: read(cursor) })
  }
  return histograms
}

/** @throws RangeError for a histogram of the other kind */
export function writeHistograms(builder: RecordBuilder, histograms: readonly HistogramEntry[], layout: TimedLayout): void {
  const entries = new TimedEntriesBuilder(builder, layout.heads)
  for (const entry of histograms) {
    const { kind } = entry.histogram
    if ((kind === 'float') !== (layout.body === 'floatHistogram')) throw new RangeError(`a histogram of kind ${kind} does not go into a record of the other kind`)
    entries.head(entry)
    writeHistogram(builder, entry.histogram)
  }
}
