import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type NamedBlock, allBlocks, blockBytes, isRecoveryPointId, recoveryPointBytes, recoveryPointId, recoveryPointIdTime } from '../../src/domain/recovery-point.ts'
import { namedBlock, recoveryPoint } from '../fakes/recovery-points.ts'

const random = fc.stringMatching(/^[0-9a-f]{8}$/)
const times = fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })

describe('the id of a recovery point', () => {
  test('is its UTC time to the second, two characters for the millisecond, and six random ones', () => {
    expect(recoveryPointId(new Date('2026-11-21T02:36:15.987Z'), '79535be5b4d353f1')).toBe('20261121T023615Z-rf79535b')
    expect(recoveryPointId(new Date('2026-11-21T02:36:15.007Z'), '79535be5b4d353f1')).toBe('20261121T023615Z-0779535b')
  })

  test('tells its time, to the second', () => {
    fc.assert(fc.property(times, random, (time, text) => {
      const id = recoveryPointId(time, text)
      expect(isRecoveryPointId(id)).toBe(true)
      expect(recoveryPointIdTime(id)).toBe(Math.floor(time.getTime() / 1000) * 1000)
    }))
  })

  test('sorts by time, to the millisecond', () => {
    fc.assert(fc.property(times, times, random, random, (one, other, a, b) => {
      fc.pre(one.getTime() !== other.getTime())
      expect(recoveryPointId(one, a) < recoveryPointId(other, b)).toBe(one < other)
    }))
  })

  test.each([
    ['nothing', ''],
    ['a path', '../../etc/cron.d/x'],
    ['a path after it', '20261121T023615Z-79535be5/../x'],
    ['a line end', '20261121T023615Z-79535be5\n'],
    ['upper case', '20261121T023615Z-79535BE5'],
    ['nine characters', '20261121T023615Z-79535be5a'],
    ['no zone', '20261121T023615-79535be5'],
    ['a 13th month', '20261321T023615Z-79535be5'],
    ['a 30th of February', '20260230T023615Z-79535be5'],
    ['an hour 24', '20261121T240000Z-79535be5'],
    ['a second 60', '20261121T023660Z-79535be5'],
  ])('is not text with %s', (_, text) => {
    expect(isRecoveryPointId(text)).toBe(false)
    expect(recoveryPointIdTime(text)).toBeNaN()
  })
})

describe('the size of a recovery point', () => {
  const one: NamedBlock = { ...namedBlock(1), files: { index: 10, 'chunks/000001': 100, 'meta.json': 1 } }
  const two: NamedBlock = { ...namedBlock(2), files: { index: 20, 'meta.json': 2 }, tombstones: { sha256: '0'.repeat(64), sizeBytes: 5 } }

  test('counts every file of every block, the head and the tombstones', () => {
    expect([blockBytes(one), blockBytes(two)]).toEqual([111, 27])
    expect(recoveryPointBytes(recoveryPoint({ blocks: [one], head: { kind: 'block', block: two }, knownAnswers: { seed: '', series: [], queries: [], dropped: 0 } }))).toBe(138)
  })

  test('is nothing for an empty server', () => {
    expect(recoveryPointBytes(recoveryPoint({ blocks: [], head: { kind: 'empty' } }))).toBe(0)
  })
})

test('blocks and head come newest first', () => {
  const point = recoveryPoint({ blocks: [namedBlock(1), namedBlock(3), namedBlock(2)], head: { kind: 'block', block: namedBlock(4) } })
  expect(allBlocks(point).map((block) => block.ulid)).toEqual([4, 3, 2, 1].map((at) => namedBlock(at).ulid))
  expect(point.blocks.length).toBe(3)
})
