import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { readTombstones, storeTombstones } from '../../src/repository/tombstones.ts'
import { createFaultyStore } from '../fakes/faulty-store.ts'
import { keysOf } from '../support/bodies.ts'
import { describeOnBothStores, overwrite } from '../support/both-stores.ts'

const bytes = Buffer.from('0130ba3001deadbeef', 'hex')
const sha256 = createHash('sha256').update(bytes).digest('hex')
const key = `instances/prom-a/tombstones/${sha256}`
const named = { sha256, sizeBytes: bytes.length }

describeOnBothStores('the deletions of a block', (open) => {
  test('are stored under the digest of their content, and read back', async () => {
    const store = await open()
    expect(await storeTombstones(store, 'prom-a', { bytes })).toEqual({ ...named, uploadedBytes: bytes.length })
    expect(await keysOf(store)).toEqual([key])
    expect(await readTombstones(store, 'prom-a', named)).toEqual(bytes)
  })

  test('are stored once per content', async () => {
    const store = await open()
    await storeTombstones(store, 'prom-a', { bytes })
    const watched = createFaultyStore(store, [])
    expect(await storeTombstones(watched, 'prom-a', { bytes })).toEqual({ ...named, uploadedBytes: 0 })
    expect(watched.calls.map((call) => call.verb)).toEqual(['head', 'head'])
    expect((await storeTombstones(store, 'prom-a', { bytes: Buffer.concat([bytes, bytes]) })).uploadedBytes).toBe(18)
    expect((await keysOf(store)).length).toBe(2)
  })

  test('lose their mark, however old it is, and are stored anew: they may be about to be removed', async () => {
    const store = await open()
    await storeTombstones(store, 'prom-a', { bytes })
    await overwrite(store, `${key}.deletion-mark.json`, '{}')
    expect(await storeTombstones(store, 'prom-a', { bytes })).toMatchObject({ ...named, uploadedBytes: bytes.length })
    expect(await keysOf(store)).toEqual([key])
  })

  test('of another size under their name are damaged, and stored anew', async () => {
    const store = await open()
    await overwrite(store, key, bytes.subarray(0, 4))
    expect((await storeTombstones(store, 'prom-a', { bytes })).uploadedBytes).toBe(bytes.length)
    expect(await readTombstones(store, 'prom-a', named)).toEqual(bytes)
  })

  test.each([
    ['another byte', Buffer.from('0130ba3001deadbeee', 'hex')],
    ['a byte less', bytes.subarray(0, 8)],
    ['a byte more', Buffer.concat([bytes, Buffer.alloc(1)])],
    ['nothing', Buffer.alloc(0)],
  ])('with %s are found to be damaged when they are read', async (_, stored) => {
    const store = await open()
    await overwrite(store, key, stored)
    await expect(readTombstones(store, 'prom-a', named)).rejects.toMatchObject({ code: 'DAMAGED', details: { key } })
  })

  test('that are missing are not found', async () => {
    await expect(readTombstones(await open(), 'prom-a', named)).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
  })

  test.each(['../../../etc/passwd', sha256.toUpperCase(), sha256.slice(1)])('are never looked for under %j', async (digest) => {
    await expect(readTombstones(await open(), 'prom-a', { ...named, sha256: digest })).rejects.toMatchObject({ code: 'KEY_INVALID' })
  })

  test('are whole after a fault at any call and a second run', async () => {
    for (const verb of ['head', 'put'] as const) {
      for (const at of ['before', 'after', 4] as const) {
        if (verb === 'head' && at === 4) continue
        const store = await open()
        const faulty = createFaultyStore(store, [{ verb, call: 1, at }])
        await expect(storeTombstones(faulty, 'prom-a', { bytes })).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
        expect(faulty.fired.length).toBe(1)
        await storeTombstones(store, 'prom-a', { bytes })
        expect(await readTombstones(store, 'prom-a', named)).toEqual(bytes)
      }
    }
  })
})
