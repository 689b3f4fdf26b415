import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { replayBoundMs } from '../../../src/domain/wal-plan.ts'
import { PromDrError } from '../../../src/errors.ts'
import { readGenerations } from '../../../src/repository/wal-stream.ts'
import { type MemoryStore, createMemoryStore } from '../../../src/stores/memory-store.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { operationsOn } from '../../support/operations.ts'
import { noServer, shipOnce } from '../../support/shipping.ts'
import { type SimulatedBase, baseOf, replayOf } from '../../support/simulated-replay.ts'
import { SimulatedWal } from '../../support/simulated-wal.ts'

/** A stream with parts, sealed segments, checkpoints and all documents, and recovery points from its beginning on. */
async function shippedStream() {
  const wal = await SimulatedWal.create(join(await temporaryDirectory('damage'), 'data'))
  const store = createMemoryStore()
  const bases: SimulatedBase[] = [baseOf(wal, { id: 'first', createdAt: Date.now() })]
  const ship = () => shipOnce(noServer, store, { dataDir: wal.dataDir })
  const round = async (samples: number) => {
    await wal.append(1)
    await wal.append(samples)
    await ship()
  }
  for (const samples of [3, 40, 5]) await round(samples)
  await wal.rotate(true)
  for (const samples of [7, 2]) await round(samples)
  await wal.rotate(false)
  await round(9)
  await wal.truncate(2)
  bases.push(baseOf(wal, { id: 'second', createdAt: Date.now() }))
  for (const samples of [30, 4]) await round(samples)
  const { ok, damaged } = await verified(store)
  expect({ ok, damaged }).toEqual({ ok: true, damaged: [] })
  expect(await readGenerations(store, 'prom-a')).toHaveLength(1)
  const keys = [...store.objects.keys()].filter((key) => key.startsWith('instances/prom-a/wal/'))
  for (const kind of [/\.sealed\.br$/, /\d\.br$/, /times\.json$/, /checkpoint\.json$/, /checkpoints\/.*\.br$/, /heartbeat\.json$/, /generation\.json$/]) expect(keys.some((key) => kind.test(key)), String(kind)).toBe(true)
  return { wal, store, keys, bases }
}

const verified = (store: MemoryStore) => operationsOn(noServer, store).verify({ readData: true })

/** What is replayed, or that it was refused. A sample under another series is neither. */
async function outcomeOf(wal: SimulatedWal, store: MemoryStore, base: SimulatedBase): Promise<Set<bigint> | 'refused'> {
  try {
    return (await replayOf(wal, store, base))?.found ?? 'refused'
  } catch (error) {
    if (error instanceof PromDrError && ['DAMAGED', 'OBJECT_NOT_FOUND'].includes(error.code)) return 'refused'
    throw error
  }
}

describe('a shipped stream of which one bit flips, anywhere', () => {
  it('is found to be damaged, and never gives a sample that it had not', async () => {
    const { wal, store, keys, bases } = await shippedStream()
    const whole = await Promise.all(bases.map((base) => outcomeOf(wal, store, base)))
    expect(whole.every((found) => found !== 'refused' && found.size > 30)).toBe(true)
    let harmless = 0
    let refused = 0
    await fc.assert(fc.asyncProperty(fc.constantFrom(...keys), fc.nat(), fc.nat(7), async (key, place, bit) => {
      const object = store.objects.get(key)!
      const good = object.bytes
      const flipped = Uint8Array.from(good)
      flipped[place % good.length]! ^= 1 << bit
      object.bytes = flipped
      try {
        const { damaged } = await verified(store)
        const outcomes = await Promise.all(bases.map((base) => outcomeOf(wal, store, base)))
        for (const [at, found] of outcomes.entries()) {
          if (found === 'refused') refused += 1
          // Onto an older checkpoint more is replayed, of which the server ignores what is in blocks.
          else expect([...found].filter((bits) => !(whole[at] as Set<bigint>).has(bits) && wal.samples.get(bits)!.timestampMs >= (replayBoundMs(bases[at]!.blocks) ?? 0))).toEqual([])
        }
        if (damaged.length > 0) return
        // Brotli has bits that change nothing of what it unpacks to: the size of its window, and the end of its last byte.
        expect(key).toMatch(/\.br$/)
        expect(outcomes).toEqual(whole)
        harmless += 1
      } finally {
        object.bytes = good
      }
    }), { numRuns: Number(process.env['PROM_DR_TEST_FLIPS'] ?? 150) })
    expect(refused).toBeGreaterThan(harmless * 5)
  })
})
