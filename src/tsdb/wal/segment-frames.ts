import { crc32c } from '../crc32c.ts'
import { bytesToPageEnd, type Compression, fragmentHeaderBytes, fragmentTypes, maxFragmentDataBytes, pageBytes, snappyFlag, zstdFlag } from './format.ts'

/** A record as it is to be stored: packed or not. */
export interface StoredRecord {
  compression: Compression
  bytes: Uint8Array
}

const flags: Record<Compression, number> = { none: 0, snappy: snappyFlag, zstd: zstdFlag }

/** Puts records into the pages of one segment, byte for byte as tsdb/wlog's writer does. */
export class SegmentFrames {
  readonly #segmentBytes: number
  #offset = 0

  /** @throws RangeError when `segmentBytes` is no multiple of the page */
  constructor(segmentBytes: number) {
    if (segmentBytes <= 0 || segmentBytes % pageBytes !== 0) throw new RangeError(`a segment of ${segmentBytes} bytes does not consist of pages of ${pageBytes}`)
    this.#segmentBytes = segmentBytes
  }

  /** What was framed so far. */
  get sizeBytes(): number {
    return this.#offset
  }

  /** False: the segment is to be ended, and the record goes into the next one, however large it is. */
  hasRoomFor(storedBytes: number): boolean {
    const pagesAfterThis = this.#segmentBytes / pageBytes - Math.floor(this.#offset / pageBytes) - 1
    return storedBytes <= pageBytes - (this.#offset % pageBytes) - fragmentHeaderBytes + maxFragmentDataBytes * pagesAfterThis
  }

  /** The bytes to append for a record: its fragments, and the padding of a page with no room for a header. */
  frame({ compression, bytes }: StoredRecord): Uint8Array {
    const firstPart = Math.min(bytes.length, pageBytes - (this.#offset % pageBytes) - fragmentHeaderBytes)
    const fragments = 1 + Math.ceil((bytes.length - firstPart) / maxFragmentDataBytes)
    const end = this.#offset + fragments * fragmentHeaderBytes + bytes.length
    const left = bytesToPageEnd(end)
    const framed = Buffer.alloc(end - this.#offset + (left < fragmentHeaderBytes ? left : 0))
    for (let i = 0, from = 0, at = 0; i < fragments; i++) {
      const to = i === 0 ? firstPart : Math.min(bytes.length, from + maxFragmentDataBytes)
      const part = bytes.subarray(from, to)
      framed[at] = fragmentType(i, fragments) | flags[compression]
      framed.writeUInt16BE(part.length, at + 1)
      framed.writeUInt32BE(crc32c(part), at + 3)
      framed.set(part, at + fragmentHeaderBytes)
      at += fragmentHeaderBytes + part.length
      from = to
    }
    this.#offset += framed.length
    return framed
  }

  /** The zeros that fill the last page, with which a segment is ended. */
  padding(): Uint8Array {
    const zeros = new Uint8Array(bytesToPageEnd(this.#offset))
    this.#offset += zeros.length
    return zeros
  }
}

function fragmentType(index: number, count: number): number {
  if (count === 1) return fragmentTypes.full
  if (index === 0) return fragmentTypes.first
  return index === count - 1 ? fragmentTypes.last : fragmentTypes.middle
}
