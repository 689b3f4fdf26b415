import type { RecordBuilder } from './record-builder.ts'
import type { RecordCursor } from './record-cursor.ts'
import { type EntryHead, TimedEntries, TimedEntriesBuilder } from './timed-entries.ts'
import type { TimedLayout } from './record-types.ts'

export interface SampleEntry extends EntryHead {
  /** The 64 bits of the double: no NaN keeps its bits as a JavaScript number. */
  valueBits: bigint
}

/** Types 2 and 11: the body of an entry is the value. */
export function readSamples(cursor: RecordCursor, heads: TimedLayout['heads']): SampleEntry[] {
  const entries = new TimedEntries(cursor, heads)
  const samples: SampleEntry[] = []
  while (entries.next()) {
    entries.checkExact()
    const { ref, timestampMs, startTimestampMs } = entries
    samples.push({ ref, timestampMs, startTimestampMs, valueBits: cursor.bits64() })
  }
  return samples
}

export function writeSamples(builder: RecordBuilder, samples: readonly SampleEntry[], heads: TimedLayout['heads']): void {
  const entries = new TimedEntriesBuilder(builder, heads)
  for (const sample of samples) {
    entries.head(sample)
    builder.bits64(sample.valueBits)
  }
}
