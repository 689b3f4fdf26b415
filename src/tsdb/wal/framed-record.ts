import type { ReusedBuffer } from '../reused-buffer.ts'
import { decompress, decompressInto } from './compression.ts'
import type { Compression } from './format.ts'
import { type RecordPosition, walDamage } from './wal-damage.ts'

/**
 * A whole record as it lies in a segment, its checksums verified. Its bytes may be lent from what was pushed into the reader:
 * they are valid as long as those are.
 */
export class FramedRecord implements RecordPosition {
  readonly file: string
  /** Of its first fragment in the segment. */
  readonly startOffset: number
  /** Just after its last fragment: where a part may end and reading may start again. */
  readonly endOffset: number
  readonly compression: Compression
  /** As stored, fragments joined. */
  readonly stored: Uint8Array
  readonly #maxBytes: number
  #content: Uint8Array | undefined

  constructor(position: RecordPosition & { endOffset: number }, stored: { compression: Compression; bytes: Uint8Array; maxBytes: number }) {
    this.file = position.file
    this.startOffset = position.startOffset
    this.endOffset = position.endOffset
    this.compression = stored.compression
    this.stored = stored.bytes
    this.#maxBytes = stored.maxBytes
  }

  /** The record, unpacked when first asked for. @throws DAMAGED when it cannot be */
  content(): Uint8Array {
    this.#content ??= this.#unpack(() => decompress(this.compression, this.stored, this.#maxBytes))
    return this.#content
  }

  /** The record as it is for now: until the memory is used for the next. @throws DAMAGED when it cannot be unpacked */
  lentContent(memory: ReusedBuffer): Uint8Array {
    return this.#unpack(() => decompressInto(memory, this.compression, { stored: this.stored, maxBytes: this.#maxBytes }))
  }

  #unpack(unpack: () => Uint8Array): Uint8Array {
    try {
      return unpack()
    } catch (error) {
      throw walDamage(this.file, this.startOffset, `a ${this.compression} record cannot be unpacked: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}
