/** Of a chunk's data: how many samples it has. */
const countBytes = 2

/** How many bits a time's second difference may have, by the ones before it. */
const secondDifferenceBits = [14, 17, 20, 64] as const

/**
 * The time of the newest sample of an XOR chunk that is not later than `limitMs`, ms; undefined when there is none. The values between the times
 * are passed over (Prometheus, tsdb/chunkenc/xor.go; the paper calls it Gorilla). `data` begins with the number of samples; it has been
 * checked against its checksum, so that nothing is said of one that ends too early.
 */
export function newestTimeUntil(data: Uint8Array, limitMs: number): number | undefined {
  if (data.length < countBytes) return undefined
  const samples = (data[0]! << 8) | data[1]!
  const bits = new Bits(data, countBytes * 8)
  let newest: number | undefined
  let timeMs = 0
  let deltaMs = 0
  let leading = 0
  let meaningful = 64
  for (let nth = 0; nth < samples && !bits.atEnd; nth += 1) {
    if (nth === 0) timeMs = unzigzag(bits.uvarint())
    else {
      deltaMs = nth === 1 ? Number(bits.uvarint()) : deltaMs + secondDifference(bits)
      timeMs += deltaMs
    }
    if (timeMs > limitMs) return newest
    newest = timeMs
    if (nth === 0) bits.skip(64)
    else if (bits.bit() === 1) {
      if (bits.bit() === 1) {
        leading = Number(bits.read(5))
        meaningful = Number(bits.read(6)) || 64
      }
      bits.skip(Math.min(meaningful, 64 - leading))
    }
  }
  return newest
}

function secondDifference(bits: Bits): number {
  if (bits.bit() === 0) return 0
  let ones = 0
  while (ones < 3 && bits.bit() === 1) ones += 1
  const size = secondDifferenceBits[ones] ?? 64
  const value = bits.read(size)
  if (size === 64) return Number(BigInt.asIntN(64, value))
  return value > 1n << BigInt(size - 1) ? Number(value - (1n << BigInt(size))) : Number(value)
}

function unzigzag(value: bigint): number {
  return Number((value & 1n) === 0n ? value >> 1n : -((value + 1n) >> 1n))
}

/** Zeros follow the bytes. */
class Bits {
  readonly #bytes: Uint8Array
  #at: number

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length * 8
  }

  bit(): number {
    const byte = this.#bytes[this.#at >> 3] ?? 0
    const bit = (byte >> (7 - (this.#at & 7))) & 1
    this.#at += 1
    return bit
  }

  read(count: number): bigint {
    let value = 0n
    for (let left = count; left > 0; left -= 1) value = (value << 1n) | BigInt(this.bit())
    return value
  }

  skip(count: number): void {
    this.#at += count
  }

  /** As binary.ReadUvarint does, byte by byte, wherever in a byte they begin. */
  uvarint(): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = Number(this.read(8))
      value |= BigInt(byte & 127) << shift
      if (byte < 128) break
    }
    return value
  }
}
