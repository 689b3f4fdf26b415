import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32c, crc32cOfRange } from '../../src/tsdb/crc32c.ts'

const text = new TextEncoder().encode('123456789')

test('the check value of CRC-32C is met', () => {
  expect(crc32c(text)).toBe(0xe3069283)
  expect(crc32cOfRange(text, 0, text.length)).toBe(0xe3069283)
})

test('a checksum goes on where another ended', () => {
  expect(crc32c(text.subarray(4), crc32c(text.subarray(0, 4)))).toBe(0xe3069283)
})

test('a range, short or long, has the checksum of its bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(400), fc.nat(400), (bytes, a, b) => {
      const start = Math.min(a, b, bytes.length)
      const end = Math.min(Math.max(a, b), bytes.length)
      expect(crc32cOfRange(bytes, start, end)).toBe(crc32c(bytes.slice(start, end)))
    }),
    { numRuns: 1000 },
  )
})
