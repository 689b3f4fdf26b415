import { beforeAll, describe, expect, test } from 'vitest'
import { retentionOf } from '../../../src/domain/retention.ts'
import { expire } from '../../../src/operations/expire/expire.ts'
import type { SnapshotBlock } from '../../../src/operations/backup/snapshot-block.ts'
import { deletionDelayMs } from '../../../src/repository/deletion-marks.ts'
import { type MemoryStore, createMemoryStore } from '../../../src/stores/memory-store.ts'
import { type ObjectStore, bytesBody } from '../../../src/stores/object-store.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { thisProcess } from '../../../src/system/machine.ts'
import { type FaultyStore, type StoreFault, createFaultyStore } from '../../fakes/faulty-store.ts'
import { type ManualClock, createManualClock } from '../../fakes/manual-clock.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { backUp, makeFakeBlock } from '../../support/fake-server.ts'
import { missingIn, pointsIn, unnamedIn } from '../../support/wholeness.ts'

const hourMs = 3_600_000
const startMs = Date.UTC(2026, 0, 5)
const madeAt = new Date(startMs + 30 * 24 * hourMs)
const dead = { ...thisProcess(), processStart: 'of a process that has ended' }

let blocks: SnapshotBlock[]
/** Two instances; of one, recovery points that go, blocks whose marks have come of age, and some that nobody named yet. */
let seed: MemoryStore['objects']
let seededAt: Date

beforeAll(async () => {
  const directory = await temporaryDirectory('fault-blocks')
  blocks = await Promise.all(Array.from({ length: 8 }, (_, nth) => makeFakeBlock(directory, { instance: 'prom-a', nth, startMs, tombstones: nth % 3 === 2 })))
  const clock = createManualClock(madeAt)
  const store = createMemoryStore({ clock })
  let made = 0
  const make = async (from: number, to: number, instance = 'prom-a') => {
    clock.advance(hourMs)
    made += 1
    await backUp(store, { instance, clock, random: `00000${made}`, blocks: blocks.slice(from, to), head: instance === 'prom-a' ? (blocks[to] as SnapshotBlock) : 'empty' })
  }
  await make(0, 2, 'prom-b')
  await make(0, 3)
  await make(3, 4)
  await expire(contextOf(store, clock, thisProcess()), { allInstances: false, repositories: [], apply: true })
  clock.advance(deletionDelayMs)
  await make(4, 5)
  await make(4, 6)
  await make(5, 6)
  await store.put('blocks/01HZZZZZZZZZZZZZZZZZZZZZZZ/index', bytesBody(Buffer.from('left by an upload that died')))
  await store.put(`instances/prom-a/archives/files/${'a'.repeat(64)}.tar.gz`, bytesBody(Buffer.from('named by nobody')))
  seed = store.objects
  seededAt = clock.now()
})

function copyOfSeed(clock: ManualClock): MemoryStore {
  const store = createMemoryStore({ clock })
  for (const [key, object] of seed) store.objects.set(key, object)
  return store
}

function contextOf(store: ObjectStore, clock: ManualClock, self: typeof dead) {
  return { instance: 'prom-a', repositories: [{ name: 'primary', store, retention: retentionOf({ keepLast: 1 }) }], timezone: 'UTC', self, isDead: (other: typeof dead) => other.processStart === dead.processStart, clock, logger: silentLogger, signal: new AbortController().signal }
}

type Work = (store: ObjectStore, clock: ManualClock) => Promise<unknown>

const expiring: Work = (store, clock) => expire(contextOf(store, clock, dead), { allInstances: false, repositories: [], apply: true })
/** Names blocks that are marked, young and of age, and blocks that are not stored. */
const backingUp: Work = (store, clock) => backUp(store, { instance: 'prom-a', clock, random: 'aaaaaa', blocks: blocks.slice(1, 7), head: blocks[7] as SnapshotBlock, self: dead })

// Of a backup every third call: test/operations/backup-faults.test.ts fails each.
describe.each([['an expiry', expiring, 1, 20], ['a backup beside marks', backingUp, 3, 12]] as const)('%s', (_, work, step, leastCalls) => {
  test.each<[string, StoreFault['at'], boolean]>([
    ['one call fails before its effect', 'before', false],
    ['the answer to one call is lost', 'after', false],
    ['a body or a listing is cut', 3, false],
    ['it is killed before a call', 'before', true],
    ['it is killed after the effect of a call', 'after', true],
  ])('loses nothing and converges wherever %s', async (_title, at, killed) => {
    let fired = 0
    for (let call = 1; ; call += step) {
      const clock = createManualClock(seededAt)
      const plain = copyOfSeed(clock)
      const faulty: FaultyStore = createFaultyStore(plain, Array.from({ length: killed ? 400 : 1 }, (_unused, nth): StoreFault => ({ verb: 'any', call: call + nth, at: killed && nth > 0 ? 'before' : at })))
      const error = await work(faulty, clock).then(() => undefined, (failure: unknown) => failure)
      if (faulty.calls.length < call) break
      const where = `call ${call}: ${JSON.stringify(faulty.calls[call - 1])}`
      if (faulty.fired.length > 0) fired += 1
      else expect(error, where).toBeUndefined()
      expect(missingIn(plain), where).toEqual([])
      await expectToConverge(plain, clock, where)
    }
    expect(fired).toBeGreaterThan(leastCalls)
  })
})

async function expectToConverge(plain: MemoryStore, clock: ManualClock, where: string): Promise<void> {
  clock.advance(hourMs)
  await backUp(plain, { instance: 'prom-a', clock, random: 'bbbbbb', blocks: blocks.slice(2, 7), head: blocks[7] as SnapshotBlock })
  for (let run = 0; run < 3; run += 1) {
    await expire(contextOf(plain, clock, thisProcess()), { allInstances: true, repositories: [], apply: true })
    expect(missingIn(plain), where).toEqual([])
    clock.advance(deletionDelayMs + hourMs)
  }
  expect(unnamedIn(plain), where).toEqual([])
  expect(pointsIn(plain).map(({ instance, blocks: { length } }) => [instance, length]).sort(), where).toEqual([['prom-a', 5], ['prom-b', 2]])
}
