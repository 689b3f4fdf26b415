import fc from 'fast-check'
import type { StreamChecker } from '../../src/tsdb/stream-checker.ts'

/** Feeds `bytes` to a checker, cut at the given offsets (any order, any number). */
export function checkInPieces<Result>(checker: StreamChecker<Result>, bytes: Uint8Array, cuts: readonly number[] = []): Result {
  const sorted = [...cuts].filter((cut) => cut < bytes.length).sort((a, b) => a - b)
  let start = 0
  for (const end of [...sorted, bytes.length]) {
    // A copy that is overwritten afterwards shows a checker that keeps what it was lent.
    const piece = Uint8Array.from(bytes.subarray(start, end))
    checker.write(piece)
    piece.fill(0xa5)
    start = end
  }
  return checker.end()
}

/** Offsets at which a file of `sizeBytes` may arrive cut: often many, often next to each other. */
export function cutsOf(sizeBytes: number): fc.Arbitrary<number[]> {
  return fc.array(fc.nat(sizeBytes), { maxLength: 60 }).map((cuts) => cuts.flatMap((cut) => [cut, cut + 1]))
}

/** Every copy of `bytes` with one bit flipped, in one reused buffer. */
export function* everyFlippedBit(bytes: Uint8Array): Generator<{ flipped: Uint8Array; offset: number; bit: number }> {
  const flipped = Uint8Array.from(bytes)
  for (let offset = 0; offset < bytes.length; offset++) {
    for (let bit = 0; bit < 8; bit++) {
      flipped[offset]! ^= 1 << bit
      yield { flipped, offset, bit }
      flipped[offset]! ^= 1 << bit
    }
  }
}

/** A range of a file, and what it is overwritten with: zeros as after a crash, or noise. */
export function overwriteOf(sizeBytes: number): fc.Arbitrary<{ at: number; bytes: Uint8Array }> {
  const zeros = fc.integer({ min: 1, max: 5000 }).map((length) => new Uint8Array(length))
  return fc.record({ at: fc.nat(sizeBytes - 1), bytes: fc.oneof(zeros, fc.uint8Array({ minLength: 1, maxLength: 64 })) })
}

/** `bytes` with the range overwritten; undefined when that changes nothing. */
export function overwritten(bytes: Uint8Array, overwrite: { at: number; bytes: Uint8Array }): Uint8Array | undefined {
  const result = Uint8Array.from(bytes)
  result.set(overwrite.bytes.subarray(0, bytes.length - overwrite.at), overwrite.at)
  return Buffer.compare(result, bytes) === 0 ? undefined : result
}
