import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { createRateLimitedStore } from '../../src/stores/rate-limited-store.ts'
import { objectStoreContract } from '../contracts/object-store-contract.ts'
import { createManualClock } from '../fakes/manual-clock.ts'
import { digestOf, patternBody } from '../support/bodies.ts'

objectStoreContract('the rate-limited store', { largeBytes: 5_000_000, url: /^memory:/ }, async () => {
  const store = createRateLimitedStore(createMemoryStore(), { clock: createManualClock(), uploadBytesPerSecond: 1_000_000, downloadBytesPerSecond: 1_000_000 })
  return { store, other: store, dispose: () => store.close() }
})

describe('the rate-limited store', () => {
  test('takes as long as the bytes need in each direction, whatever the other does', async () => {
    const clock = createManualClock()
    const store = createRateLimitedStore(createMemoryStore(), { clock, uploadBytesPerSecond: 100_000, downloadBytesPerSecond: 500_000 })
    await store.put('a', patternBody(1_000_000))
    expect(clock.monotonicMs()).toBeGreaterThanOrEqual(8900)
    expect(clock.monotonicMs()).toBeLessThanOrEqual(10_000)
    const before = clock.monotonicMs()
    await digestOf((await store.get('a')).body)
    expect(clock.monotonicMs() - before).toBeGreaterThanOrEqual(900)
    expect(clock.monotonicMs() - before).toBeLessThanOrEqual(2000)
  })

  test('lets a short body through beside a long one, which is sent in large pieces', async () => {
    const clock = createManualClock()
    const store = createRateLimitedStore(createMemoryStore(), { clock, uploadBytesPerSecond: 1_000_000 })
    const large = Buffer.alloc(16_000_000)
    let short: number | undefined
    const long = store.put('long', { sizeBytes: large.length, open: () => Readable.from([large]) })
    await Promise.all([long, store.put('short', patternBody(10_000)).then(() => (short = clock.monotonicMs()))])
    expect(clock.monotonicMs()).toBeGreaterThan(14_000)
    expect(short).toBeLessThan(2000)
  })

  test('does not hold what has no limit', async () => {
    const clock = createManualClock()
    const store = createRateLimitedStore(createMemoryStore(), { clock, uploadBytesPerSecond: 100_000 })
    await store.put('a', patternBody(50_000))
    await digestOf((await store.get('a')).body)
    expect(clock.sleeps).toEqual([])
  })
})
