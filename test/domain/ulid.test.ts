import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isUlid, newUlid, ulidTime } from '../../src/domain/ulid.ts'

const bytes10 = fc.uint8Array({ minLength: 10, maxLength: 10 })

test('the time of the ULID in the specification is read', () => {
  expect(ulidTime('01ARZ3NDEKTSV4RRFFQ69G5FAV')).toBe(1469922850259)
})

test('every time of 48 bits comes back from its ULID', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), bytes10, (timeMs, random) => {
      const ulid = newUlid(timeMs, random)
      expect(isUlid(ulid)).toBe(true)
      expect(ulidTime(ulid)).toBe(timeMs)
    }),
  )
})

test('ULIDs sort by time', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 2 }), bytes10, bytes10, (timeMs, a, b) => {
      expect(newUlid(timeMs, a) < newUlid(timeMs + 1, b)).toBe(true)
    }),
  )
})

test.each([
  ['lower case', '01arz3ndektsv4rrffq69g5fav'],
  ['a letter that Crockford leaves out', '01ARZ3NDEKTSV4RRFFQ69G5FAU'],
  ['a 129th bit', '81ARZ3NDEKTSV4RRFFQ69G5FAV'],
  ['25 characters', '01ARZ3NDEKTSV4RRFFQ69G5FA'],
  ['27 characters', '01ARZ3NDEKTSV4RRFFQ69G5FAVV'],
  ['a line end', '01ARZ3NDEKTSV4RRFFQ69G5FAV\n'],
  ['a suffix of Prometheus', '01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp-for-deletion'],
  ['nothing', ''],
])('text with %s is no ULID', (_, text) => {
  expect(isUlid(text)).toBe(false)
  expect(() => ulidTime(text)).toThrow(RangeError)
})

test.each([-1, 1.5, 2 ** 48, Number.NaN])('no ULID is made of the time %d', (timeMs) => {
  expect(() => newUlid(timeMs, new Uint8Array(10))).toThrow(RangeError)
})
