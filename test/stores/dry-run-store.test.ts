import { expect, test } from 'vitest'
import { createDryRunStore } from '../../src/stores/dry-run-store.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { collect, keysOf, readText, textBody } from '../support/bodies.ts'

test('a dry run reads as the store does and stops every write', async () => {
  const memory = createMemoryStore()
  await memory.put('folder/a', textBody('content'))
  const store = createDryRunStore(memory)
  expect(await readText(store, 'folder/a')).toBe('content')
  expect((await store.head('folder/a'))?.sizeBytes).toBe(7)
  expect(await keysOf(store)).toEqual(['folder/a'])
  expect(await collect(store.listFolders(''))).toEqual(['folder'])
  const stopped = { code: 'INTERNAL', message: expect.stringContaining('dry run') }
  await expect(store.create('b', textBody('x'))).rejects.toMatchObject(stopped)
  await expect(store.put('folder/a', textBody('x'))).rejects.toMatchObject(stopped)
  await expect(store.delete(['folder/a'])).rejects.toMatchObject(stopped)
  await expect(store.capabilities('')).rejects.toMatchObject(stopped)
  expect([...memory.objects.keys()]).toEqual(['folder/a'])
})
