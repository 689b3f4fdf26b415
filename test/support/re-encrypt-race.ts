import { join } from 'node:path'
import { noProgress } from '../../src/domain/progress.ts'
import { retentionOf } from '../../src/domain/retention.ts'
import { seededRandom } from '../../src/domain/seeded-choice.ts'
import { hasCode } from '../../src/errors.ts'
import { withCollection } from '../../src/operations/components/collect-components.ts'
import { readArchive } from '../../src/operations/components/read-archive.ts'
import { expire } from '../../src/operations/expire/expire.ts'
import { reEncrypt } from '../../src/operations/re-encrypt/re-encrypt.ts'
import { Stopwatch } from '../../src/operations/stopwatch.ts'
import { isDataKey } from '../../src/repository/data-keys.ts'
import { deletionDelayMs } from '../../src/repository/deletion-marks.ts'
import { readOrCreateFormat } from '../../src/repository/format.ts'
import { openAnswers } from '../../src/repository/sealed-answers.ts'
import { createEncryptingStore } from '../../src/stores/encrypting-store.ts'
import type { MemoryStore } from '../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { thisProcess } from '../../src/system/machine.ts'
import { type KeyPair, ageWith, newKeyPair, sealingWith, writeIdentityFile } from './age.ts'
import { writeTree } from './archived.ts'
import { readText } from './bodies.ts'
import { componentsContext, directoryComponent } from './components.ts'
import { createServer, memoryBodies } from './expiry-race.ts'
import { backUp } from './fake-server.ts'
import { Race } from './race.ts'
import { missingIn, pointsIn, unnamedIn } from './wholeness.ts'

const hourMs = 3_600_000
const instances = ['prom-a', 'prom-b'] as const
type Instance = (typeof instances)[number]
const { signal } = new AbortController()
const self = thisProcess()
const noSeal = sealingWith([])

export interface ReEncryptRaceOutcome {
  leaps: number
  backups: number
  expiries: number
  /** Runs of re-encryption that ended well, and those that met another run or lost their lease. */
  reEncryptions: number
  turnedAway: number
  killed: number
  /** Archives that were opened while all of this went on. */
  opened: number
  missing: string[]
  unnamed: string[]
}

/** Two keys, and the directories that components are collected from: made once for many races. */
export async function reEncryptScene(directory: string): Promise<{ keys: KeyPair[]; both: string; identities: string[]; trees: string[]; scratchParent: string }> {
  const keys = [await newKeyPair(), await newKeyPair()]
  const trees = await Promise.all(['one', 'two'].map(async (text) => {
    const tree = join(directory, text)
    await writeTree(tree, { 'app.conf': `password = ${text}\n` })
    return tree
  }))
  return { keys, trees, scratchParent: directory, both: await writeIdentityFile(directory, ...keys.map(({ identity }) => identity)), identities: await Promise.all(keys.map(({ identity }) => writeIdentityFile(directory, identity))) }
}

/**
 * Backups of two instances, expiries and re-encryption from two hosts on one repository for some simulated weeks, while the key that
 * everything is sealed for changes again and again, at another moment on each host: calls in any order, pauses of days, runs that are killed.
 */
export async function raceReEncryption(seed: string, scene: Awaited<ReturnType<typeof reEncryptScene>>, { calls = 3_000 } = {}): Promise<ReEncryptRaceOutcome> {
  const outcome: ReEncryptRaceOutcome = { leaps: 0, backups: 0, expiries: 0, reEncryptions: 0, turnedAway: 0, killed: 0, opened: 0, missing: [], unnamed: [] }
  const race = new Race(seededRandom(seed), {
    check({ store }) {
      const missing = missingIn(shown(store), { stream: false })
      if (missing.length > 0) throw new Error(`seed ${seed}: ${missing.slice(0, 3).join('; ')}`)
    },
    onLeap({ store, clock }) {
      for (const [key, object] of store.objects) if (key.includes('/intents/')) store.objects.set(key, { ...object, modifiedAt: clock.now() })
    },
  })
  const servers = { 'prom-a': createServer('prom-a', race), 'prom-b': createServer('prom-b', race) }
  const starts: Record<string, () => void> = {}
  await readOrCreateFormat(race.store, race.clock.now())
  for (const instance of instances) {
    starting(`backup ${instance}`, 9, async (actor) => {
      await make(instance, { store: race.storeOf(actor), key: race.pick(2), actor })
      outcome.backups += 1
    })
    starting(`expire ${instance}`, 20, async (actor) => {
      await runExpiry(instance, race.storeOf(actor), actor)
      outcome.expiries += 1
    })
    starting(`re-encrypt ${instance}`, 12, async (actor) => {
      const { repositories: [result] } = await runReEncryption(race.storeOf(actor), race.pick(2))
      if (result?.failed.length !== 0) throw new Error(`seed ${seed}: ${JSON.stringify(result)}`)
      outcome.reEncryptions += 1
    })
  }
  starting('restore', 6, openSomething)
  await race.run(() => race.steps >= calls)
  for (const actor of Object.keys(starts)) race.kill(actor)
  await finish()
  return { ...outcome, leaps: race.leaps }

  /** Again and again, some hours apart; sometimes another one is killed, and cron starts the next. */
  function starting(actor: string, mostHours: number, work: (actor: string) => Promise<void>): void {
    starts[actor] = () => race.start(actor, async () => {
      for (;;) {
        await race.clockOf(actor).sleep(race.pick(mostHours * hourMs))
        await work(actor).catch((error: unknown) => {
          if (!hasCode(error, 'LOCKED', 'LEASE_LOST', 'CONTENTION', 'DAMAGED', 'REPOSITORY_NOT_FOUND', 'INSTANCE_NOT_FOUND') || (hasCode(error, 'DAMAGED') && !actor.startsWith('backup'))) throw error
          if (actor.startsWith('re-encrypt')) outcome.turnedAway += 1
        })
        const victims = Object.keys(starts).filter((name) => name !== actor && name !== 'restore')
        if (!race.chance(0.1)) continue
        const victim = victims[race.pick(victims.length)] as string
        race.kill(victim)
        outcome.killed += 1
        starts[victim]?.()
      }
    })
    starts[actor]()
  }

  function storeFor(store: ObjectStore, key: number) {
    return createEncryptingStore(store, { sealing: sealingWith([recipientOf(key)], { identityFile: scene.both }), seals: isDataKey, write: true })
  }

  function recipientOf(key: number): string {
    return scene.keys[key]?.recipient as string
  }

  async function make(instance: Instance, { store, key, actor }: { store: ObjectStore; key: number; actor: string }): Promise<void> {
    const clock = actor === '' ? race.clock : race.clockOf(actor)
    const { blocks, head } = servers[instance].snapshot()
    const components = componentsContext([directoryComponent('etc', scene.trees[race.pick(2)] as string)], { scratchParent: scene.scratchParent, encryption: ageWith([recipientOf(key)]) })
    const random = String(race.pick(1_000_000)).padStart(6, '0')
    await withCollection({ components, watch: new Stopwatch(clock), logger: silentLogger, signal }, (collection) => backUp(storeFor(store, key), { instance, clock, random, blocks, head, collection, check: memoryBodies }))
  }

  function runExpiry(instance: Instance, store: ObjectStore, actor: string) {
    const clock = actor === '' ? race.clock : race.clockOf(actor)
    return expire({ instance, repositories: [{ name: 'primary', store: storeFor(store, 0), retention: retentionOf({ keepLast: 2 }) }], timezone: 'UTC', self, isDead: () => false, clock, logger: silentLogger, signal }, { allInstances: false, repositories: [], apply: true })
  }

  function runReEncryption(store: ObjectStore, key: number) {
    const scratch = { parent: scene.scratchParent, self, isDead: () => false }
    const encryption = ageWith([recipientOf(key)], { identityFile: scene.both })
    return reEncrypt({ repositories: [{ name: 'primary', store: storeFor(store, key) }], encryption, data: true, scratch, filesAtOnce: 4, self, isDead: () => false, logger: silentLogger, progress: noProgress, signal }, { repositories: [] })
  }

  /** What a manifest names can be opened by who holds both keys, or the manifest names something else by now. */
  async function openSomething(actor: string): Promise<void> {
    const points = pointsIn(race.store)
    const point = points[race.pick(points.length)]
    const [archive] = point?.archives ?? []
    if (point === undefined || archive === undefined) return
    try {
      await readArchive({ store: race.storeOf(actor), instance: point.instance, archive, opening: ageWith([], { identityFile: scene.both }), scratch: scene.scratchParent, into: undefined, signal })
      outcome.opened += 1
    } catch (error) {
      const still = pointsIn(race.store).find(({ id }) => id === point.id)?.archives[0]?.stored.sha256
      if (!hasCode(error, 'OBJECT_NOT_FOUND') || still === archive.stored.sha256) throw error
    }
  }

  /** Everybody has stopped: one more backup of each, one run for one key, and expiry until all marks have come of age. */
  async function finish(): Promise<void> {
    race.clock.advance(deletionDelayMs)
    const key = race.pick(2)
    for (const instance of instances) await make(instance, { store: race.store, key: 1 - key, actor: '' })
    await runReEncryption(race.store, key)
    for (let run = 0; run < 3; run += 1) {
      for (const instance of instances) await runExpiry(instance, race.store, '')
      race.clock.advance(deletionDelayMs + hourMs)
    }
    outcome.missing = missingIn(shown(race.store))
    outcome.unnamed = unnamedIn(shown(race.store))
    await openEverything(scene.identities[key] as string)
  }

  async function openEverything(identityFile: string): Promise<void> {
    const opening = ageWith([], { identityFile })
    const store = createEncryptingStore(race.store, { sealing: sealingWith([], { identityFile }), seals: isDataKey, write: true })
    for await (const { key } of store.list('')) if (isDataKey(key)) await readText(store, key)
    for (const point of pointsIn(race.store)) {
      await openAnswers(point.knownAnswers, opening)
      for (const archive of point.archives) await readArchive({ store, instance: point.instance, archive, opening, scratch: scene.scratchParent, into: undefined, signal })
    }
  }
}

/** What is stored as readers see it: sealed data under its plain name and in its plain size. */
function shown({ objects }: MemoryStore): Pick<MemoryStore, 'objects'> {
  const seen: MemoryStore['objects'] = new Map()
  for (const [key, object] of objects) {
    const plain = key.replace(/\.age$/, '')
    if (plain === key || !isDataKey(plain)) seen.set(key, object)
    else seen.set(plain, { ...object, bytes: new Uint8Array(noSeal.plainBytes(object.bytes.byteLength) ?? 0) })
  }
  return { objects: seen }
}
