import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Coverable, coverOf, defaultCompactedSpanMs } from '../../src/domain/compaction-cover.ts'

const hourMs = 3_600_000

function block(ulid: string, sources: string[], numSamples: number, more: Partial<Coverable> = {}): Coverable {
  return { ulid, minTime: 0, maxTime: 1, sources, numSamples, hasTombstones: false, ...more }
}

const ulidsOf = (cover: Coverable[] | undefined) => cover?.map((part) => part.ulid).sort()

describe('a compacted block', () => {
  const one = block('1', ['1'], 10)
  const two = block('2', ['2'], 20)
  const three = block('3', ['3'], 30)
  const merged = block('x', ['1', '2', '3'], 60)

  test('is covered by the blocks that it was made of', () => {
    expect(ulidsOf(coverOf(merged, [three, one, two]))).toEqual(['1', '2', '3'])
  })

  test('is covered by blocks of different levels', () => {
    expect(ulidsOf(coverOf(merged, [three, block('y', ['1', '2'], 30)]))).toEqual(['3', 'y'])
  })

  test('is covered by as few blocks as there are', () => {
    expect(ulidsOf(coverOf(merged, [one, two, three, block('y', ['1', '2'], 30), block('z', ['3', '1', '2'], 60)]))).toEqual(['z'])
  })

  test('is covered by itself where it is stored', () => {
    expect(ulidsOf(coverOf(merged, [merged]))).toEqual(['x'])
  })

  test('is not covered when one source is missing', () => {
    expect(coverOf(merged, [one, three])).toBeUndefined()
  })

  test('is not covered by a block that holds another block\'s samples too', () => {
    expect(coverOf(merged, [one, two, block('w', ['3', '4'], 70)])).toBeUndefined()
    expect(coverOf(one, [merged])).toBeUndefined()
  })

  test('is not covered by blocks that overlap, although their samples happen to add up', () => {
    expect(coverOf(merged, [block('y', ['1', '2'], 25), block('z', ['2', '3'], 35)])).toBeUndefined()
  })

  test.each([59, 61])('is not covered when it has %i samples and they have 60: something was deleted or merged away', (numSamples) => {
    expect(coverOf({ ...merged, numSamples }, [one, two, three])).toBeUndefined()
  })

  test('is not covered when it has tombstones, not even by itself', () => {
    expect(coverOf({ ...merged, hasTombstones: true }, [one, two, three, merged])).toBeUndefined()
  })

  test('is not covered by blocks with tombstones', () => {
    expect(coverOf(merged, [one, { ...two, hasTombstones: true }, three])).toBeUndefined()
    expect(ulidsOf(coverOf(merged, [one, two, three, block('z', ['1', '2', '3'], 60, { hasTombstones: true })]))).toEqual(['1', '2', '3'])
  })

  test('is not covered when it does not say what it was made of: nothing stored is no evidence', () => {
    expect(coverOf(block('x', [], 0), [one])).toBeUndefined()
    expect(coverOf(block('x', [], 10), [one])).toBeUndefined()
  })

  test('is not covered when it does not say how many samples it has: zeros that add up are no evidence', () => {
    expect(coverOf(block('x', ['1'], 0), [block('1', ['1'], 0)])).toBeUndefined()
  })

  test('stored blocks without sources take no part', () => {
    expect(ulidsOf(coverOf(merged, [block('e', [], 60), one, two, three]))).toEqual(['1', '2', '3'])
  })
})

/** A history of compactions: leaves cut from the head, and merges of neighbours, some with deletions or duplicates. */
const histories = fc
  .record({
    leaves: fc.array(fc.record({ samples: fc.integer({ min: 1, max: 50 }), tombstones: fc.boolean() }), { minLength: 1, maxLength: 12 }),
    merges: fc.array(fc.record({ at: fc.nat(), count: fc.integer({ min: 2, max: 4 }), lost: fc.option(fc.integer({ min: 1, max: 5 }), { freq: 3 }) }), { maxLength: 10 }),
    stored: fc.infiniteStream(fc.boolean()),
    tombstonesAre: fc.constantFrom('rare', 'absent'),
  })
  .map(({ leaves, merges, stored, tombstonesAre }) => {
    const made = leaves.map(({ samples, tombstones }, at) => block(`L${at}`, [`L${at}`], samples, { hasTombstones: tombstonesAre === 'rare' && tombstones && at % 4 === 0 }))
    const live = [...made]
    for (const [number, { at, count, lost }] of merges.entries()) {
      const from = at % live.length
      const parts = live.slice(from, from + count)
      if (parts.length < 2) continue
      const samples = parts.reduce((sum, part) => sum + part.numSamples, 0)
      // A deletion or a vertical merge leaves fewer samples than went in.
      const merged = block(`M${number}`, [...new Set(parts.flatMap((part) => part.sources))].sort(), Math.max(1, samples - (lost ?? 0)))
      live.splice(from, parts.length, merged)
      made.push(merged)
    }
    return { made, stored: made.filter(() => stored.next().value as boolean) }
  })

test('whatever the history, a cover partitions the sources, has the same number of samples, and nothing in it has tombstones', () => {
  let covered = 0
  let bare = 0
  fc.assert(
    fc.property(histories, ({ made, stored }) => {
      for (const wanted of made) {
        const cover = coverOf(wanted, stored)
        if (cover === undefined) {
          bare += 1
          continue
        }
        covered += 1
        expect(wanted.hasTombstones).toBe(false)
        expect(cover.every((part) => !part.hasTombstones && stored.includes(part))).toBe(true)
        const sources = cover.flatMap((part) => [...part.sources])
        expect(sources.length).toBe(new Set(sources).size)
        expect([...sources].sort()).toEqual([...wanted.sources].sort())
        expect(cover.reduce((sum, part) => sum + part.numSamples, 0)).toBe(wanted.numSamples)
      }
    }),
    { numRuns: 1000 },
  )
  expect(Math.min(covered, bare)).toBeGreaterThan(500)
})

test('whatever the history, a block is covered when everything it was cut from is stored and nothing was ever lost', () => {
  fc.assert(
    fc.property(histories, ({ made }) => {
      const leaves = made.filter((candidate) => candidate.sources.length === 1).map((leaf) => ({ ...leaf, hasTombstones: false }))
      for (const wanted of made) {
        const numSamples = leaves.filter((leaf) => wanted.sources.includes(leaf.ulid)).reduce((sum, leaf) => sum + leaf.numSamples, 0)
        expect(coverOf({ ...wanted, numSamples, hasTombstones: false }, leaves)).toBeDefined()
      }
    }),
  )
})

test('the answer does not depend on the order in which stored blocks are listed', () => {
  fc.assert(
    fc.property(histories, ({ made, stored }) => {
      for (const wanted of made) expect(ulidsOf(coverOf(wanted, [...stored].reverse()))).toEqual(ulidsOf(coverOf(wanted, stored)))
    }),
  )
})

test('blocks of two branches of history, whose sources cross, never make a cover that holds a sample twice', () => {
  const sets = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 7 }), { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 12 })
  fc.assert(
    fc.property(sets, fc.uniqueArray(fc.integer({ min: 0, max: 7 }), { minLength: 2 }), (storedSources, wantedSources) => {
      const stored = storedSources.map((sources, at) => block(`S${at}`, sources.map(String), sources.length))
      const cover = coverOf(block('X', wantedSources.map(String), wantedSources.length), stored)
      if (cover === undefined) return
      expect(cover.flatMap((part) => [...part.sources]).sort()).toEqual(wantedSources.map(String).sort())
    }),
    { numRuns: 500 },
  )
})

describe('the span at which a compacted block is uploaded', () => {
  test.each([
    ['15 days of retention: blocks up to 18 h', 36 * hourMs, 12],
    ['30 days: up to 54 h', 72 * hourMs, 36],
    ['90 days: up to 162 h', 216 * hourMs, 108],
    ['no end in sight: 31 days allow 486 h', 31 * 24 * hourMs, 324],
    ['a largest range exactly three times the smallest', 6 * hourMs, 4],
    ['compaction turned off', 2 * hourMs, 4 / 3],
    ['a largest below the smallest', hourMs, 4 / 3],
  ])('is two thirds of the largest block: %s', (_, maxBlockMs, hours) => {
    expect(defaultCompactedSpanMs(2 * hourMs, maxBlockMs)).toBe(Math.ceil(hours * hourMs))
  })

  test('stops at the tenth range, as Prometheus does', () => {
    expect(defaultCompactedSpanMs(1000, Number.MAX_SAFE_INTEGER)).toBe(Math.ceil((1000 * 3 ** 9 * 2) / 3))
  })
})
