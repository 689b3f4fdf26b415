import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDuration, parseDuration } from '../../src/domain/duration.ts'

describe('parseDuration', () => {
  test.each([
    ['0', 0],
    ['0s', 0],
    ['10s', 10_000],
    ['1h30m', 5_400_000],
    ['15d', 1_296_000_000],
    ['1d2h', 93_600_000],
    ['2w', 1_209_600_000],
    ['1y', 31_536_000_000],
    ['250ms', 250],
    ['1m250ms', 60_250],
  ])('reads %s as %i ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  test.each(['', '10', '-5m', '1.5h', 's', '30m1h', '1h 30m', '5 m', '10sec', '1H', '99999999999y'])('refuses %j', (text) => {
    expect(() => parseDuration(text)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })

  test('reads back whatever formatDuration writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000_000 }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms)
      }),
    )
  })
})

describe('formatDuration', () => {
  test.each([
    [0, '0s'],
    [90_000, '1m30s'],
    [15 * 86_400_000, '15d'],
    [14 * 86_400_000, '2w'],
    [-1500, '-1s500ms'],
  ])('writes %i ms as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text)
  })
})
