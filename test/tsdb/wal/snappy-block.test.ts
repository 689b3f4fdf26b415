import fc from 'fast-check'
import { compressSync } from 'snappy'
import { describe, expect, it } from 'vitest'
import { unpackBlock } from '../../../src/tsdb/wal/snappy-block.ts'

function unpacked(packed: Uint8Array, sizeBytes: number): Buffer {
  const target = Buffer.alloc(sizeBytes, 0xee)
  unpackBlock(packed, target)
  return target
}

/** Bytes with runs and repeats near and far, as records have them. */
const compressible = fc
  .array(fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.tuple(fc.nat(255), fc.integer({ min: 1, max: 70_000 })).map(([byte, length]) => new Uint8Array(length).fill(byte)), fc.nat(8)), { maxLength: 60 })
  .map((parts) => {
    const pieces: Uint8Array[] = []
    for (const part of parts) pieces.push(typeof part === 'number' ? (pieces.at(-part - 1) ?? new Uint8Array(0)) : part)
    return Buffer.concat(pieces)
  })

describe('unpackBlock', () => {
  it('gives back what snappy packed, into memory that is as long', () => {
    fc.assert(fc.property(compressible, (bytes) => unpacked(compressSync(bytes, { copyOutputData: true }), bytes.length).equals(bytes)), { numRuns: 300 })
  })

  it.each([
    ['a literal whose length takes two bytes', [200, 1, 61 << 2, 199, 0, ...Array.from({ length: 200 }, (_, i) => i)], Buffer.from(Array.from({ length: 200 }, (_, i) => i))],
    ['a copy with an offset of one byte that overlaps itself', [7, 1 << 2, 65, 66, (1 << 2) | 1, 2], Buffer.from('ABABABA')],
    ['a copy with an offset of two bytes', [6, 2 << 2, 65, 66, 67, (2 << 2) | 2, 3, 0], Buffer.from('ABCABC')],
    ['a copy with an offset of four bytes', [6, 2 << 2, 65, 66, 67, (2 << 2) | 3, 3, 0, 0, 0], Buffer.from('ABCABC')],
    ['a long copy that does not overlap', [128, 1, 60 << 2, 63, ...Array.from({ length: 64 }, (_, i) => i), (63 << 2) | 2, 64, 0], Buffer.from(Array.from({ length: 128 }, (_, i) => i % 64))],
    ['nothing', [0], Buffer.alloc(0)],
  ])('unpacks %s', (_, packed, expected) => {
    expect(unpacked(Uint8Array.from(packed), expected.length)).toEqual(expected)
  })

  it.each([
    ['a literal longer than what is left of the block', [5, 4 << 2, 65], 5],
    ['a literal longer than the record', [2, 4 << 2, 65, 66, 67, 68, 69], 2],
    ['a literal whose length takes four bytes and is enormous', [5, 63 << 2, 255, 255, 255, 255, 65], 5],
    ['a copy from before the beginning', [6, 1 << 2, 65, 66, (0 << 2) | 1, 3], 6],
    ['a copy from nowhere', [6, 1 << 2, 65, 66, (0 << 2) | 1, 0], 6],
    ['a copy beyond the end of the record', [4, 1 << 2, 65, 66, (3 << 2) | 1, 2], 4],
    ['a copy whose offset is cut off', [6, 2 << 2, 65, 66, 67, (2 << 2) | 3, 3, 0], 6],
    ['a literal whose length is cut off', [6, 61 << 2, 1], 6],
    ['less than it claims', [6, 1 << 2, 65, 66], 6],
  ])('refuses %s', (_, packed, sizeBytes) => {
    expect(() => unpacked(Uint8Array.from(packed), sizeBytes)).toThrow(Error)
  })

  it('ends, and writes only into the memory it was given, whatever the bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(600), (packed, sizeBytes) => {
      const around = Buffer.alloc(sizeBytes + 64, 0xee)
      try {
        unpackBlock(packed, around.subarray(32, 32 + sizeBytes))
      } catch (error) {
        expect(error).toBeInstanceOf(Error)
      }
      expect(around.subarray(0, 32).every((byte) => byte === 0xee) && around.subarray(32 + sizeBytes).every((byte) => byte === 0xee)).toBe(true)
    }), { numRuns: 500 })
  })
})
