import { expect, test } from 'vitest'
import { z } from 'zod'
import { createDocument, putDocument, readDocument, readSmallObject } from '../../src/repository/documents.ts'
import { sealJson } from '../../src/repository/sealed-json.ts'
import type { ObjectReader, ObjectStore } from '../../src/stores/object-store.ts'
import { createFaultyStore } from '../fakes/faulty-store.ts'
import { textBody } from '../support/bodies.ts'
import { describeOnBothStores, garble, overwrite } from '../support/both-stores.ts'

const schema = z.looseObject({ name: z.string(), inner: z.looseObject({ count: z.number() }).optional() })
const key = 'instances/a/x.json'

describeOnBothStores('a document', (open) => {
  test('is read back, with fields that its schema does not know', async () => {
    const store = await open()
    const sizeBytes = await createDocument(store, key, { name: 'n', future: [1] })
    expect(await readDocument(store, key, schema)).toEqual({ name: 'n', future: [1] })
    expect((await store.head(key))?.sizeBytes).toBe(sizeBytes)
  })

  test('that is immutable is not created twice with other content, and is with the same', async () => {
    const store = await open()
    await createDocument(store, key, { name: 'n' })
    await createDocument(store, key, { name: 'n' })
    await expect(createDocument(store, key, { name: 'm' })).rejects.toMatchObject({ code: 'OBJECT_EXISTS' })
    expect(await putDocument(store, key, { name: 'mm' })).toBe(sealJson({ name: 'mm' }).length)
    expect(await readDocument(store, key, schema)).toEqual({ name: 'mm' })
  })

  test('that is not there is OBJECT_NOT_FOUND, not damage', async () => {
    await expect(readDocument(await open(), key, schema)).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
  })

  test('that was garbled or emptied is DAMAGED and named', async () => {
    const store = await open()
    await createDocument(store, key, { name: 'n' })
    await garble(store, key)
    await expect(readDocument(store, key, schema)).rejects.toMatchObject({ code: 'DAMAGED', details: { key } })
    await overwrite(store, key, '')
    await expect(readDocument(store, key, schema)).rejects.toMatchObject({ code: 'DAMAGED', details: { key } })
  })

  test.each([
    ['a field is missing', { other: 1 }, 'name'],
    ['a field is of another kind', { name: 'n', inner: { count: 'many' } }, 'inner.count'],
  ])('in which %s is DAMAGED, saying where', async (_, value, path) => {
    const store = await open()
    await createDocument(store, key, value)
    await expect(readDocument(store, key, schema)).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining(`${key} is not valid: ${path}: `), details: { key } })
  })

  test('of a newer version is too new, whatever else it says, where a version is asked for', async () => {
    const store = await open()
    await createDocument(store, key, { version: 3, renamed: true })
    await expect(readDocument(store, key, schema, { newestVersion: 2 })).rejects.toMatchObject({ code: 'REPOSITORY_TOO_NEW', message: expect.stringMatching(/has version 3; this prom-dr knows up to 2$/) })
    await expect(readDocument(store, key, schema, { newestVersion: 3 })).rejects.toMatchObject({ code: 'DAMAGED' })
  })

  test('whose reading is cut off is an error of the store, never a shorter document', async () => {
    const store = await open()
    await createDocument(store, key, { name: 'n'.repeat(1000) })
    const faulty = createFaultyStore(store, [{ verb: 'get', call: 1, at: 500 }])
    await expect(readDocument(faulty, key, schema)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
    expect(faulty.fired.length).toBe(1)
    expect(await readDocument(faulty, key, schema)).toMatchObject({ name: expect.any(String) })
  })

  test('is not read when the run was interrupted', async () => {
    const store = await open()
    await createDocument(store, key, { name: 'n' })
    await expect(readDocument(store, key, schema, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'INTERRUPTED' })
  })
})

describeOnBothStores('a small object', (open) => {
  test('is read up to its limit, and refused beyond it', async () => {
    const store = await open()
    await store.create('a/b', textBody('12345'))
    expect((await readSmallObject(store, 'a/b', 5)).toString()).toBe('12345')
    await expect(readSmallObject(store, 'a/b', 4)).rejects.toMatchObject({ code: 'DAMAGED', message: 'a/b has 5 bytes; no object of this kind has more than 4' })
  })
})

test('of an oversized object not one byte is taken into memory', async () => {
  let reads = 0
  let destroyed = false
  const body = { destroy: () => void (destroyed = true), [Symbol.asyncIterator]: () => ({ next: async () => ((reads += 1), { done: false, value: Buffer.alloc(1) }) }) }
  const store = { get: async () => ({ sizeBytes: 64 * 1024 * 1024 + 1, modifiedAt: new Date(), body }) as unknown as ObjectReader } as unknown as ObjectStore
  await expect(readDocument(store, key, schema)).rejects.toMatchObject({ code: 'DAMAGED' })
  expect({ reads, destroyed }).toEqual({ reads: 0, destroyed: true })
})
