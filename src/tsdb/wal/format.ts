/*
 * The framing of Prometheus's write-ahead logs (`wal/`, `wbl/`, `checkpoint.N/`), from tsdb/docs/format/wal.md and the writer
 * and readers in tsdb/wlog of Prometheus 2.42 to 3.x.
 *
 * A segment is a sequence of 32 KiB pages without a header. A record is cut into fragments that fill pages:
 *   type (1 byte) | length of the data (u16 BE) | CRC-32C of the data (u32 BE) | data
 * The low 3 bits of the type say which part of a record the data is, bits 3 and 4 how the whole record was compressed before
 * it was cut. Where fewer than 7 bytes are left in a page, and where a segment ends, zeros fill the page.
 */

export const pageBytes = 32 * 1024
export const fragmentHeaderBytes = 7
export const maxFragmentDataBytes = pageBytes - fragmentHeaderBytes
/** What Prometheus rotates at unless told otherwise. */
export const defaultSegmentBytes = 128 * 1024 * 1024
/** A record of more, stored or unpacked, is not believed. Prometheus's largest are a checkpoint's metadata of all series. */
export const defaultMaxRecordBytes = 256 * 1024 * 1024

export const fragmentTypes = { padding: 0, full: 1, first: 2, middle: 3, last: 4 } as const
export const fragmentTypeMask = 0b111
export const snappyFlag = 1 << 3
export const zstdFlag = 1 << 4
/** Bits of the type byte that no version writes. */
export const unknownFlags = 0b1110_0000

export type Compression = 'none' | 'snappy' | 'zstd'

/** `00000012`: the name of segment 12. */
export function segmentName(number: number): string {
  return String(number).padStart(8, '0')
}

/** The bytes from `offset` in a segment to the end of its page; 0 at the start of a page. */
export function bytesToPageEnd(offset: number): number {
  return (pageBytes - (offset % pageBytes)) % pageBytes
}
