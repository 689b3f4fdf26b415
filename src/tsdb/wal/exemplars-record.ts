import { type Label, readLabels, skipLabels, writeLabels } from './labels.ts'
import type { RecordBuilder } from './record-builder.ts'
import type { RecordCursor } from './record-cursor.ts'
import { type EntryHead, TimedEntries, TimedEntriesBuilder } from './timed-entries.ts'

export interface ExemplarEntry extends EntryHead {
  valueBits: bigint
  labels: readonly Label[]
}

/** Type 4: the body of an entry is the value and the exemplar's labels. */
export function readExemplars(cursor: RecordCursor): ExemplarEntry[] {
  const entries = new TimedEntries(cursor, 'v1')
  const exemplars: ExemplarEntry[] = []
  while (entries.next()) {
    entries.checkExact()
    const { ref, timestampMs, startTimestampMs } = entries
    exemplars.push({ ref, timestampMs, startTimestampMs, valueBits: cursor.bits64(), labels: readLabels(cursor) })
  }
  return exemplars
}

export function skipExemplarBody(cursor: RecordCursor): void {
  cursor.skip(8)
  skipLabels(cursor)
}

export function writeExemplars(builder: RecordBuilder, exemplars: readonly ExemplarEntry[]): void {
  const entries = new TimedEntriesBuilder(builder, 'v1')
  for (const exemplar of exemplars) {
    entries.head(exemplar)
    writeLabels(builder.bits64(exemplar.valueBits), exemplar.labels)
  }
}
