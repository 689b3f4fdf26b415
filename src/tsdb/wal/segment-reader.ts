import { type Fragment, FragmentReader } from './fragments.ts'
import { type Compression, defaultMaxRecordBytes, fragmentTypes, pageBytes } from './format.ts'
import { FramedRecord } from './framed-record.ts'
import { walDamage } from './wal-damage.ts'

export interface SegmentReaderOptions {
  /** The offset of the first byte that will be pushed: a record's end, or with `boundary: 'page'` any page's start. Default 0. */
  start?: number
  /** `page`: what is left of a record that began before `start` is checked and passed over. Default `record`. */
  boundary?: 'record' | 'page'
  /** Of one record, stored and unpacked; more is damage. Default 256 MiB. */
  maxRecordBytes?: number
}

export interface SegmentEnd {
  /** `torn`: the file ends within a record. Harmless in the last segment of a log after a crash or while it is written; damage elsewhere. */
  state: 'whole' | 'torn'
  /** See `SegmentReader.recordEnd`. */
  recordEnd: number
  sizeBytes: number
  /** Why it is torn. */
  reason?: string
}

/**
 * Reads the records of one segment that arrives in pieces, cut anywhere, as tsdb/wlog's Reader does. A record that is not
 * complete yet is waited for, so that a growing file can be followed; only `end` says that nothing more will come. Keeps no
 * more than one record.
 */
export class SegmentReader {
  readonly #file: string
  readonly #maxRecordBytes: number
  readonly #fragments: FragmentReader
  #onRecord: (record: FramedRecord) => void = () => {}
  /** What there is of a record of several fragments. */
  #parts: Uint8Array[] | undefined
  #partsBytes = 0
  #partsStart = 0
  #partsCompression: Compression = 'none'
  #passingOver: boolean
  #recordEnd: number
  #settledEnd: number

  /** `file` is for messages only. */
  constructor(file: string, options: SegmentReaderOptions = {}) {
    const { start = 0, boundary = 'record', maxRecordBytes = defaultMaxRecordBytes } = options
    if (boundary === 'page' && start % pageBytes !== 0) throw new RangeError(`${start} is not the start of a page`)
    this.#file = file
    this.#maxRecordBytes = maxRecordBytes
    this.#passingOver = boundary === 'page' && start > 0
    this.#recordEnd = start
    this.#settledEnd = start
    this.#fragments = new FragmentReader(file, start, {
      fragment: (fragment) => this.#fragment(fragment),
      pageEnd: (offset) => this.#pageEnd(offset),
    })
  }

  /** The end of the last complete record: everything before it is checked, and reading may start again there. */
  get recordEnd(): number {
    return this.#recordEnd
  }

  /** As `recordEnd`, or the end of the padding that completely fills the page after it. */
  get settledEnd(): number {
    return this.#settledEnd
  }

  /** As `settledEnd`, or within padding that does not fill its page: a segment that nothing is added to may end there after a power cut, and Prometheus reads it as whole. */
  get paddedEnd(): number {
    return this.#fragments.inPadding && this.#parts === undefined && !this.#passingOver ? this.offset : this.#settledEnd
  }

  /** Bytes taken in, counted from the segment's start. Those beyond `settledEnd` wait for more. */
  get offset(): number {
    return this.#fragments.offset
  }

  /**
   * Takes in the next bytes and hands over the records they complete, in order. The records may be views of `bytes`; the
   * reader itself keeps none.
   * @throws DAMAGED with file and offset, after the records before the damage were handed over. The reader is then done with.
   */
  push(bytes: Uint8Array, onRecord: (record: FramedRecord) => void): void {
    this.#onRecord = onRecord
    this.#fragments.push(bytes)
  }

  /** Nothing more will come. */
  end(): SegmentEnd {
    const end = { recordEnd: this.#recordEnd, sizeBytes: this.offset }
    if (this.#fragments.heldBytes > 0) return { ...end, state: 'torn', reason: `it ends within a fragment that starts at byte ${this.offset - this.#fragments.heldBytes}` }
    if (this.#parts !== undefined) return { ...end, state: 'torn', reason: `it ends within a record that starts at byte ${this.#partsStart}` }
    return { ...end, state: 'whole' }
  }

  #fragment(fragment: Fragment): void {
    const { type, startOffset } = fragment
    const starts = type === fragmentTypes.full || type === fragmentTypes.first
    if (this.#passingOver && !starts) return
    this.#passingOver = false
    if (starts === (this.#parts !== undefined)) {
      throw walDamage(this.#file, startOffset, starts ? `a record starts before the one at byte ${this.#partsStart} has ended` : 'a record goes on that never started')
    }
    if (type === fragmentTypes.full) this.#deliver(startOffset, fragment.endOffset, { compression: fragment.compression, bytes: fragment.data })
    else this.#collect(fragment)
  }

  #collect({ type, compression, startOffset, endOffset, data }: Fragment): void {
    if (this.#parts === undefined) {
      this.#parts = []
      this.#partsBytes = 0
      this.#partsStart = startOffset
      this.#partsCompression = compression
    }
    if (compression !== this.#partsCompression) throw walDamage(this.#file, startOffset, `the record at byte ${this.#partsStart} changes its compression`)
    this.#partsBytes += data.length
    if (this.#partsBytes > this.#maxRecordBytes) throw walDamage(this.#file, this.#partsStart, `a record has more than ${this.#maxRecordBytes} bytes`)
    if (data.length > 0) this.#parts.push(Uint8Array.from(data))
    if (type !== fragmentTypes.last) return
    const bytes = Buffer.concat(this.#parts)
    this.#parts = undefined
    this.#deliver(this.#partsStart, endOffset, { compression, bytes })
  }

  #deliver(startOffset: number, endOffset: number, stored: { compression: Compression; bytes: Uint8Array }): void {
    this.#recordEnd = endOffset
    this.#settledEnd = endOffset
    this.#onRecord(new FramedRecord({ file: this.#file, startOffset, endOffset }, { ...stored, maxBytes: this.#maxRecordBytes }))
  }

  #pageEnd(offset: number): void {
    if (this.#parts === undefined && !this.#passingOver) this.#settledEnd = offset
  }
}
