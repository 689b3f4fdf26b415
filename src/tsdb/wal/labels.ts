import type { RecordBuilder } from './record-builder.ts'
import type { RecordCursor } from './record-cursor.ts'

/** Name and value, in the order of the record (Prometheus sorts by name). */
export type Label = readonly [name: string, value: string]

/** uvarint number of labels, then name and value of each. */
export function readLabels(cursor: RecordCursor): Label[] {
  const labels: Label[] = []
  for (let left = cursor.count(2); left > 0; left--) labels.push([cursor.string(), cursor.string()])
  return labels
}

export function skipLabels(cursor: RecordCursor): void {
  for (let left = cursor.count(2); left > 0; left--) {
    cursor.skipString()
    cursor.skipString()
  }
}

export function writeLabels(builder: RecordBuilder, labels: readonly Label[]): void {
  builder.uvarint(labels.length)
  for (const [name, value] of labels) builder.string(name).string(value)
}
