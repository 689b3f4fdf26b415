import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, onTestFinished } from 'vitest'
import { createFileStore } from '../../src/stores/file-store.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { type ObjectStore, bytesBody } from '../../src/stores/object-store.ts'
import { readText } from './bodies.ts'

/** Describes something that holds on every store; `open` makes an empty one, gone when the test is over. */
export function describeOnBothStores(title: string, tests: (open: () => Promise<ObjectStore>) => void): void {
  describe(`${title}, in memory,`, () => tests(async () => createMemoryStore()))
  describe(`${title}, in a directory,`, () =>
    tests(async () => {
      const root = await mkdtemp(join(tmpdir(), 'prom-dr-repository-'))
      onTestFinished(() => rm(root, { recursive: true, force: true }))
      return createFileStore({ root })
    }))
}

/** Replaces an object by other bytes, as a damaged disk or a hostile writer would. */
export async function overwrite(store: ObjectStore, key: string, content: string | Uint8Array): Promise<void> {
  await store.put(key, bytesBody(typeof content === 'string' ? Buffer.from(content) : content))
}

/** Changes one character in the middle of an object. */
export async function garble(store: ObjectStore, key: string): Promise<void> {
  const text = await readText(store, key)
  const middle = Math.floor(text.length / 2)
  await overwrite(store, key, `${text.slice(0, middle)}${text[middle] === '~' ? '!' : '~'}${text.slice(middle + 1)}`)
}

/** What an object is read as, by key: to compare a repository before and after. */
export async function contentOf(store: ObjectStore, prefix = ''): Promise<Record<string, string>> {
  const content: Record<string, string> = {}
  for await (const object of store.list(prefix)) content[object.key] = await readText(store, object.key)
  return content
}
