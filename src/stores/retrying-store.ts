import { compareKeys } from './keys.ts'
import type { Body, ObjectStore, WriteOptions, WrittenObject } from './object-store.ts'
import { resumingReader } from './resuming-reader.ts'
import { createRetrySchedule, type RetryOptions } from './retry-schedule.ts'

/**
 * Waits out what may pass (STORE_UNREACHABLE) and tries again; every other error goes through at once, and nothing is
 * tried after the signal. A create whose answer was lost is tried again too: the store finds its own content there,
 * which is success.
 */
export function createRetryingStore(store: ObjectStore, options: RetryOptions): ObjectStore {
  const schedule = createRetrySchedule(store.url, options)

  async function retry<T>(signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
    const tries = schedule.begin()
    for (;;) {
      try {
        const result = await attempt()
        tries.succeeded()
        return result
      } catch (error) {
        await tries.waitAfter(error, signal)
      }
    }
  }

  async function write(verb: 'create' | 'put', key: string, { body, options: given }: { body: Body; options: WriteOptions | undefined }): Promise<WrittenObject> {
    const tries = schedule.begin()
    let furthestBytes = 0
    for (;;) {
      let sentBytes = 0
      const onProgress = (bytes: number) => {
        sentBytes = bytes
        given?.onProgress?.(bytes)
      }
      try {
        const written = await store[verb](key, body, { ...given, onProgress })
        tries.succeeded()
        return written
      } catch (error) {
        if (sentBytes > furthestBytes) tries.progressed()
        furthestBytes = Math.max(furthestBytes, sentBytes)
        await tries.waitAfter(error, given?.signal)
        if (sentBytes > 0) given?.onProgress?.(0)
      }
    }
  }

  /** A listing that was cut starts again and leaves out what was given already. */
  async function* resumed<T>(open: () => AsyncIterable<T>, keyOf: (item: T) => string, signal: AbortSignal | undefined): AsyncGenerator<T, void, undefined> {
    const tries = schedule.begin()
    let last: string | undefined
    for (;;) {
      try {
        for await (const item of open()) {
          if (last !== undefined && compareKeys(keyOf(item), last) <= 0) continue
          last = keyOf(item)
          tries.progressed()
          yield item
        }
        tries.succeeded()
        return
      } catch (error) {
        await tries.waitAfter(error, signal)
      }
    }
  }

  return {
    url: store.url,
    listsInPages: store.listsInPages,
    create: (key, body, writeOptions) => write('create', key, { body, options: writeOptions }),
    put: (key, body, writeOptions) => write('put', key, { body, options: writeOptions }),
    async get(key, readOptions) {
      const first = await retry(readOptions?.signal, () => store.get(key, readOptions))
      return resumingReader({ store, key, first, options: readOptions ?? {}, tries: schedule.begin() })
    },
    head: (key, headOptions) => retry(headOptions?.signal, () => store.head(key, headOptions)),
    list: (prefix, listOptions) => resumed(() => store.list(prefix, listOptions), (object) => object.key, listOptions?.signal),
    listFolders: (prefix, listOptions) => resumed(() => store.listFolders(prefix, listOptions), (folder) => `${folder}/`, listOptions?.signal),
    delete: (keys, deleteOptions) => retry(deleteOptions?.signal, () => store.delete(keys, deleteOptions)),
    now: (nowOptions) => retry(nowOptions?.signal, () => store.now(nowOptions)),
    capabilities: (prefix, probeOptions) => retry(probeOptions?.signal, () => store.capabilities(prefix, probeOptions)),
    close: () => store.close(),
  }
}
