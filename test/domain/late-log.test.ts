import { expect, test } from 'vitest'
import { brokenLateSegments } from '../../src/domain/late-log.ts'
import type { WalPiece } from '../../src/domain/wal-stream.ts'

const digest = (segment: number, end: number) => `${segment}${end}`.padStart(64, '0')

/** Bytes [start, end) of a segment of the log of out-of-order samples, seen at `seenAt`. */
function piece(segment: number, start: number, end: number, seenAt: number): WalPiece {
  return { log: 'wbl', segment, start, end, newestSample: null, seenAt, digest: digest(segment, end), startDigest: start === 0 ? undefined : digest(segment, start), predecessor: undefined, sealed: false, key: `${segment}-${start}`, storedBytes: 1 }
}

const whole = [piece(3, 0, 10, 1000), piece(3, 10, 20, 2000), piece(3, 20, 30, 3000), piece(4, 0, 10, 4000)]
const without = (start: number) => whole.filter((one) => one.segment !== 3 || one.start !== start)

test('what hangs together lacks nothing, and so does what is left after the oldest segments went', () => {
  expect(brokenLateSegments(whole, 5000)).toEqual([])
  expect(brokenLateSegments(whole.slice(3), 5000)).toEqual([])
  expect(brokenLateSegments([], 5000)).toEqual([])
})

test('a piece that something follows is missing, be it the first', () => {
  expect(brokenLateSegments(without(10), 5000)).toEqual([3])
  expect(brokenLateSegments(without(0), 5000)).toEqual([3])
})

test('what is missing after the moment does not matter', () => {
  expect(brokenLateSegments(without(20), 1500)).toEqual([])
  expect(brokenLateSegments(without(10), 999)).toEqual([])
  expect(brokenLateSegments(without(10), 1000)).toEqual([3])
})
