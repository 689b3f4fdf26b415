import { uint32At } from '../big-endian.ts'
import { crc32cOfRange } from '../crc32c.ts'
import { bytesToPageEnd, type Compression, fragmentHeaderBytes, fragmentTypeMask, fragmentTypes, maxFragmentDataBytes, pageBytes, snappyFlag, unknownFlags, zstdFlag } from './format.ts'
import { walDamage } from './wal-damage.ts'

/** One fragment, its checksum verified. `data` is lent: it is valid as long as the bytes that were pushed are. */
export interface Fragment {
  /** 1 full, 2 first, 3 middle, 4 last. */
  type: number
  compression: Compression
  /** Of its header in the segment. */
  startOffset: number
  endOffset: number
  data: Uint8Array
}

export interface FragmentSink {
  fragment(fragment: Fragment): void
  /** A page was zeros from somewhere to its end, `offset`. */
  pageEnd(offset: number): void
}

/**
 * Takes a segment's bytes apart into fragments, in pieces of any length from any fragment's start. Keeps at most one
 * fragment. Padding is as Prometheus reads it: a type byte 0 means zeros to the end of the page, wherever in a record it
 * stands. Like Prometheus's reader and unlike its writer, a fragment may cross a page's end: old servers wrote such.
 */
export class FragmentReader {
  readonly #file: string
  readonly #sink: FragmentSink
  /** Of the next byte to be taken in. */
  #offset: number
  /** The start of a fragment that is not complete yet, and how much of it there is. */
  readonly #held = Buffer.allocUnsafe(fragmentHeaderBytes + maxFragmentDataBytes)
  #heldBytes = 0
  #paddingLeft = 0

  constructor(file: string, start: number, sink: FragmentSink) {
    this.#file = file
    this.#offset = start
    this.#sink = sink
  }

  /** Bytes taken in, counted from the segment's start. */
  get offset(): number {
    return this.#offset
  }

  /** Bytes at the end that are no complete fragment yet. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Whether the zeros that fill a page have begun and not ended. */
  get inPadding(): boolean {
    return this.#paddingLeft > 0
  }

  /** @throws DAMAGED; the offset is that of the fragment */
  push(bytes: Uint8Array): void {
    const base = this.#offset
    let at = 0
    while (at < bytes.length) {
      this.#offset = base + at
      if (this.#paddingLeft > 0) at = this.#padding(bytes, at)
      else if (this.#heldBytes > 0) at = this.#complete(bytes, at)
      else at = this.#wholeFragments(bytes, at, base)
    }
    this.#offset = base + bytes.length
  }

  /** The fragments that lie wholly in bytes[at…]; the start of one that does not is kept. */
  #wholeFragments(bytes: Uint8Array, at: number, base: number): number {
    let start = at
    while (start < bytes.length) {
      if (bytes[start] === 0) {
        this.#paddingLeft = bytesToPageEnd(base + start) || pageBytes
        return start
      }
      const end = start + fragmentHeaderBytes + (bytes.length - start < fragmentHeaderBytes ? 0 : dataBytes(bytes, start))
      if (bytes.length - start >= 3) this.#checkHeader(bytes, start, base + start)
      if (end > bytes.length) break
      this.#deliver(bytes, { start, end, startOffset: base + start })
      start = end
    }
    this.#hold(bytes, start, bytes.length)
    return bytes.length
  }

  /** Adds to the fragment that is held, and delivers it once it is whole. */
  #complete(bytes: Uint8Array, at: number): number {
    const startOffset = this.#offset - this.#heldBytes
    let from = at
    if (this.#heldBytes < fragmentHeaderBytes) {
      const end = Math.min(bytes.length, from + fragmentHeaderBytes - this.#heldBytes)
      this.#hold(bytes, from, end)
      from = end
      if (this.#heldBytes >= 3) this.#checkHeader(this.#held, 0, startOffset)
      if (this.#heldBytes < fragmentHeaderBytes) return from
    }
    const fragmentBytes = fragmentHeaderBytes + dataBytes(this.#held, 0)
    const end = Math.min(bytes.length, from + fragmentBytes - this.#heldBytes)
    this.#hold(bytes, from, end)
    if (this.#heldBytes === fragmentBytes) {
      this.#heldBytes = 0
      // A copy: the receiver may hold on to the data while the next fragment is taken in.
      this.#deliver(Uint8Array.from(this.#held.subarray(0, fragmentBytes)), { start: 0, end: fragmentBytes, startOffset })
    }
    return end
  }

  #hold(bytes: Uint8Array, from: number, to: number): void {
    this.#held.set(bytes.subarray(from, to), this.#heldBytes)
    this.#heldBytes += to - from
  }

  #padding(bytes: Uint8Array, at: number): number {
    const end = Math.min(bytes.length, at + this.#paddingLeft)
    for (let i = at; i < end; i++) {
      if (bytes[i] !== 0) throw walDamage(this.#file, this.#offset + i - at, 'the padding of a page is not zero')
    }
    this.#paddingLeft -= end - at
    if (this.#paddingLeft === 0) this.#sink.pageEnd(this.#offset + end - at)
    return end
  }

  #checkHeader(bytes: Uint8Array, at: number, offset: number): void {
    const byte = bytes[at]!
    const type = byte & fragmentTypeMask
    const bothFlags = snappyFlag | zstdFlag
    if ((byte & unknownFlags) !== 0 || (byte & bothFlags) === bothFlags || type === fragmentTypes.padding || type > fragmentTypes.last) {
      throw walDamage(this.#file, offset, `no fragment has the type 0x${byte.toString(16).padStart(2, '0')}`)
    }
    const length = dataBytes(bytes, at)
    if (length > maxFragmentDataBytes) throw walDamage(this.#file, offset, `a fragment claims ${length} bytes, more than a page holds`)
  }

  #deliver(bytes: Uint8Array, at: { start: number; end: number; startOffset: number }): void {
    const { start, end, startOffset } = at
    const byte = bytes[start]!
    if (crc32cOfRange(bytes, start + fragmentHeaderBytes, end) !== uint32At(bytes, start + 3)) throw walDamage(this.#file, startOffset, 'a fragment does not match its checksum')
    this.#sink.fragment({
      type: byte & fragmentTypeMask,
      compression: (byte & snappyFlag) !== 0 ? 'snappy' : (byte & zstdFlag) !== 0 ? 'zstd' : 'none',
      startOffset,
      endOffset: startOffset + end - start,
      data: bytes.subarray(start + fragmentHeaderBytes, end),
    })
  }
}

/** The length that the header at `at` gives. */
function dataBytes(bytes: Uint8Array, at: number): number {
  return bytes[at + 1]! * 256 + bytes[at + 2]!
}
