import type { RecordBuilder } from './record-builder.ts'
import type { RecordCursor } from './record-cursor.ts'

export interface MetadataEntry {
  ref: number
  /** 0 unknown, 1 counter, 2 gauge, 3 histogram, 4 gauge histogram, 5 summary, 6 info, 7 state set. */
  metricType: number
  /** Prometheus writes UNIT and HELP, and skips others. */
  fields: readonly (readonly [name: string, value: string])[]
}

/** Type 6: per series uvarint ref, type byte, uvarint number of fields, name and value of each. */
export function readMetadata(cursor: RecordCursor): MetadataEntry[] {
  const metadata: MetadataEntry[] = []
  while (cursor.hasMore) {
    const ref = cursor.uvarint()
    const metricType = cursor.byte()
    const fields: [string, string][] = []
    for (let left = cursor.count(2); left > 0; left--) fields.push([cursor.string(), cursor.string()])
    metadata.push({ ref, metricType, fields })
  }
  return metadata
}

export function skipMetadata(cursor: RecordCursor): void {
  cursor.skipVarint()
  cursor.skip(1)
  for (let left = cursor.count(2); left > 0; left--) {
    cursor.skipString()
    cursor.skipString()
  }
}

export function writeMetadata(builder: RecordBuilder, metadata: readonly MetadataEntry[]): void {
  for (const { ref, metricType, fields } of metadata) {
    builder.uvarint(ref).byte(metricType).uvarint(fields.length)
    for (const [name, value] of fields) builder.string(name).string(value)
  }
}
