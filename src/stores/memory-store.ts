import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { type Clock, systemClock } from '../system/clock.ts'
import { readBody } from './body-reader.ts'
import { resolveRange } from './byte-range.ts'
import { interrupted, throwIfInterrupted } from './interruption.ts'
import { checkFolderPrefix, checkKey, checkPrefix, compareKeys } from './keys.ts'
import type { Body, ObjectReader, ObjectStore, StoredObject, WriteOptions, WrittenObject } from './object-store.ts'
import { objectExists, objectNotFound } from './store-errors.ts'

export interface MemoryStore extends ObjectStore {
  /** The stored bytes themselves, for tests that damage them. */
  readonly objects: Map<string, MemoryObject>
}

export interface MemoryObject {
  bytes: Uint8Array
  modifiedAt: Date
}

/** Objects in a map: as atomic and as strict as the real ones. */
export function createMemoryStore(options: { name?: string; clock?: Clock } = {}): MemoryStore {
  const clock = options.clock ?? systemClock
  const url = `memory://${options.name ?? 'store'}`
  const objects = new Map<string, MemoryObject>()

  async function write(key: string, body: Body, mode: 'create' | 'put', { signal, onProgress }: WriteOptions = {}): Promise<WrittenObject> {
    checkKey(key)
    throwIfInterrupted(signal)
    const reader = readBody(key, body, signal)
    const bytes = Buffer.alloc(body.sizeBytes)
    let filledBytes = 0
    for await (const chunk of reader.chunks()) {
      bytes.set(chunk, filledBytes)
      filledBytes += chunk.byteLength
      onProgress?.(filledBytes)
    }
    const written = { key, sizeBytes: body.sizeBytes, sha256: reader.sha256(), created: true }
    const present = objects.get(key)
    if (mode === 'create' && present !== undefined) {
      if (createHash('sha256').update(present.bytes).digest('hex') !== written.sha256) throw objectExists(url, key)
      return { ...written, created: false }
    }
    objects.set(key, { bytes, modifiedAt: clock.now() })
    return written
  }

  function sortedKeys(prefix: string): string[] {
    return [...objects.keys()].filter((key) => key.startsWith(prefix)).sort(compareKeys)
  }

  return {
    url,
    listsInPages: false,
    objects,
    create: (key, body, writeOptions) => write(key, body, 'create', writeOptions),
    put: (key, body, writeOptions) => write(key, body, 'put', writeOptions),

    async get(key, { range, signal } = {}): Promise<ObjectReader> {
      checkKey(key)
      throwIfInterrupted(signal)
      const object = objects.get(key)
      if (object === undefined) throw objectNotFound(url, key)
      const { start, end } = resolveRange(key, object.bytes.byteLength, range)
      return { sizeBytes: object.bytes.byteLength, modifiedAt: object.modifiedAt, body: readableOf(object.bytes.subarray(start, end), signal) }
    },

    async head(key, { signal } = {}): Promise<StoredObject | undefined> {
      checkKey(key)
      throwIfInterrupted(signal)
      const object = objects.get(key)
      return object && { key, sizeBytes: object.bytes.byteLength, modifiedAt: object.modifiedAt }
    },

    async *list(prefix, { signal } = {}) {
      for (const key of sortedKeys(checkPrefix(prefix))) {
        throwIfInterrupted(signal)
        const object = objects.get(key)
        if (object !== undefined) yield { key, sizeBytes: object.bytes.byteLength, modifiedAt: object.modifiedAt }
      }
    },

    async *listFolders(prefix, { signal } = {}) {
      checkFolderPrefix(prefix)
      const folders = new Set(sortedKeys(prefix).map((key) => key.slice(prefix.length).split('/')).filter((rest) => rest.length > 1).map((rest) => `${rest[0]}`))
      for (const folder of folders) {
        throwIfInterrupted(signal)
        yield folder
      }
    },

    async delete(keys, { signal } = {}) {
      for (const key of keys) checkKey(key)
      throwIfInterrupted(signal)
      for (const key of keys) objects.delete(key)
    },

    async now({ signal } = {}) {
      throwIfInterrupted(signal)
      return clock.now()
    },

    async capabilities() {
      return { conditionalCreate: true, verifiedUploads: true, caveats: [] }
    },

    async close() {},
  }
}

function readableOf(bytes: Uint8Array, signal?: AbortSignal): Readable {
  const chunkBytes = 64 * 1024
  let offset = 0
  return new Readable({
    read() {
      if (signal?.aborted) this.destroy(interrupted(signal))
      else if (offset >= bytes.byteLength) this.push(null)
      else this.push(Buffer.from(bytes.subarray(offset, (offset += chunkBytes))))
    },
  })
}
