import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { answerWindows } from '../../src/domain/answer-windows.ts'
import { seededRandom } from '../../src/domain/seeded-choice.ts'

const hourMs = 3_600_000
const windowMs = 600_000
const block = (at: number) => ({ minTime: at * 2 * hourMs, maxTime: (at + 1) * 2 * hourMs })
const request = (series: number, seed = 'seed') => ({ series, windowMs, random: seededRandom(seed) })

describe('known answers', () => {
  test('come from the newest samples alone when there is no block', () => {
    expect(answerWindows({ blocks: [], oldestMs: 0, latestEndMs: hourMs }, request(10))).toEqual([{ startMs: hourMs - windowMs, endMs: hourMs, series: 10 }])
  })

  test('of a server that has just started come from all it has', () => {
    expect(answerWindows({ blocks: [], oldestMs: hourMs - 30_000, latestEndMs: hourMs }, request(10))).toEqual([{ startMs: hourMs - 30_000, endMs: hourMs, series: 10 }])
  })

  test('come half from the newest samples and half from up to four blocks', () => {
    const windows = answerWindows({ blocks: Array.from({ length: 9 }, (_, at) => block(at)), oldestMs: 0, latestEndMs: 19 * hourMs }, request(50))
    expect(windows.map((window) => window.series)).toEqual([25, 7, 6, 6, 6])
    expect(windows[0]).toEqual({ startMs: 19 * hourMs - windowMs, endMs: 19 * hourMs, series: 25 })
  })

  test('of a single series come from the newest samples', () => {
    expect(answerWindows({ blocks: [block(0)], oldestMs: 0, latestEndMs: 3 * hourMs }, request(1))).toEqual([{ startMs: 3 * hourMs - windowMs, endMs: 3 * hourMs, series: 1 }])
  })

  test('are none when none are asked for, or nothing is old enough to be sure of', () => {
    expect(answerWindows({ blocks: [block(0)], oldestMs: 0, latestEndMs: 3 * hourMs }, request(0))).toEqual([])
    expect(answerWindows({ blocks: [], oldestMs: 5, latestEndMs: 5 }, request(10))).toEqual([])
    expect(answerWindows({ blocks: [block(3)], oldestMs: 6 * hourMs, latestEndMs: 6 * hourMs }, request(10))).toEqual([])
  })

  test('come from a block as a whole when it is shorter than a window', () => {
    const windows = answerWindows({ blocks: [{ minTime: 0, maxTime: 1_000 }], oldestMs: 0, latestEndMs: hourMs }, request(2))
    expect(windows[1]).toEqual({ startMs: 0, endMs: 999, series: 1 })
  })

  test('come from other places with another seed', () => {
    const history = { blocks: Array.from({ length: 30 }, (_, at) => block(at)), oldestMs: 0, latestEndMs: 61 * hourMs }
    const starts = new Set(Array.from({ length: 20 }, (_, at) => JSON.stringify(answerWindows(history, request(50, `${at}`)))))
    expect(starts.size).toBe(20)
    expect(answerWindows(history, request(50, 'x'))).toEqual(answerWindows(history, request(50, 'x')))
  })
})

test('whatever the history, windows lie inside it and before its end, and ask for as many series as were wanted', () => {
  const blocks = fc.uniqueArray(fc.integer({ min: 0, max: 40 }), { maxLength: 12 })
  fc.assert(
    fc.property(blocks, fc.integer({ min: 1, max: 100 * hourMs }), fc.integer({ min: 0, max: 120 }), fc.string(), (chosen, latestEndMs, series, seed) => {
      const history = { blocks: chosen.map(block), oldestMs: Math.min(...chosen.map((at) => block(at).minTime), latestEndMs - 1), latestEndMs }
      const windows = answerWindows(history, request(series, seed))
      for (const { startMs, endMs, series: wanted } of windows) {
        expect(startMs).toBeGreaterThanOrEqual(history.oldestMs)
        expect(endMs).toBeLessThanOrEqual(latestEndMs)
        expect(startMs).toBeLessThanOrEqual(endMs)
        expect(endMs - startMs).toBeLessThanOrEqual(windowMs)
        expect(wanted).toBeGreaterThan(0)
      }
      for (const { startMs, endMs } of windows.slice(1)) expect(history.blocks.some((inside) => inside.minTime <= startMs && endMs < inside.maxTime)).toBe(true)
      expect(windows.length).toBeLessThanOrEqual(5)
      expect(windows.reduce((sum, window) => sum + window.series, 0)).toBe(series)
    }),
    { numRuns: 500 },
  )
})
