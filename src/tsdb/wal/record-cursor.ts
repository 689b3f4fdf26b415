import { type RecordPosition, walDamage } from './wal-damage.ts'

/**
 * Reads the fields of one record, in order, as tsdb/encoding of Prometheus writes them: fixed-width numbers in big-endian
 * order, Go's varints (7 bits a byte, lowest first; signed ones zigzag), strings with a uvarint length. A field that does not
 * fit is DAMAGED, so that a hostile length costs nothing.
 */
export class RecordCursor {
  readonly bytes: Uint8Array
  /** Of the next byte. */
  at: number
  readonly #end: number
  readonly #view: DataView
  readonly #position: RecordPosition

  constructor(bytes: Uint8Array, position: RecordPosition, at = 0) {
    this.bytes = bytes
    this.at = at
    this.#end = bytes.length
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#position = position
  }

  get hasMore(): boolean {
    return this.at < this.#end
  }

  byte(): number {
    if (this.at >= this.#end) throw this.damage('it ends within a field')
    return this.bytes[this.at++]!
  }

  /** Rounded beyond 2^53. */
  uint64(): number {
    const at = this.#take(8)
    return this.#view.getUint32(at) * 2 ** 32 + this.#view.getUint32(at + 4)
  }

  /** Rounded beyond ±2^53. */
  int64(): number {
    const at = this.#take(8)
    return this.#view.getInt32(at) * 2 ** 32 + this.#view.getUint32(at + 4)
  }

  bits64(): bigint {
    return this.#view.getBigUint64(this.#take(8))
  }

  /** Rounded beyond ±2^53. */
  varint(): number {
    const start = this.at
    const value = this.uvarint()
    if (value < 2 ** 31) return (value >>> 1) ^ -(value & 1)
    if (value > Number.MAX_SAFE_INTEGER) return Number(unzigzag(this.#exact(start)))
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  /** Rounded beyond 2^53. */
  uvarint(): number {
    const { bytes } = this
    const end = this.#end
    let at = this.at
    let low = 0
    for (let shift = 0; shift < 28 && at < end; shift += 7) {
      const byte = bytes[at++]!
      low |= (byte & 127) << shift
      if (byte < 128) {
        this.at = at
        return low
      }
    }
    return this.#longUvarint(low, at)
  }

  varint64(): bigint {
    return unzigzag(this.uvarint64())
  }

  uvarint64(): bigint {
    const start = this.at
    const value = this.uvarint()
    return value <= Number.MAX_SAFE_INTEGER ? BigInt(value) : this.#exact(start)
  }

  /** A number of elements of at least `elementBytes` each: more than there is room for is not believed. */
  count(elementBytes: number): number {
    const value = this.uvarint()
    if (value * elementBytes > this.#end - this.at) throw this.damage(`it claims ${value} elements where ${this.#end - this.at} bytes are left`)
    return value
  }

  skip(byteCount: number): void {
    this.#take(byteCount)
  }

  /** Passes over a varint of either kind. */
  skipVarint(): void {
    this.uvarint()
  }

  skipString(): void {
    this.skip(this.count(1))
  }

  /** UTF-8. Bytes that are not, which no Prometheus accepts, come out as U+FFFD. */
  string(): string {
    const length = this.count(1)
    const at = this.#take(length)
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + at, length).toString('utf8')
  }

  damage(reason: string): Error {
    return walDamage(this.#position.file, this.#position.startOffset, `the record there cannot be decoded: ${reason} (byte ${this.at} of ${this.#end})`)
  }

  /** The uvarint from `start` to here. */
  #exact(start: number): bigint {
    let value = 0n
    for (let i = start; i < this.at; i++) value |= BigInt(this.bytes[i]! & 127) << BigInt(7 * (i - start))
    return value
  }

  #longUvarint(low: number, from: number): number {
    const { bytes } = this
    let value = low
    let factor = 2 ** 28
    for (let at = from, count = 5; count <= 10 && at < this.#end; at++, count++) {
      const byte = bytes[at]!
      value += (byte & 127) * factor
      factor *= 128
      if (byte >= 128) continue
      // The tenth byte holds the 64th bit alone.
      if (count === 10 && byte > 1) break
      this.at = at + 1
      return value
    }
    throw this.damage('a number ends nowhere or has more than 64 bits')
  }

  #take(byteCount: number): number {
    const at = this.at
    if (byteCount > this.#end - at) throw this.damage('it ends within a field')
    this.at = at + byteCount
    return at
  }
}

function unzigzag(value: bigint): bigint {
  return (value & 1n) === 0n ? value >> 1n : -((value + 1n) >> 1n)
}
