import { expect, test } from 'vitest'
import { createDocument } from '../../src/repository/documents.ts'
import { formatVersion, readFormat, readOrCreateFormat } from '../../src/repository/format.ts'
import { type StoreFault, createFaultyStore } from '../fakes/faulty-store.ts'
import { keysOf, readText, textBody } from '../support/bodies.ts'
import { describeOnBothStores, garble } from '../support/both-stores.ts'

const now = new Date('2026-11-21T02:36:15Z')

describeOnBothStores('the format of a repository', (open) => {
  test('is written by the first writer and read by all', async () => {
    const store = await open()
    const made = await readOrCreateFormat(store, now)
    expect(made).toEqual({ version: formatVersion, repositoryId: expect.stringMatching(/^[0-9a-f-]{36}$/), recipients: [] })
    expect(await readFormat(store)).toEqual(made)
    expect(await readOrCreateFormat(store, new Date('2030-01-01T00:00:00Z'))).toEqual(made)
    expect(JSON.parse(await readText(store, 'prom-dr.json'))).toMatchObject({ createdAt: '2026-11-21T02:36:15.000Z', encryption: { recipients: [] } })
  })

  test('is not made by a reader', async () => {
    const store = await open()
    await expect(readFormat(store)).rejects.toMatchObject({ code: 'REPOSITORY_NOT_FOUND', message: `there is no prom-dr repository at ${store.url}`, hint: expect.stringContaining('prefix') })
    expect(await keysOf(store)).toEqual([])
  })

  test('is one and the same for many first writers at once', async () => {
    const store = await open()
    const formats = await Promise.all(Array.from({ length: 16 }, () => readOrCreateFormat(store, now)))
    expect(new Set(formats.map((format) => format.repositoryId)).size).toBe(1)
    expect(await keysOf(store)).toEqual(['prom-dr.json'])
  })

  test('of a newer version is refused by readers and writers, which change nothing', async () => {
    const store = await open()
    await createDocument(store, 'prom-dr.json', { version: formatVersion + 1, repositoryId: 'r', createdAt: 'x', encryption: { recipients: [] } })
    for (const attempt of [() => readFormat(store), () => readOrCreateFormat(store, now)]) await expect(attempt()).rejects.toMatchObject({ code: 'REPOSITORY_TOO_NEW', hint: expect.stringContaining('upgrade') })
    expect(await keysOf(store)).toEqual(['prom-dr.json'])
  })

  test('of a newer version is too new, not damaged, also when it has none of the fields known today', async () => {
    const store = await open()
    await createDocument(store, 'prom-dr.json', { version: 99, layout: 'other' })
    await expect(readFormat(store)).rejects.toMatchObject({ code: 'REPOSITORY_TOO_NEW' })
  })

  test('that is damaged is not written over', async () => {
    const store = await open()
    await readOrCreateFormat(store, now)
    await garble(store, 'prom-dr.json')
    const before = await readText(store, 'prom-dr.json')
    await expect(readOrCreateFormat(store, now)).rejects.toMatchObject({ code: 'DAMAGED', details: { key: 'prom-dr.json' } })
    expect(await readText(store, 'prom-dr.json')).toBe(before)
  })

  test('that is missing beside recovery points is damage: a new one would hide that', async () => {
    const store = await open()
    const key = 'instances/a/recovery-points/20261121T023615Z-79535be5.json'
    await store.create(key, textBody('{}'))
    for (const attempt of [() => readFormat(store), () => readOrCreateFormat(store, now)]) await expect(attempt()).rejects.toMatchObject({ code: 'DAMAGED', message: `${store.url} has ${key} but no prom-dr.json`, hint: expect.stringContaining('runbooks/') })
    expect(await keysOf(store)).toEqual([key])
  })

  test('may be made beside the blocks of a Thanos bucket', async () => {
    const store = await open()
    await store.create('blocks/01ARZ3NDEKTSV4RRFFQ69G5FAV/meta.json', textBody('{}'))
    await expect(readOrCreateFormat(store, now)).resolves.toMatchObject({ version: formatVersion })
  })

  test('is whole or absent after a fault at any call, and the next run goes on', async () => {
    const clean = createFaultyStore(await open(), [])
    await readOrCreateFormat(clean, now)
    const faults: StoreFault[] = [...clean.calls.map((_, index): StoreFault => ({ verb: 'any', call: index + 1, at: 'before' })), { verb: 'create', call: 1, at: 'after' }]
    expect(faults.length).toBeGreaterThan(4)
    for (const fault of faults) {
      const store = await open()
      const faulty = createFaultyStore(store, [fault])
      await expect(readOrCreateFormat(faulty, now)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
      expect(faulty.fired).toEqual([fault])
      expect(await readOrCreateFormat(store, now)).toEqual(await readFormat(store))
    }
  })
})
