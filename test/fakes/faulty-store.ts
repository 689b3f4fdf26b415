import { Readable } from 'node:stream'
import { PromDrError } from '../../src/errors.ts'
import type { Body, ObjectReader, ObjectStore } from '../../src/stores/object-store.ts'

export type StoreVerb = 'create' | 'put' | 'get' | 'head' | 'list' | 'listFolders' | 'delete' | 'now' | 'capabilities'

/** One scripted fault. */
export interface StoreFault {
  verb: StoreVerb | 'any'
  /** Which call of that verb fails, counted from 1. */
  call: number
  /** Only calls whose key or prefix matches are counted. */
  key?: RegExp
  /**
   * `before`: nothing happens. `after`: the effect happens and its answer is lost. A number: the body is cut after so
   * many bytes (reads: the stream fails; writes: that much is read and nothing is stored), or a listing after so many entries.
   */
  at: 'before' | 'after' | number
  /** Default: STORE_UNREACHABLE. */
  error?: () => Error
}

export interface FaultyStore extends ObjectStore {
  readonly calls: { verb: StoreVerb; key: string }[]
  /** The faults that happened, in order: a test that expects one proves it here. */
  readonly fired: StoreFault[]
}

/** Wraps any store and fails the calls that the script names. */
export function createFaultyStore(store: ObjectStore, faults: readonly StoreFault[]): FaultyStore {
  const calls: FaultyStore['calls'] = []
  const fired: StoreFault[] = []
  const seen = new Map<StoreFault, number>()

  function record(verb: StoreVerb, key: string): StoreFault | undefined {
    calls.push({ verb, key })
    let due: StoreFault | undefined
    for (const fault of faults) {
      if ((fault.verb !== 'any' && fault.verb !== verb) || fault.key?.test(key) === false) continue
      const count = (seen.get(fault) ?? 0) + 1
      seen.set(fault, count)
      if (count === fault.call) due ??= fault
    }
    return due
  }

  function fire(fault: StoreFault): Error {
    fired.push(fault)
    return fault.error?.() ?? new PromDrError('STORE_UNREACHABLE', `scripted fault: ${fault.verb} ${fault.call} ${fault.at}`)
  }

  async function run<T>(verb: StoreVerb, key: string, effect: (fault: StoreFault | undefined) => Promise<T>): Promise<T> {
    const fault = record(verb, key)
    if (fault?.at === 'before') throw fire(fault)
    const result = await effect(fault)
    if (fault?.at === 'after') throw fire(fault)
    return result
  }

  async function write(verb: 'create' | 'put', key: string, [body, options]: [Body, Parameters<ObjectStore['put']>[2]]) {
    return await run(verb, key, async (fault) => {
      if (typeof fault?.at !== 'number') return await store[verb](key, body, options)
      await readSome(body, fault.at, options?.onProgress)
      throw fire(fault)
    })
  }

  async function* cutListing<T>(verb: 'list' | 'listFolders', prefix: string, items: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
    const fault = record(verb, prefix)
    if (fault?.at === 'before') throw fire(fault)
    let given = 0
    for await (const item of items) {
      if (typeof fault?.at === 'number' && given++ === fault.at) throw fire(fault)
      yield item
    }
    if (fault !== undefined) throw fire(fault)
  }

  return {
    url: store.url,
    listsInPages: store.listsInPages,
    calls,
    fired,
    create: (key, body, options) => write('create', key, [body, options]),
    put: (key, body, options) => write('put', key, [body, options]),
    get: (key, options) =>
      run('get', key, async (fault): Promise<ObjectReader> => {
        const reader = await store.get(key, options)
        const at = fault?.at
        if (at === 'after') reader.body.destroy()
        if (typeof at !== 'number') return reader
        return { ...reader, body: Readable.from(cutBody(reader.body, at, () => fire(fault!)), { objectMode: false }) }
      }),
    head: (key, options) => run('head', key, () => store.head(key, options)),
    list: (prefix, options) => cutListing('list', prefix, store.list(prefix, options)),
    listFolders: (prefix, options) => cutListing('listFolders', prefix, store.listFolders(prefix, options)),
    delete: (keys, options) => run('delete', keys.join(' '), () => store.delete(keys, options)),
    now: (options) => run('now', '', () => store.now(options)),
    capabilities: (prefix, options) => run('capabilities', prefix, () => store.capabilities(prefix, options)),
    close: () => store.close(),
  }
}

async function* cutBody(source: Readable, afterBytes: number, error: () => Error): AsyncGenerator<Uint8Array, void, undefined> {
  let leftBytes = afterBytes
  for await (const chunk of source as AsyncIterable<Uint8Array>) {
    if (chunk.byteLength >= leftBytes) {
      if (leftBytes > 0) yield chunk.subarray(0, leftBytes)
      throw error()
    }
    leftBytes -= chunk.byteLength
    yield chunk
  }
  throw error()
}

async function readSome(body: Body, bytes: number, onProgress?: (sentBytes: number) => void): Promise<void> {
  let readBytes = 0
  for await (const chunk of body.open() as AsyncIterable<Uint8Array>) {
    readBytes = Math.min(bytes, readBytes + chunk.byteLength)
    onProgress?.(readBytes)
    if (readBytes === bytes) return
  }
}
