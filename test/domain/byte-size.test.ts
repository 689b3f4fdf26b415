import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatByteSize, parseByteSize } from '../../src/domain/byte-size.ts'

describe('parseByteSize', () => {
  test.each([
    ['0', 0],
    ['4096', 4096],
    ['8MiB', 8_388_608],
    ['512MB', 512_000_000],
    ['1.5GiB', 1_610_612_736],
    ['2 kb', 2000],
    ['10B', 10],
  ])('reads %s as %i bytes', (text, bytes) => {
    expect(parseByteSize(text)).toBe(bytes)
  })

  test.each(['', '-1MB', '8M', 'MiB', '1e3', '1,5GB', '99999999TiB'])('refuses %j', (text) => {
    expect(() => parseByteSize(text)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})

describe('formatByteSize', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1_048_575, '1.0 MiB'],
    [123_456_789, '118 MiB'],
    [5_000_000_000_000, '4.5 TiB'],
  ])('writes %i bytes as %s', (bytes, text) => {
    expect(formatByteSize(bytes)).toBe(text)
  })

  test('is never further than six per cent from the size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 49 }), (bytes) => {
        expect(Math.abs(parseByteSize(formatByteSize(bytes)) - bytes)).toBeLessThanOrEqual(bytes * 0.06 + 1)
      }),
    )
  })
})
