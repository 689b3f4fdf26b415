import type { RecordBuilder } from './record-builder.ts'
import type { RecordCursor } from './record-cursor.ts'

/** A deletion of one series' samples with mint <= time <= maxt (ms). The bounds may be ±2^63. */
export interface TombstoneEntry {
  ref: number
  mint: bigint
  maxt: bigint
}

/** Type 3: per deletion ref u64, varint mint, varint maxt. */
export function readTombstones(cursor: RecordCursor): TombstoneEntry[] {
  const tombstones: TombstoneEntry[] = []
  while (cursor.hasMore) tombstones.push({ ref: cursor.uint64(), mint: cursor.varint64(), maxt: cursor.varint64() })
  return tombstones
}

export function skipTombstone(cursor: RecordCursor): void {
  cursor.skip(8)
  cursor.skipVarint()
  cursor.skipVarint()
}

export function writeTombstones(builder: RecordBuilder, tombstones: readonly TombstoneEntry[]): void {
  for (const { ref, mint, maxt } of tombstones) builder.uint64(ref).varint64(mint).varint64(maxt)
}
