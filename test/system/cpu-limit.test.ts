import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/system/clock.ts'
import { createCpuLimit } from '../../src/system/cpu-limit.ts'
import { createManualClock } from '../fakes/manual-clock.ts'

describe('a limit of CPU time', () => {
  it('makes work take as long as its share needs', async () => {
    const clock = createManualClock()
    let usedMs = 0
    const limit = createCpuLimit({ cores: 0.25, clock, usedMs: () => usedMs })
    for (let piece = 0; piece < 100; piece += 1) {
      clock.advance(100)
      usedMs += 100
      await limit.rest()
    }
    // 10 s of work at a quarter of a core, less what it may use at once.
    expect(clock.monotonicMs()).toBeGreaterThan(34_000)
    expect(clock.monotonicMs()).toBeLessThan(41_000)
  })

  it('holds nothing that stays below it, and saves up no more than a second for later', async () => {
    const clock = createManualClock()
    let usedMs = 0
    const limit = createCpuLimit({ cores: 0.5, clock, usedMs: () => usedMs })
    for (let piece = 0; piece < 50; piece += 1) {
      clock.advance(10_000)
      usedMs += 300
      await limit.rest()
    }
    expect(clock.sleeps).toEqual([])
    clock.advance(3_600_000)
    usedMs += 3000
    await limit.rest()
    expect(clock.sleeps).toEqual([4000])
  })

  it('measures the time of this process', async () => {
    const slept: number[] = []
    const limit = createCpuLimit({ cores: 0.01, clock: { monotonicMs: systemClock.monotonicMs, sleep: async (durationMs) => void slept.push(durationMs) } })
    const { user: before } = process.cpuUsage()
    let sum = 0
    while (process.cpuUsage().user - before < 1_200_000) for (let n = 0; n < 100_000; n += 1) sum += Math.sqrt(n)
    await limit.rest()
    expect(sum).toBeGreaterThan(0)
    expect(slept).toEqual([10_000])
  })

  it('ends its wait with the signal', async () => {
    let usedMs = 0
    const limit = createCpuLimit({ cores: 0.001, clock: systemClock, usedMs: () => usedMs })
    usedMs = 5000
    const { signal } = { signal: AbortSignal.timeout(20) }
    await expect(limit.rest(signal)).rejects.toThrow()
  })
})
