import type { RecordBuilder } from './record-builder.ts'
import type { RecordCursor } from './record-cursor.ts'

/** Type 14, in checkpoints of newer servers: i64, the time in ms below which samples were left out. */
export function readMinValidTime(cursor: RecordCursor): bigint {
  const timestampMs = BigInt.asIntN(64, cursor.bits64())
  if (cursor.hasMore) throw cursor.damage('it goes on after its end')
  return timestampMs
}

export function writeMinValidTime(builder: RecordBuilder, timestampMs: bigint): void {
  builder.bits64(BigInt.asUintN(64, timestampMs))
}
