import { tmpdir } from 'node:os'
import { beforeAll, describe, expect, test } from 'vitest'
import { noProgress } from '../../../src/domain/progress.ts'
import { readArchive } from '../../../src/operations/components/read-archive.ts'
import { reEncrypt } from '../../../src/operations/re-encrypt/re-encrypt.ts'
import { readFormat } from '../../../src/repository/format.ts'
import { isDataKey } from '../../../src/repository/data-keys.ts'
import { commitRecoveryPoint, readRecoveryPoints } from '../../../src/repository/recovery-points.ts'
import { encodeKnownAnswers } from '../../../src/repository/known-answers-codec.ts'
import { openAnswers } from '../../../src/repository/sealed-answers.ts'
import { acquireLease } from '../../../src/repository/lease.ts'
import { keyOfArchive } from '../../../src/repository/archives.ts'
import { createEncryptingStore } from '../../../src/stores/encrypting-store.ts'
import { type MemoryStore, createMemoryStore } from '../../../src/stores/memory-store.ts'
import { type ObjectStore, bytesBody } from '../../../src/stores/object-store.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { thisProcess } from '../../../src/system/machine.ts'
import { createFaultyStore } from '../../fakes/faulty-store.ts'
import { storedRecoveryPoint } from '../../fakes/recovery-points.ts'
import { type KeyPair, ageWith, newKeyPair, sealingWith, writeIdentityFile } from '../../support/age.ts'
import { knownRepository, makeArchive, treeOf, writeTree } from '../../support/archived.ts'
import { keysOf, readText } from '../../support/bodies.ts'
import { temporaryDirectory as keptDirectory } from '../../support/cleanup.ts'
import { componentsContext, directoryComponent } from '../../support/components.ts'
import { rejectionOf } from '../../support/operations.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const signal = new AbortController().signal
const self = thisProcess()
const ulid = '01KAJ0000000000000000000AB'
const dataKeys = [`blocks/${ulid}/index`, `blocks/${ulid}/chunks/000001`, `instances/prom-a/tombstones/${'ab'.repeat(32)}`]
const plainKey = `blocks/${ulid}/chunks/000002`

describe('re-encryption', () => {
  let old: KeyPair
  let fresh: KeyPair
  let both: string
  let before: MemoryStore

  function storeFor(store: ObjectStore, recipient: string) {
    return createEncryptingStore(store, { sealing: sealingWith([recipient], { identityFile: both }), seals: isDataKey, write: true })
  }

  /** Two recovery points share one archive, one of them names another, one archive and one data object are in the clear. */
  beforeAll(async () => {
    old = await newKeyPair()
    fresh = await newKeyPair()
    both = await writeIdentityFile(await keptDirectory('keys'), old.identity, fresh.identity)
    before = createMemoryStore()
    await knownRepository(before)
    const [etc, other] = [await keptDirectory('etc'), await keptDirectory('other')]
    await writeTree(etc, { 'app.conf': 'password = sesame\n' })
    await writeTree(other, { 'other.conf': 'x\n' })
    const encryption = ageWith([old.recipient])
    await makeArchive(before, componentsContext([directoryComponent('other', other)]))
    await makeArchive(before, componentsContext([directoryComponent('etc', etc)], { encryption }))
    await makeArchive(before, componentsContext([directoryComponent('etc', etc), directoryComponent('other', other)], { encryption }))
    const sealed = storeFor(before, old.recipient)
    for (const key of dataKeys) await sealed.create(key, bytesBody(Buffer.from(`content of ${key}`)))
    await before.create(plainKey, bytesBody(Buffer.from(`content of ${plainKey}`)))
    const knownAnswers = await encodeKnownAnswers({ seed: 's', dropped: 0, queries: [{ query: 'secret_query', atMs: 1, result: '1' }], series: [] })
    await commitRecoveryPoint(before, { ...storedRecoveryPoint({ id: '20261121T000000Z-0a1b2c3d' }), knownAnswers })
  })

  function copy(): MemoryStore {
    const store = createMemoryStore()
    for (const [key, object] of before.objects) store.objects.set(key, { ...object, bytes: Buffer.from(object.bytes) })
    return store
  }

  function run(store: ObjectStore, encryption = ageWith([fresh.recipient], { identityFile: both })) {
    const scratch = { parent: tmpdir(), self, isDead: () => false }
    return reEncrypt({ repositories: [{ name: 'primary', store: storeFor(store, fresh.recipient) }], encryption, data: true, scratch, filesAtOnce: 2, self, isDead: () => true, logger: silentLogger, progress: noProgress, signal }, { repositories: [] })
  }

  /** Everything that can be read, by what it is. */
  async function contents(store: MemoryStore, identityFile: string): Promise<Record<string, unknown>> {
    const found: Record<string, unknown> = {}
    const opening = ageWith([], { identityFile })
    const reading = createEncryptingStore(store, { sealing: sealingWith([], { identityFile }), seals: isDataKey, write: true })
    for (const key of [...dataKeys, plainKey]) found[key] = await readText(reading, key)
    const { points, damaged } = await readRecoveryPoints(store, 'prom-a')
    expect(damaged).toEqual([])
    for (const point of points) {
      found[`${point.id} answers`] = (await openAnswers(point.knownAnswers, opening)).queries
      for (const archive of point.archives) {
        const into = await temporaryDirectory()
        await readArchive({ store, instance: 'prom-a', archive, opening, scratch: await temporaryDirectory(), into, signal })
        found[`${point.id} ${archive.component}`] = await treeOf(into)
      }
    }
    return found
  }

  async function namedArchives(store: ObjectStore): Promise<string[]> {
    const { points } = await readRecoveryPoints(store, 'prom-a')
    return [...new Set(points.flatMap(({ archives }) => archives.map((archive) => keyOfArchive('prom-a', archive))))].sort()
  }

  const settled = (store: MemoryStore) => new Map([...store.objects].filter(([key]) => !key.includes('/leases/')).map(([key, { bytes }]) => [key, Buffer.from(bytes).toString('base64')]))

  test('seals archives, answers and data for the new key alone, removes the old objects, and twice changes nothing', async () => {
    const store = copy()
    const was = await contents(store, both)
    const { repositories: [result], recipients } = await run(store)
    expect(recipients).toEqual([fresh.recipient])
    expect(result).toMatchObject({ ok: true, archives: 3, objects: 4, unchanged: 0, failed: [] })
    const onlyFresh = await writeIdentityFile(await temporaryDirectory(), fresh.identity)
    expect(await contents(store, onlyFresh)).toEqual(was)
    await expect(contents(store, await writeIdentityFile(await temporaryDirectory(), old.identity))).rejects.toMatchObject({ code: 'KEY_MISSING' })
    expect((await keysOf(store)).filter((key) => key.includes('/archives/'))).toEqual(await namedArchives(store))
    expect((await keysOf(store)).filter(isDataKey)).toEqual([])
    expect((await readFormat(store)).recipients).toEqual([fresh.recipient])
    expect([...store.objects.values()].filter(({ bytes }) => Buffer.from(bytes).includes('secret_query'))).toEqual([])
    const once = settled(store)
    expect((await run(store)).repositories).toMatchObject([{ ok: true, archives: 0, objects: 0, manifests: 0, bytes: 0, failed: [] }])
    expect(settled(store)).toEqual(once)
  })

  test('killed at any call of the store leaves everything readable, and the next run finishes it', { timeout: 400_000 }, async () => {
    const was = await contents(copy(), both)
    const probe = createFaultyStore(copy(), [])
    await run(probe)
    const calls = probe.calls.length
    expect(calls).toBeGreaterThan(50)
    let fired = 0
    for (const at of ['before', 'after'] as const) {
      for (let call = at === 'before' ? 1 : 2; call <= calls; call += 2) {
        const store = copy()
        const faulty = createFaultyStore(store, [{ verb: 'any', call, at }])
        await run(faulty).catch((error: unknown) => expect(error).toMatchObject({ code: 'STORE_UNREACHABLE' }))
        fired += faulty.fired.length
        expect(await contents(store, both), `${at} call ${call}`).toEqual(was)
        const { repositories: [result] } = await run(store)
        expect(result, `${at} call ${call}`).toMatchObject({ ok: true, failed: [] })
        const onlyFresh = await writeIdentityFile(await temporaryDirectory(), fresh.identity)
        expect(await contents(store, onlyFresh)).toEqual(was)
        // What a killed run stored and no manifest names is left to expiry: at most the one object it was at.
        const stored = (await keysOf(store)).filter((key) => key.includes('/archives/'))
        expect(stored).toEqual(expect.arrayContaining(await namedArchives(store)))
        expect(stored.length - (await namedArchives(store)).length, `${at} call ${call}: ${stored.join()}`).toBeLessThanOrEqual(1)
      }
    }
    expect(fired).toBeGreaterThan(calls / 2)
  })

  test('leaves what it has no key for as it is, names it, and does the rest', async () => {
    const store = copy()
    const onlyFresh = await writeIdentityFile(await temporaryDirectory(), fresh.identity)
    const sealing = sealingWith([fresh.recipient], { identityFile: onlyFresh })
    const scratch = { parent: tmpdir(), self, isDead: () => false }
    const was = await contents(store, both)
    const { repositories: [result] } = await reEncrypt({
      repositories: [{ name: 'primary', store: createEncryptingStore(store, { sealing, seals: isDataKey, write: true }) }], encryption: ageWith([fresh.recipient], { identityFile: onlyFresh }),
      data: true, scratch, filesAtOnce: 2, self, isDead: () => true, logger: silentLogger, progress: noProgress, signal,
    }, { repositories: [] })
    // Of one archive there is a copy in the clear with the same content: that one is sealed, and named instead of the one for the old key.
    expect(result).toMatchObject({ ok: false, archives: 2, objects: 1 })
    expect(result?.failed.map(({ code }) => code)).toEqual(Array.from({ length: 4 }, () => 'KEY_MISSING'))
    expect(await contents(store, both)).toEqual(was)
    expect((await readFormat(store)).recipients).toEqual([old.recipient])
  })

  test('waits for nobody: a backup that is running is told, and nothing was changed', async () => {
    const store = copy()
    const lease = await acquireLease({ store, instance: 'prom-a', verb: 'backup', holder: self, isDead: () => false })
    const once = settled(store)
    const scratch = { parent: tmpdir(), self, isDead: () => false }
    const failure = await rejectionOf(reEncrypt({ repositories: [{ name: 'primary', store: storeFor(store, fresh.recipient) }], encryption: ageWith([fresh.recipient], { identityFile: both }), data: true, scratch, filesAtOnce: 2, self, isDead: () => false, logger: silentLogger, progress: noProgress, signal }, { repositories: [] }))
    expect(failure).toMatchObject({ code: 'LOCKED' })
    expect(settled(store)).toEqual(once)
    await lease.release()
  })

  test('needs somebody to seal for', async () => {
    const scratch = { parent: tmpdir(), self, isDead: () => false }
    expect(await rejectionOf(reEncrypt({ repositories: [], encryption: undefined, data: false, scratch, filesAtOnce: 2, self, isDead: () => false, logger: silentLogger, progress: noProgress, signal }, { repositories: [] }))).toMatchObject({ code: 'USAGE' })
  })
})
