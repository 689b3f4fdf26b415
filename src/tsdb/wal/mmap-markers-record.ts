import type { RecordBuilder } from './record-builder.ts'
import type { RecordCursor } from './record-cursor.ts'

/** In a WBL: the series' out-of-order samples so far are in a chunk of `chunks_head/`. */
export interface MmapMarkerEntry {
  ref: number
  /** File number in the upper 32 bits, offset in the lower. */
  chunkRef: bigint
}

/** Type 5: per marker ref u64, chunk ref u64. */
export function readMmapMarkers(cursor: RecordCursor): MmapMarkerEntry[] {
  const markers: MmapMarkerEntry[] = []
  while (cursor.hasMore) markers.push({ ref: cursor.uint64(), chunkRef: cursor.bits64() })
  return markers
}

export function skipMmapMarker(cursor: RecordCursor): void {
  cursor.skip(16)
}

export function writeMmapMarkers(builder: RecordBuilder, markers: readonly MmapMarkerEntry[]): void {
  for (const { ref, chunkRef } of markers) builder.uint64(ref).bits64(chunkRef)
}
