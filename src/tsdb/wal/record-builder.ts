const initialBytes = 1024

/** Writes the fields that `RecordCursor` reads. Numbers are integers within ±2^53; anything else is a RangeError. */
export class RecordBuilder {
  #buffer = Buffer.allocUnsafe(initialBytes)
  #length = 0

  get length(): number {
    return this.#length
  }

  byte(value: number): this {
    const at = this.#reserve(1)
    this.#buffer[at] = value
    return this
  }

  uint64(value: number): this {
    return this.bits64(BigInt(integer(value)))
  }

  int64(value: number): this {
    return this.bits64(BigInt.asUintN(64, BigInt(integer(value))))
  }

  bits64(value: bigint): this {
    const at = this.#reserve(8)
    this.#buffer.writeBigUInt64BE(value, at)
    return this
  }

  varint(value: number): this {
    const doubled = integer(value) * 2
    if (!Number.isSafeInteger(doubled)) return this.varint64(BigInt(value))
    return this.uvarint(value < 0 ? -doubled - 1 : doubled)
  }

  uvarint(value: number): this {
    let rest = integer(value)
    if (rest < 0) throw new RangeError(`${value} is negative`)
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.byte((rest % 128) | 128)
    return this.byte(rest)
  }

  varint64(value: bigint): this {
    return this.uvarint64(value < 0n ? -value * 2n - 1n : value * 2n)
  }

  uvarint64(value: bigint): this {
    if (BigInt.asUintN(64, value) !== value) throw new RangeError(`${value} does not fit in 64 bits`)
    let rest = value
    for (; rest >= 128n; rest >>= 7n) this.byte(Number(rest & 127n) | 128)
    return this.byte(Number(rest))
  }

  string(text: string): this {
    const byteCount = Buffer.byteLength(text, 'utf8')
    const at = this.uvarint(byteCount).#reserve(byteCount)
    this.#buffer.write(text, at, byteCount, 'utf8')
    return this
  }

  bytes(source: Uint8Array): this {
    const at = this.#reserve(source.length)
    this.#buffer.set(source, at)
    return this
  }

  /** What was written. The builder is done with then. */
  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Where to write the next bytes. Call it before looking at the buffer, which it may replace. */
  #reserve(byteCount: number): number {
    const at = this.#length
    this.#length += byteCount
    if (this.#length > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, this.#buffer.length * 2))
      grown.set(this.#buffer.subarray(0, at))
      this.#buffer = grown
    }
    return at
  }
}

function integer(value: number): number {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not an integer within ±2^53`)
  return value
}
