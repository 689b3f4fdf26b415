import { describe, expect, test } from 'vitest'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { createRetryingStore } from '../../src/stores/retrying-store.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { objectStoreContract } from '../contracts/object-store-contract.ts'
import { createFaultyStore, type StoreFault, type StoreVerb } from '../fakes/faulty-store.ts'
import { createManualClock } from '../fakes/manual-clock.ts'
import { collect, digestOf, keysOf, patternBody, textBody } from '../support/bodies.ts'

objectStoreContract('the retrying store', { largeBytes: 5_000_000, url: /^memory:/ }, async () => {
  const store = createRetryingStore(createMemoryStore(), { clock: createManualClock(), logger: silentLogger })
  return { store, other: store, dispose: () => store.close() }
})

function setUp(faults: StoreFault[] = [], options: { budgetMs?: number } = {}) {
  const clock = createManualClock()
  const memory = createMemoryStore()
  const faulty = createFaultyStore(memory, faults)
  const store = createRetryingStore(faulty, { clock, logger: silentLogger, random: () => 1, ...options })
  return { clock, memory, faulty, store }
}

const everyCall = (verb: StoreVerb, count: number): StoreFault[] => Array.from({ length: count }, (_, index) => ({ verb, call: index + 1, at: 'before' }))

describe('the retrying store', () => {
  const verbs: [StoreVerb, (store: ObjectStore) => Promise<unknown>][] = [
    ['create', (store) => store.create('new', textBody('x'))],
    ['put', (store) => store.put('new', textBody('x'))],
    ['get', (store) => store.get('there')],
    ['head', (store) => store.head('there')],
    ['list', (store) => keysOf(store)],
    ['listFolders', (store) => collect(store.listFolders(''))],
    ['delete', (store) => store.delete(['there'])],
    ['now', (store) => store.now()],
    ['capabilities', (store) => store.capabilities('')],
  ]
  test.for(verbs)('%s succeeds after three failures, waiting longer each time', async ([verb, call]) => {
    const { store, clock, faulty, memory } = setUp(everyCall(verb, 3))
    await memory.put('there', textBody('x'))
    await call(store)
    expect(faulty.fired.length).toBe(3)
    expect(clock.sleeps).toEqual([250, 500, 1000])
  })

  test('errors that will not pass are thrown at once', async () => {
    const { store, clock } = setUp()
    await expect(store.get('missing')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
    await store.create('a', textBody('one'))
    await expect(store.create('a', textBody('other'))).rejects.toMatchObject({ code: 'OBJECT_EXISTS' })
    expect(clock.sleeps).toEqual([])
  })

  test('a dead store costs its budget once, and later calls fail at their first try', async () => {
    const { store, clock, faulty } = setUp(everyCall('head', 1000), { budgetMs: 60_000 })
    await expect(store.head('a')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', message: expect.stringMatching(/gave up after \d+ tries/) })
    const first = clock.monotonicMs()
    expect(first).toBeGreaterThan(20_000)
    expect(first).toBeLessThanOrEqual(60_000)
    const triesOfFirst = faulty.fired.length
    clock.advance(60_000)
    for (let call = 0; call < 20; call++) await expect(store.head('a')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
    expect(faulty.fired.length - triesOfFirst).toBe(20)
    expect(clock.monotonicMs()).toBe(first + 60_000)
  })

  test('a success gives the budget back', async () => {
    const { store, clock } = setUp([...everyCall('head', 3), ...everyCall('now', 3)], { budgetMs: 5000 })
    await store.head('a')
    clock.advance(100_000)
    await store.now()
    expect(clock.sleeps.length).toBe(6)
  })

  test('a create whose answer was lost is success, and the object is there once', async () => {
    const { store, faulty, memory } = setUp([{ verb: 'create', call: 1, at: 'after' }])
    await expect(store.create('a', textBody('content'))).resolves.toMatchObject({ sizeBytes: 7 })
    expect(faulty.fired.length).toBe(1)
    expect([...memory.objects.keys()]).toEqual(['a'])
  })

  test('a body that is cut twice is resumed where it was cut', async () => {
    const { store, faulty, memory } = setUp([
      { verb: 'get', call: 1, at: 1_000_000 },
      { verb: 'get', call: 2, at: 500_000 },
      { verb: 'get', call: 3, at: 'before' },
    ])
    const { sha256 } = await memory.put('large', patternBody(3_000_000))
    const reader = await store.get('large')
    expect(reader.sizeBytes).toBe(3_000_000)
    expect(await digestOf(reader.body)).toBe(sha256)
    expect(faulty.fired.length).toBe(3)
  })

  test('a connection that fails after the last byte is no failure', async () => {
    const { store, faulty, memory } = setUp([{ verb: 'get', call: 1, at: 1000 }])
    await memory.put('a', patternBody(1000))
    await digestOf((await store.get('a')).body)
    expect(faulty.fired.length).toBe(1)
    expect(faulty.calls.length).toBe(1)
  })

  test('an object that is replaced between two pieces is never mixed', async () => {
    const { store, memory } = setUp([{ verb: 'get', call: 1, at: 1000 }])
    await memory.put('a', patternBody(5000, 1))
    const { body } = await store.get('a')
    memory.objects.set('a', { bytes: Buffer.alloc(5000), modifiedAt: new Date(0) })
    await expect(digestOf(body)).rejects.toMatchObject({ code: 'STORE_BAD_RESPONSE', message: expect.stringContaining('replaced') })
  })

  test('a body that is cut without end gives up', async () => {
    const { store, memory } = setUp(Array.from({ length: 5000 }, (_, index) => ({ verb: 'get', call: index + 1, at: 10 })))
    await memory.put('a', patternBody(1_000_000))
    await expect(digestOf((await store.get('a')).body)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
  })

  test('a listing that is cut goes on after what was given', async () => {
    const { store, faulty, memory } = setUp([{ verb: 'list', call: 1, at: 2 }, { verb: 'listFolders', call: 1, at: 1 }])
    for (const key of ['a/1', 'a-/2', 'b/3', 'c/4']) await memory.put(key, textBody('x'))
    expect(await keysOf(store)).toEqual(['a-/2', 'a/1', 'b/3', 'c/4'])
    expect(await collect(store.listFolders(''))).toEqual(['a-', 'a', 'b', 'c'])
    expect(faulty.fired.length).toBe(2)
  })

  test('nothing is tried again after the signal', async () => {
    const controller = new AbortController()
    const { store, faulty } = setUp([{ verb: 'head', call: 1, at: 'before', error: () => (controller.abort(), new Error('unused')) }])
    await expect(store.head('a', { signal: controller.signal })).rejects.toBeDefined()
    const again = setUp(everyCall('put', 5))
    const stop = new AbortController()
    again.clock.sleep = async (_duration, signal) => {
      stop.abort()
      throw signal?.reason
    }
    await expect(again.store.put('a', textBody('x'), { signal: stop.signal })).rejects.toMatchObject({ code: 'INTERRUPTED' })
    expect(again.faulty.calls.length).toBe(1)
    expect(faulty.calls.length).toBe(1)
  })

  test('the progress of a failed try is taken back', async () => {
    const { store } = setUp([{ verb: 'put', call: 1, at: 300 }])
    const progress: number[] = []
    await store.put('a', patternBody(1000), { onProgress: (bytes) => progress.push(bytes) })
    expect(progress).toEqual([300, 0, 1000])
  })
})
