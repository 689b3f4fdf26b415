import { describe, expect, test } from 'vitest'
import { newUlid } from '../../src/domain/ulid.ts'
import { createDocument } from '../../src/repository/documents.ts'
import { type Intent, clearDeadIntents, clearIntent, readIntents, removeIntent, writeIntent } from '../../src/repository/intents.ts'
import { commitRecoveryPoint } from '../../src/repository/recovery-points.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { createFaultyStore } from '../fakes/faulty-store.ts'
import { storedRecoveryPoint } from '../fakes/recovery-points.ts'
import { keysOf, textBody } from '../support/bodies.ts'
import { contentOf, describeOnBothStores, garble, overwrite } from '../support/both-stores.ts'

const id = (at: number) => `20261121T02361${at}Z-0000000${at}`
const ulid = (at: number) => newUlid(1_800_000_000_000 + at, new Uint8Array(10).fill(at))
const intent = (at: number, more: Partial<Intent> = {}): Intent => ({ id: id(at), refreshedAt: '2026-11-21T02:36:15.000Z', blocks: [ulid(10), ulid(11)], heads: [ulid(at)], archives: [], ...more })
const intentKey = (at: number) => `instances/prom-a/intents/${id(at)}.json`
const headKeys = (at: number) => ['chunks/000001', 'index', 'meta.json'].map((file) => `instances/prom-a/heads/${ulid(at)}/${file}`)

async function storeHead(store: ObjectStore, at: number): Promise<void> {
  for (const key of headKeys(at)) await store.create(key, textBody(key))
}

describeOnBothStores('an intent', (open) => {
  test('is read as it was written, and as it was refreshed', async () => {
    const store = await open()
    await writeIntent(store, 'prom-a', intent(1))
    const refreshed = intent(1, { refreshedAt: '2026-11-21T03:36:15.000Z', blocks: [ulid(12)] })
    await writeIntent(store, 'prom-a', { ...refreshed, signal: new AbortController().signal })
    await writeIntent(store, 'prom-a', intent(2))
    expect(await readIntents(store, 'prom-a')).toEqual([refreshed, intent(2)])
    expect(await readIntents(store, 'prom-b')).toEqual([])
  })

  test('is removed, and removing it twice is no error', async () => {
    const store = await open()
    await writeIntent(store, 'prom-a', intent(1))
    await removeIntent(store, 'prom-a', id(1))
    await removeIntent(store, 'prom-a', id(1))
    expect(await readIntents(store, 'prom-a')).toEqual([])
  })

  test('that cannot be read is damage to a reader: what it names is not known to be free', async () => {
    const store = await open()
    await writeIntent(store, 'prom-a', intent(1))
    await garble(store, intentKey(1))
    await expect(readIntents(store, 'prom-a')).rejects.toMatchObject({ code: 'DAMAGED', details: { key: intentKey(1) } })
  })

  test('that names what is no block is damage', async () => {
    const store = await open()
    await createDocument(store, intentKey(1), intent(1, { heads: ['../../recovery-points'] }))
    await expect(readIntents(store, 'prom-a')).rejects.toMatchObject({ code: 'DAMAGED' })
  })
})

describeOnBothStores('what a dead run left', (open) => {
  test('goes together: its intent and its heads, but neither blocks nor the heads of others', async () => {
    const store = await open()
    await writeIntent(store, 'prom-a', intent(1))
    await storeHead(store, 1)
    await storeHead(store, 2)
    await overwrite(store, `blocks/${ulid(10)}/index`, 'partial')
    expect(await clearDeadIntents(store, 'prom-a')).toEqual([id(1)])
    expect(await keysOf(store)).toEqual([`blocks/${ulid(10)}/index`, ...headKeys(2)])
  })

  test('goes with the external data that only its recovery point would have named, and without any archive', async () => {
    const store = await open()
    const mine = `archives/vm/external/${id(1)}/`
    const kept = [`instances/prom-a/archives/vm/external/${id(2)}/part`, `instances/prom-a/archives/vm/${'a'.repeat(64)}.tar.gz`]
    await writeIntent(store, 'prom-a', intent(1, { heads: [], archives: [mine, `archives/vm/external/${id(2)}/`, `archives/vm/${'a'.repeat(64)}.tar.gz`, '../prom-b/', 'archives/vm/', '/'] }))
    for (const key of [`instances/prom-a/${mine}part`, ...kept]) await store.create(key, textBody(key))
    expect(await clearDeadIntents(store, 'prom-a')).toEqual([id(1)])
    expect(await keysOf(store)).toEqual([...kept].sort())
  })

  test('of an older version, which knew no archives, is read', async () => {
    const store = await open()
    const { archives: _, ...old } = intent(1)
    await createDocument(store, intentKey(1), old)
    expect(await readIntents(store, 'prom-a')).toEqual([intent(1)])
  })

  test('stays where its recovery point was committed after all: only the intent goes', async () => {
    const store = await open()
    const point = storedRecoveryPoint({ id: id(1) })
    await commitRecoveryPoint(store, point)
    await writeIntent(store, 'prom-a', intent(1))
    await storeHead(store, 1)
    const manifest = 'instances/prom-a/recovery-points/' + `${id(1)}.json`
    const before = await contentOf(store)
    expect(await clearDeadIntents(store, 'prom-a')).toEqual([id(1)])
    delete before[intentKey(1)]
    expect(await contentOf(store)).toEqual(before)
    expect(before[manifest]).toBeDefined()
  })

  test('goes for every dead run at once', async () => {
    const store = await open()
    for (const at of [1, 2, 3]) {
      await writeIntent(store, 'prom-a', intent(at))
      await storeHead(store, at)
    }
    expect(await clearDeadIntents(store, 'prom-a')).toEqual([id(1), id(2), id(3)])
    expect(await keysOf(store)).toEqual([])
    expect(await clearDeadIntents(store, 'prom-a')).toEqual([])
  })

  test('goes of this instance alone', async () => {
    const store = await open()
    await writeIntent(store, 'prom-b', intent(1))
    expect(await clearDeadIntents(store, 'prom-a')).toEqual([])
    expect((await readIntents(store, 'prom-b')).length).toBe(1)
  })

  test('an intent that cannot be read is cleared, and touches nothing else', async () => {
    const store = await open()
    await writeIntent(store, 'prom-a', intent(1))
    await storeHead(store, 1)
    await garble(store, intentKey(1))
    expect(await clearDeadIntents(store, 'prom-a')).toEqual([id(1)])
    expect(await keysOf(store)).toEqual(headKeys(1))
  })

  test.each([['../../recovery-points'], ['/etc'], [`${'0'.repeat(25)}U`]])('a hostile intent that names the head %j is cleared, and touches nothing else', async (name) => {
    const store = await open()
    await commitRecoveryPoint(store, storedRecoveryPoint())
    await createDocument(store, intentKey(1), intent(1, { heads: [name, ulid(2)] }))
    await storeHead(store, 2)
    const before = await keysOf(store)
    expect(await clearDeadIntents(store, 'prom-a')).toEqual([id(1)])
    expect(await keysOf(store)).toEqual(before.filter((key) => key !== intentKey(1)))
  })

  test('objects among the intents that are none do not stop a backup', async () => {
    const store = await open()
    const strange = ['notes.json', '20261321T000000Z-00000000.json', 'x', `${id(3)}.json/y`].map((name) => `instances/prom-a/intents/${name}`)
    for (const key of strange) await overwrite(store, key, 'x')
    await writeIntent(store, 'prom-a', intent(1))
    expect(await clearDeadIntents(store, 'prom-a')).toEqual([id(1)])
    expect(await keysOf(store)).toEqual([...strange].sort())
  })

  test('is cleared by one run for good, also when it is not there at all', async () => {
    const store = await open()
    await clearIntent(store, 'prom-a', { id: id(1) })
    expect(await keysOf(store)).toEqual([])
  })
})

describe('clearing after a dead run', () => {
  test('converges after a fault at any call, and never leaves heads without the intent that names them', async () => {
    const prepare = async () => {
      const store = createMemoryStore()
      await commitRecoveryPoint(store, storedRecoveryPoint({ id: id(2) }))
      for (const at of [1, 2]) {
        await writeIntent(store, 'prom-a', intent(at))
        await storeHead(store, at)
      }
      return store
    }
    const clean = createFaultyStore(await prepare(), [])
    await clearDeadIntents(clean, 'prom-a')
    expect(clean.calls.length).toBeGreaterThan(7)
    for (let call = 1; call <= clean.calls.length; call += 1) {
      for (const at of ['before', 'after'] as const) {
        const store = await prepare()
        const faulty = createFaultyStore(store, [{ verb: 'any', call, at }])
        await expect(clearDeadIntents(faulty, 'prom-a')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
        expect(faulty.fired.length).toBe(1)
        const left = await keysOf(store)
        if (left.some((key) => key.includes(`heads/${ulid(1)}`))) expect(left).toContain(intentKey(1))
        await clearDeadIntents(store, 'prom-a')
        expect(await keysOf(store)).toEqual([...headKeys(2), `instances/prom-a/recovery-points/${id(2)}.json`])
      }
    }
  })
})
