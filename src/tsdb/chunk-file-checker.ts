import { uint32At } from './big-endian.ts'
import { crc32c, crc32cOfRange } from './crc32c.ts'
import { damagedAt, maxEntryBytes, type StreamChecker } from './stream-checker.ts'

export interface ChunkFileCounts {
  sizeBytes: number
  chunks: number
  /** Samples of the chunks whose encoding is known. */
  samples: number
  /** Chunks per encoding byte that this version does not know; their checksums hold, their samples are not counted. */
  unknownEncodings: Map<number, number>
}

const header = Uint8Array.of(0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0)
const maxLengthBytes = 5
const knownEncodings = { xor: 1, histogram: 2, floatHistogram: 3 }

type State = 'header' | 'length' | 'body' | 'checksum'

/**
 * Checks `chunks/NNNNNN` (Prometheus, tsdb/docs/format/chunks.md): the header, and of every chunk a uvarint length, an
 * encoding byte, that many bytes of data and the CRC-32C of both. A finished file ends with its last chunk. Header padding,
 * which Prometheus does not read, must be zero as it was written. A file cut exactly between two chunks is whole for this
 * checker: compare the counts with the block's meta.json, or the size with the one that was stored.
 */
export class ChunkFileChecker implements StreamChecker<ChunkFileCounts> {
  readonly #file: string
  #state: State = 'header'
  #offset = 0
  #entryOffset = 0
  /** Of the header, length, body or checksum being read: bytes seen, and what they have come to. */
  #seen = 0
  #value = 0
  #bodyBytes = 0
  #crc = 0
  /** The body's first three bytes: the encoding, and the number of samples in big-endian order. */
  #start = 0
  #chunks = 0
  #samples = 0
  readonly #unknownEncodings = new Map<number, number>()

  /** `file` is for messages only. */
  constructor(file: string) {
    this.#file = file
  }

  write(bytes: Uint8Array): void {
    let i = 0
    while (i < bytes.length) {
      if (this.#state === 'length' && this.#seen === 0) {
        i = this.#wholeChunks(bytes, i)
        if (i === bytes.length) break
      }
      i = this.#piece(bytes, i)
    }
    this.#offset += bytes.length
  }

  end(): ChunkFileCounts {
    if (this.#state !== 'length' || this.#seen !== 0) {
      const what = this.#state === 'header' ? 'its header' : `the chunk that starts at byte ${this.#entryOffset}`
      throw damagedAt(this.#file, this.#offset, `it ends within ${what}`)
    }
    return { sizeBytes: this.#offset, chunks: this.#chunks, samples: this.#samples, unknownEncodings: this.#unknownEncodings }
  }

  /** Checks the chunks that lie wholly in bytes[i…]; answers where the first that does not begins. */
  #wholeChunks(bytes: Uint8Array, from: number): number {
    const end = bytes.length
    let start = from
    for (;;) {
      let i = start
      let length = 0
      let shift = 1
      let byte = 128
      while (byte >= 128 && i < end && i - start < maxLengthBytes) {
        byte = bytes[i++]!
        length += (byte & 127) * shift
        shift *= 128
      }
      const checksumAt = i + 1 + length
      if (byte >= 128 || checksumAt + 4 > end) return start
      this.#entryOffset = this.#offset + start
      this.#finish(crc32cOfRange(bytes, i, checksumAt), uint32At(bytes, checksumAt), {
        encoding: bytes[i]!,
        samples: bytes[i + 1]! * 256 + bytes[i + 2]!,
        dataBytes: length,
      })
      start = checksumAt + 4
    }
  }

  /** Takes what bytes[i…] has of the part being read; answers where the rest begins. */
  #piece(bytes: Uint8Array, i: number): number {
    if (this.#state === 'body') return this.#body(bytes, i)
    const byte = bytes[i]!
    if (this.#state === 'header') this.#header(byte)
    else if (this.#state === 'length') this.#length(byte, this.#offset + i)
    else this.#checksum(byte)
    return i + 1
  }

  #header(byte: number): void {
    if (byte !== header[this.#seen]) throw damagedAt(this.#file, this.#seen, 'the header is not that of a chunk file of version 1')
    this.#seen++
    if (this.#seen === header.length) this.#enter('length')
  }

  #length(byte: number, offset: number): void {
    if (this.#seen === 0) this.#entryOffset = offset
    this.#value += (byte & 127) * 128 ** this.#seen
    this.#seen++
    if (byte >= 128) {
      if (this.#seen === maxLengthBytes) throw damagedAt(this.#file, this.#entryOffset, 'a chunk has no valid length')
      return
    }
    if (this.#value > maxEntryBytes) throw damagedAt(this.#file, this.#entryOffset, `a chunk claims ${this.#value} bytes`)
    this.#bodyBytes = this.#value + 1
    this.#crc = 0
    this.#start = 0
    this.#enter('body')
  }

  #body(bytes: Uint8Array, i: number): number {
    const end = Math.min(bytes.length, i + this.#bodyBytes - this.#seen)
    for (let k = i; k < end && this.#seen + k - i < 3; k++) this.#start = this.#start * 256 + bytes[k]!
    this.#crc = crc32c(bytes.subarray(i, end), this.#crc)
    this.#seen += end - i
    if (this.#seen === this.#bodyBytes) this.#enter('checksum')
    return end
  }

  #checksum(byte: number): void {
    this.#value = this.#value * 256 + byte
    this.#seen++
    if (this.#seen < 4) return
    const read = Math.min(this.#bodyBytes, 3)
    const start = this.#start * 256 ** (3 - read)
    this.#finish(this.#crc, this.#value, { encoding: Math.floor(start / 65536), samples: start % 65536, dataBytes: this.#bodyBytes - 1 })
    this.#enter('length')
  }

  #enter(state: State): void {
    this.#state = state
    this.#seen = 0
    this.#value = 0
  }

  #finish(actual: number, expected: number, chunk: { encoding: number; samples: number; dataBytes: number }): void {
    if (actual !== expected) throw damagedAt(this.#file, this.#entryOffset, 'a chunk does not match its checksum')
    this.#chunks++
    const { encoding } = chunk
    if (encoding < knownEncodings.xor || encoding > knownEncodings.floatHistogram) {
      this.#unknownEncodings.set(encoding, (this.#unknownEncodings.get(encoding) ?? 0) + 1)
      return
    }
    if (chunk.dataBytes < 2) throw damagedAt(this.#file, this.#entryOffset, 'a chunk is too short to hold its number of samples')
    this.#samples += chunk.samples
  }
}
