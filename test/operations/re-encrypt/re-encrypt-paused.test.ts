import { tmpdir } from 'node:os'
import { beforeAll, expect, test } from 'vitest'
import { noProgress } from '../../../src/domain/progress.ts'
import { retentionOf } from '../../../src/domain/retention.ts'
import { expire } from '../../../src/operations/expire/expire.ts'
import { reEncrypt } from '../../../src/operations/re-encrypt/re-encrypt.ts'
import { leaseDurationMs } from '../../../src/repository/lease.ts'
import { createEncryptingStore } from '../../../src/stores/encrypting-store.ts'
import { type MemoryStore, createMemoryStore } from '../../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../../src/stores/object-store.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { thisProcess } from '../../../src/system/machine.ts'
import { hasCode } from '../../../src/errors.ts'
import { type ManualClock, createManualClock } from '../../fakes/manual-clock.ts'
import { type KeyPair, ageWith, newKeyPair, sealingWith, writeIdentityFile } from '../../support/age.ts'
import { knownRepository, makeArchive, writeTree } from '../../support/archived.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { componentsContext, directoryComponent } from '../../support/components.ts'
import { missingIn, pointsIn } from '../../support/wholeness.ts'

const self = thisProcess()
const { signal } = new AbortController()
let old: KeyPair
let fresh: KeyPair
let both: string
let etc: string
let made: MemoryStore
const start = new Date()

beforeAll(async () => {
  old = await newKeyPair()
  fresh = await newKeyPair()
  both = await writeIdentityFile(await temporaryDirectory('keys'), old.identity, fresh.identity)
  etc = await temporaryDirectory('etc')
  await writeTree(etc, { 'app.conf': 'password = sesame\n' })
  made = createMemoryStore({ clock: createManualClock(start) })
  await knownRepository(made)
  for (let twice = 0; twice < 2; twice += 1) await makeOne(made)
})

const makeOne = (store: ObjectStore) => makeArchive(store, componentsContext([directoryComponent('etc', etc)], { encryption: ageWith([old.recipient]) }))

function repository(): { store: MemoryStore; clock: ManualClock } {
  const clock = createManualClock(start)
  const store = createMemoryStore({ clock })
  for (const [key, object] of made.objects) store.objects.set(key, { ...object })
  return { store, clock }
}

function run(store: ObjectStore) {
  const sealing = sealingWith([fresh.recipient], { identityFile: both })
  return reEncrypt({
    repositories: [{ name: 'primary', store: createEncryptingStore(store, { sealing, seals: () => false, write: true }) }], encryption: ageWith([fresh.recipient], { identityFile: both }), data: false,
    scratch: { parent: tmpdir(), self, isDead: () => false }, filesAtOnce: 1, self, isDead: () => false, logger: silentLogger, progress: noProgress, signal,
  }, { repositories: [] })
}

function expireAll(store: ObjectStore, clock: ManualClock) {
  return expire({ instance: 'prom-a', repositories: [{ name: 'primary', store, retention: retentionOf({ keepLast: 1 }) }], timezone: 'UTC', self, isDead: () => false, clock, logger: silentLogger, signal }, { allInstances: false, repositories: [], apply: true })
}

/** The host stands still before its nth look at the store: what it sends is never late, what it believes may be. */
function pausedAt(store: MemoryStore, nth: number, meanwhile: () => Promise<void>): { paused: ObjectStore; looks: () => number } {
  let looks = 0
  const look = async () => {
    looks += 1
    if (looks === nth) await meanwhile()
  }
  return {
    looks: () => looks,
    paused: {
      ...store,
      url: store.url,
      get: async (key, options) => (await look(), store.get(key, options)),
      head: async (key, options) => (await look(), store.head(key, options)),
      now: async (options) => (await look(), store.now(options)),
      async *list(prefix, options) {
        await look()
        yield* store.list(prefix, options)
      },
    },
  }
}

test.each([
  ['another host made a recovery point', async (store: MemoryStore) => void (await makeOne(store))],
  ['another host expired recovery points', async (store: MemoryStore, clock: ManualClock) => {
    for (let days = 0; days < 2; days += 1) {
      await expireAll(store, clock)
      clock.advance(50 * 3_600_000)
    }
  }],
])('a run that was paused anywhere for longer than its leases, while %s, takes nothing away that is named, and brings nothing back that has gone', async (_what, others) => {
  const { store: untouched } = repository()
  const { paused: counted, looks } = pausedAt(untouched, 0, async () => {})
  await run(counted)
  expect(looks()).toBeGreaterThan(20)
  let turnedAway = 0
  for (let nth = 1; nth <= looks(); nth += 1) {
    const { store, clock } = repository()
    let left: string[] = []
    const { paused } = pausedAt(store, nth, async () => {
      clock.advance(2 * leaseDurationMs)
      await others(store, clock)
      left = pointsIn(store).map(({ id }) => id)
    })
    await run(paused).catch((error: unknown) => {
      if (!hasCode(error, 'LEASE_LOST', 'LOCKED')) throw error
      turnedAway += 1
    })
    expect({ nth, missing: missingIn(store), points: pointsIn(store).map(({ id }) => id) }).toEqual({ nth, missing: [], points: left })
  }
  expect(turnedAway).toBeGreaterThan(3)
}, 400_000)
