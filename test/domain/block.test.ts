import { expect, test } from 'vitest'
import { blockSpanMs, isInOrder } from '../../src/domain/block.ts'

test.each([
  [undefined, true],
  [[], true],
  [['from-out-of-order'], false],
  [['from-stale-series'], false],
  [['from-selected-series'], false],
  [['from-something-of-tomorrow'], false],
  [['something-else'], true],
  [['something-else', 'from-out-of-order'], false],
])('a block with the hints %j is in order: %s', (hints, expected) => {
  const compaction = { level: 1, sources: [], ...(hints === undefined ? {} : { hints }) }
  expect(isInOrder({ compaction })).toBe(expected)
})

test('the span of a block is the length of its half-open range', () => {
  expect(blockSpanMs({ minTime: 1_000, maxTime: 7_201_000 })).toBe(7_200_000)
})
