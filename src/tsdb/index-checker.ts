import { uint32At } from './big-endian.ts'
import { crc32c, crc32cOfRange } from './crc32c.ts'
import { indexHeaderBytes, type IndexRegion, type IndexToc } from './index-toc.ts'
import { damagedAt, maxEntryBytes, type StreamChecker } from './stream-checker.ts'

export interface IndexCounts {
  sizeBytes: number
  version: number
  series: number
}

const magic = Uint8Array.of(0xba, 0xaa, 0xd7, 0x00)

/** Within a region: zero bytes up to where an entry may start, then the entry's length, its body, its checksum. */
type State = 'header' | 'padding' | 'length' | 'body' | 'checksum' | 'over'

/** How a region is made up. */
interface Layout {
  /** How an entry's length is written; of the table of contents it is fixed. */
  length: 'uvarint' | 'uint32' | 'fixed'
  /** Entries start at multiples of this. */
  alignment: number
  /** One entry and nothing but padding after it, rather than any number of entries. */
  single: boolean
}

/**
 * Checks an index as it streams by (Prometheus, tsdb/docs/format/index.md, versions 1 to 3): the header, and the CRC-32C of
 * the symbol table, of every series, label index and postings list, of the offset tables and of the table of contents.
 * Every byte is covered but the version (2 turned into 3 is not noticed): padding, which Prometheus skips unread, must be
 * zero as it was written. The table of contents has to be read first (`parseIndexToc`), since only it tells where the
 * series end.
 */
export class IndexChecker implements StreamChecker<IndexCounts> {
  readonly #toc: IndexToc
  readonly #file: string
  #state: State = 'header'
  #offset = 0
  #version = 0
  #series = 0
  #regionIndex = -1
  #region: IndexRegion = { name: 'symbol table', start: 0, end: indexHeaderBytes }
  #layout: Layout = { length: 'uint32', alignment: 1, single: true }
  #entryOffset = 0
  #entries = 0
  /** Of the length, body or checksum being read: bytes seen, and what they have come to. */
  #seen = 0
  #value = 0
  #bodyBytes = 0
  #crc = 0

  /** `file` is for messages only. */
  constructor(toc: IndexToc, file = 'index') {
    this.#toc = toc
    this.#file = file
  }

  write(bytes: Uint8Array): void {
    let i = 0
    const tocStart = this.#toc.sizeBytes - this.#toc.bytes.length
    while (i < bytes.length) {
      if (this.#state === 'padding' && !this.#layout.single) {
        i = this.#wholeEntries(bytes, i)
        this.#leaveRegionAt(this.#offset + i)
        if (i === bytes.length) break
      }
      const from = i
      i = this.#piece(bytes, i)
      for (let k = Math.max(from, tocStart - this.#offset); k < i; k++) {
        if (bytes[k] !== this.#toc.bytes[this.#offset + k - tocStart]) throw this.#damaged(this.#offset + k, 'it was replaced while it was read')
      }
    }
    this.#offset += bytes.length
  }

  end(): IndexCounts {
    if (this.#state !== 'over') throw this.#damaged(this.#offset, `it ends within the ${this.#region.name}, ${this.#toc.sizeBytes} bytes are expected`)
    return { sizeBytes: this.#offset, version: this.#version, series: this.#series }
  }

  /** Checks the entries of a list that lie wholly in bytes[i…]; answers where the first that does not, or its padding, begins. */
  #wholeEntries(bytes: Uint8Array, from: number): number {
    const end = Math.min(bytes.length, this.#region.end - this.#offset)
    const { alignment, length: lengthFormat } = this.#layout
    const base = this.#offset % alignment
    let entries = 0
    let next = from
    for (;;) {
      let i = next
      while (i < end && bytes[i] === 0 && ((base + i) & (alignment - 1)) !== 0) i++
      if (((base + i) & (alignment - 1)) !== 0) break
      const start = i
      let length = 0
      if (lengthFormat === 'uint32') {
        if (i + 4 > end) break
        length = uint32At(bytes, i)
        i += 4
      } else {
        let scale = 1
        let byte = 128
        while (byte >= 128 && i < end && i - start < 5) {
          byte = bytes[i++]!
          length += (byte & 127) * scale
          scale *= 128
        }
        if (byte >= 128) break
      }
      const checksumAt = i + length
      if (length === 0 || checksumAt + 4 > end) break
      if (crc32cOfRange(bytes, i, checksumAt) !== uint32At(bytes, checksumAt)) throw this.#mismatch(this.#offset + start)
      entries++
      next = checksumAt + 4
    }
    if (this.#region.name === 'series') this.#series += entries
    return next
  }

  /** Takes what bytes[i…] has of the part being read; answers where the rest begins. */
  #piece(bytes: Uint8Array, i: number): number {
    const offset = this.#offset + i
    if (this.#state === 'body') return this.#body(bytes, i)
    if (this.#state === 'checksum') this.#checksum(bytes[i]!)
    else if (this.#state === 'length') this.#length(bytes[i]!, offset)
    else if (this.#state === 'header') this.#header(bytes[i]!, offset)
    else if (this.#state === 'padding') return this.#padding(bytes[i]!, offset) ? i + 1 : i
    else throw this.#damaged(offset, 'there are bytes behind the table of contents')
    this.#leaveRegionAt(offset + 1)
    return i + 1
  }

  #header(byte: number, offset: number): void {
    if (offset < magic.length ? byte !== magic[offset] : byte < 1 || byte > 3) throw this.#damaged(offset, 'the header is not that of an index of version 1, 2 or 3')
    this.#version = byte
  }

  /** True when the byte is padding, false when an entry starts with it. */
  #padding(byte: number, offset: number): boolean {
    const entryMayStart = offset % this.#layout.alignment === 0 && !(this.#layout.single && this.#entries > 0)
    if (entryMayStart) {
      this.#entryOffset = offset
      this.#entries++
      this.#crc = 0
      if (this.#layout.length === 'fixed') {
        this.#bodyBytes = this.#region.end - offset - 4
        this.#enter('body')
      } else this.#enter('length')
      return false
    }
    if (byte !== 0) throw this.#damaged(offset, `padding in the ${this.#region.name} is not zero`)
    this.#leaveRegionAt(offset + 1)
    return true
  }

  #length(byte: number, offset: number): void {
    this.#seen++
    if (this.#layout.length === 'uint32') this.#value = this.#value * 256 + byte
    else this.#value += (byte & 127) * 128 ** (this.#seen - 1)
    const more = this.#layout.length === 'uint32' ? this.#seen < 4 : byte >= 128
    if (more && this.#seen < 5) return
    // Postings of every series and the symbol table may be larger than any series: they are bounded by their region.
    const limit = this.#layout.length === 'uvarint' ? maxEntryBytes : this.#toc.sizeBytes
    if (more || this.#value === 0 || this.#value > limit || offset + 1 + this.#value + 4 > this.#region.end) {
      throw this.#damaged(this.#entryOffset, `an entry of the ${this.#region.name} has no valid length`)
    }
    this.#bodyBytes = this.#value
    this.#enter('body')
  }

  #body(bytes: Uint8Array, i: number): number {
    const end = Math.min(bytes.length, i + this.#bodyBytes - this.#seen)
    this.#crc = crc32c(bytes.subarray(i, end), this.#crc)
    this.#seen += end - i
    if (this.#seen === this.#bodyBytes) this.#enter('checksum')
    return end
  }

  #checksum(byte: number): void {
    this.#value = this.#value * 256 + byte
    this.#seen++
    if (this.#seen < 4) return
    if (this.#value !== this.#crc) throw this.#mismatch(this.#entryOffset)
    if (this.#region.name === 'series') this.#series++
    this.#enter('padding')
  }

  #enter(state: State): void {
    this.#state = state
    this.#seen = 0
    this.#value = 0
  }

  #leaveRegionAt(offset: number): void {
    if (offset < this.#region.end) return
    if (this.#state === 'length') throw this.#damaged(this.#entryOffset, `an entry of the ${this.#region.name} has no valid length`)
    this.#regionIndex++
    const region = this.#toc.regions[this.#regionIndex]
    if (region === undefined) {
      this.#enter('over')
      return
    }
    this.#region = region
    this.#layout = layoutOf(region, this.#version)
    this.#entries = 0
    this.#enter('padding')
  }

  #mismatch(offset: number): Error {
    return this.#damaged(offset, `an entry of the ${this.#region.name} does not match its checksum`)
  }

  #damaged(offset: number, problem: string): Error {
    return damagedAt(this.#file, offset, problem)
  }
}

function layoutOf(region: IndexRegion, version: number): Layout {
  switch (region.name) {
    case 'series':
      return { length: 'uvarint', alignment: version === 1 ? 1 : 16, single: false }
    case 'label indices':
    case 'postings':
      return { length: 'uint32', alignment: 4, single: false }
    case 'table of contents':
      return { length: 'fixed', alignment: 1, single: true }
    default:
      return { length: 'uint32', alignment: 1, single: true }
  }
}
