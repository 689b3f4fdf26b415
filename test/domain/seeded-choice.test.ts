import fc from 'fast-check'
import { expect, test } from 'vitest'
import { seededRandom, shuffled } from '../../src/domain/seeded-choice.ts'

const numbers = (seed: string, count: number) => {
  const random = seededRandom(seed)
  return Array.from({ length: count }, () => random())
}

test('the same seed gives the same numbers, on every machine and in every version', () => {
  expect(numbers('prom-dr', 4)).toEqual([0.9908548793755472, 0.21562549355439842, 0.7269980132114142, 0.20902721979655325])
})

test('another seed gives other numbers', () => {
  const seen = new Set(Array.from({ length: 500 }, (_, at) => numbers(`seed ${at}`, 3).join(' ')))
  expect(seen.size).toBe(500)
})

test('numbers are in [0, 1) and spread evenly, from the first one on', () => {
  const firsts = Array.from({ length: 4_000 }, (_, at) => numbers(`${at}`, 1)[0] as number)
  for (const sample of [numbers('one seed', 20_000), firsts]) {
    expect(Math.min(...sample)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...sample)).toBeLessThan(1)
    for (let bucket = 0; bucket < 10; bucket += 1) {
      const share = sample.filter((value) => Math.floor(value * 10) === bucket).length / sample.length
      expect(Math.abs(share - 0.1)).toBeLessThan(0.02)
    }
  }
})

test('shuffling keeps every item, leaves the original alone, and depends on the seed only', () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), fc.string(), (items, seed) => {
      const before = [...items]
      const result = shuffled(items, seededRandom(seed))
      expect(items).toEqual(before)
      expect([...result].sort((a, b) => a - b)).toEqual([...items].sort((a, b) => a - b))
      expect(shuffled(items, seededRandom(seed))).toEqual(result)
    }),
  )
})

test('shuffling puts every item in every place about equally often', () => {
  const random = seededRandom('places')
  const counts = Array.from({ length: 4 }, () => [0, 0, 0, 0])
  for (let round = 0; round < 8_000; round += 1) {
    for (const [place, item] of shuffled([0, 1, 2, 3], random).entries()) (counts[item] as number[])[place] = ((counts[item] as number[])[place] ?? 0) + 1
  }
  for (const count of counts.flat()) expect(Math.abs(count - 2_000)).toBeLessThan(200)
})
