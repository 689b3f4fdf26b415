import { createHash } from 'node:crypto'
import type { ObjectSealing } from '../domain/object-sealing.ts'
import { PromDrError, hasCode } from '../errors.ts'
import { readBody } from './body-reader.ts'
import { checkKey } from './keys.ts'
import { type Body, type ObjectReader, type ObjectStore, type StoredObject, type WriteOptions, type WrittenObject, bytesBody } from './object-store.ts'
import { listWithoutSuffix, sealedSuffix, shownObject } from './sealed-listing.ts'
import { readSealed, readSealedHead } from './sealed-read.ts'
import { objectExists, objectNotFound } from './store-errors.ts'

export interface EncryptingStoreOptions {
  sealing: ObjectSealing
  /** The names of objects that hold data; every other is stored as it is. */
  seals(key: string): boolean
  /** Whether new objects are sealed. Those that are sealed already can be read either way, as can plain ones. */
  write: boolean
}

export interface EncryptingStore extends ObjectStore {
  /**
   * Brings one object to how new ones are stored: a plain one is sealed where new ones are, a sealed one is sealed for the present
   * recipients. At no moment is it not there. A crash leaves the plain beside the sealed object, and the next call removes it.
   * @returns whether anything was done
   * @throws KEY_MISSING, DAMAGED: then the object is as it was
   */
  reseal(key: string, options?: { signal?: AbortSignal }): Promise<boolean>
}

/** What a digest is taken of before it is sent, to be noted in the object: all but the large files of blocks. */
const notedBytes = 8 * 1024 * 1024

type Form = 'sealed' | 'plain'

/**
 * Stores data in the age format under the key with `.age`, and shows it as if it were stored plain: keys, sizes, ranges and digests are
 * those of the plain bytes, so that nothing above knows. A plain object and its sealed form are one object; of both at once (a crash in
 * `reseal`) the content is the same.
 *
 * Without a key for reading, everything works but `get`: `create` then compares by the digest that is noted in sealed objects, and
 * a large one that is there already is OBJECT_EXISTS.
 */
export function createEncryptingStore(store: ObjectStore, options: EncryptingStoreOptions): EncryptingStore {
  const { sealing, write } = options
  /** Where nothing sealed was ever seen, its removal is not asked for: in a bucket with versions that would leave marks. */
  let mayHoldSealed = write
  const names = { seals: (key: string) => !key.endsWith(sealedSuffix) && options.seals(key), plainBytes: sizeOfSealed }
  const context = { store, sealing }
  /** The likelier form first, and once more at the end: what was sealed meanwhile was there all the time. */
  const order: Form[] = write ? ['sealed', 'plain', 'sealed'] : ['plain', 'sealed', 'plain']

  function sizeOfSealed(storedBytes: number): number | undefined {
    mayHoldSealed = true
    return sealing.plainBytes(storedBytes)
  }

  async function get(key: string, readOptions?: Parameters<ObjectStore['get']>[1]): Promise<ObjectReader> {
    for (const form of order) {
      try {
        return await (form === 'plain' ? store.get(key, readOptions) : readSealed(context, key, readOptions))
      } catch (error) {
        if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
      }
    }
    throw objectNotFound(store.url, key)
  }

  async function head(key: string, headOptions?: { signal?: AbortSignal }): Promise<StoredObject | undefined> {
    for (const form of order) {
      const found = await store.head(form === 'plain' ? key : `${key}${sealedSuffix}`, headOptions)
      if (found !== undefined) return form === 'plain' ? found : shownObject(found, key, names)
    }
    return undefined
  }

  /** Sends the body sealed. The answer speaks of the plain bytes. */
  async function send(verb: 'create' | 'put', key: string, { body, options: given = {} }: { body: Body; options: WriteOptions | undefined }): Promise<WrittenObject> {
    const { signal, onProgress } = given
    const noted = body.sha256 ?? (body.sizeBytes <= notedBytes ? await digestOfBody(key, body, signal) : undefined)
    const sealed = await sealing.seal({ plainSha256: noted })
    const sizeBytes = sealing.storedBytes(body.sizeBytes)
    let sha256 = noted
    async function* plain(): AsyncGenerator<Uint8Array> {
      const reader = readBody(key, body, signal)
      yield* reader.chunks()
      sha256 = reader.sha256()
    }
    const report = onProgress && ((sentBytes: number) => onProgress(Math.floor((body.sizeBytes * sentBytes) / sizeBytes)))
    const result = () => ({ key, sizeBytes: body.sizeBytes, sha256: sha256 ?? '' })
    try {
      const { created } = await store[verb](`${key}${sealedSuffix}`, { sizeBytes, open: () => sealed.encrypt(plain()) }, { ...given, ...(report && { onProgress: report }) })
      return { ...result(), created }
    } catch (error) {
      if (verb === 'put' || !hasCode(error, 'OBJECT_EXISTS')) throw error
      sha256 ??= await digestOfBody(key, body, signal)
      await requireEqual(key, result(), signal)
      return { ...result(), created: false }
    }
  }

  async function create(key: string, body: Body, createOptions?: WriteOptions): Promise<WrittenObject> {
    const present = await store.head(key, createOptions?.signal && { signal: createOptions.signal })
    return present === undefined ? send('create', key, { body, options: createOptions }) : store.create(key, body, createOptions)
  }

  async function put(key: string, body: Body, putOptions?: WriteOptions): Promise<WrittenObject> {
    const written = write ? await send('put', key, { body, options: putOptions }) : await store.put(key, body, putOptions)
    await removeForm(key, write ? 'plain' : 'sealed', putOptions?.signal)
    return written
  }

  /** Asked for first: where nothing is to be removed, no right to remove is needed. */
  async function removeForm(key: string, form: Form, signal?: AbortSignal): Promise<boolean> {
    const storedKey = form === 'plain' ? key : `${key}${sealedSuffix}`
    const asked = signal === undefined ? {} : { signal }
    if ((await store.head(storedKey, asked)) === undefined) return false
    await store.delete([storedKey], asked)
    return true
  }

  /** The sealed object under the key holds these bytes. @throws OBJECT_EXISTS */
  async function requireEqual(key: string, expected: { sizeBytes: number; sha256: string }, signal?: AbortSignal): Promise<void> {
    const asked = signal === undefined ? {} : { signal }
    try {
      const { sizeBytes, body } = await readSealed(context, key, asked)
      if (sizeBytes === expected.sizeBytes && (await digestOf(body)) === expected.sha256) return
      body.destroy()
      throw objectExists(store.url, key)
    } catch (error) {
      if (hasCode(error, 'DAMAGED')) throw objectExists(store.url, key)
      if (!hasCode(error, 'KEY_MISSING')) throw error
    }
    const { head: bytes, reader } = await readSealedHead(context, key, signal)
    const noted = sealing.readNote(bytes)?.plainSha256
    if (noted === expected.sha256 && sealing.plainBytes(reader.sizeBytes) === expected.sizeBytes) return
    throw noted === undefined ? incomparable(store.url, key) : objectExists(store.url, key)
  }

  async function reseal(key: string, { signal }: { signal?: AbortSignal } = {}): Promise<boolean> {
    if (!names.seals(key)) return false
    const asked = signal === undefined ? {} : { signal }
    const isSealed = (await store.head(`${key}${sealedSuffix}`, asked)) !== undefined
    if (!isSealed && !write) return false
    if (isSealed && (await isForPresentRecipients(key, signal))) return write ? removeTwin(key, signal) : false
    const read = () => (isSealed ? readSealed(context, key, asked) : store.get(key, asked))
    await send('put', key, { body: await bodyFrom(read), options: asked })
    if (write) await removeForm(key, 'plain', signal)
    return true
  }

  /** The plain object that a crash left beside its sealed form. @throws DAMAGED when the two are not equal: both stay */
  async function removeTwin(key: string, signal?: AbortSignal): Promise<boolean> {
    const asked = signal === undefined ? {} : { signal }
    if ((await store.head(key, asked)) === undefined) return false
    const { sizeBytes, body } = await store.get(key, asked)
    const sha256 = await digestOf(body)
    try {
      await requireEqual(key, { sizeBytes, sha256 }, signal)
    } catch (error) {
      if (!hasCode(error, 'OBJECT_EXISTS')) throw error
      throw new PromDrError('DAMAGED', `${key} and ${key}${sealedSuffix} in ${store.url} do not hold the same bytes, or cannot be compared here`, {
        hint: 'with encryption.identityFile, "prom-dr verify --read-data" tells which of them is damaged: remove that one', cause: error, details: { key },
      })
    }
    return removeForm(key, 'plain', signal)
  }

  async function isForPresentRecipients(key: string, signal?: AbortSignal): Promise<boolean> {
    const { head: bytes } = await readSealedHead(context, key, signal)
    return sealing.readNote(bytes)?.recipients.join() === sealing.recipients.join()
  }

  const route = <T>(key: string, sealedWay: () => Promise<T>, plainWay: () => Promise<T>) => (names.seals(checkKey(key)) ? sealedWay() : plainWay())
  return {
    url: store.url,
    listsInPages: store.listsInPages,
    create: async (key, body, given) => route(key, () => (write ? create(key, body, given) : store.create(key, body, given)), () => store.create(key, body, given)),
    put: async (key, body, given) => route(key, () => put(key, body, given), () => store.put(key, body, given)),
    get: async (key, given) => route(key, () => get(key, given), () => store.get(key, given)),
    head: async (key, given) => route(key, () => head(key, given), () => store.head(key, given)),
    list: (prefix, given) => listWithoutSuffix(store.list(prefix, given), prefix, names),
    listFolders: (prefix, given) => store.listFolders(prefix, given),
    delete: (keys, given) => store.delete(keys.flatMap((key) => (mayHoldSealed && names.seals(key) ? [key, `${key}${sealedSuffix}`] : [key])), given),
    now: (given) => store.now(given),
    capabilities: (prefix, given) => store.capabilities(prefix, given),
    close: () => store.close(),
    reseal,
  }
}

async function digestOfBody(key: string, body: Body, signal?: AbortSignal): Promise<string> {
  const reader = readBody(key, body, signal)
  for await (const _chunk of reader.chunks());
  return reader.sha256()
}

async function digestOf(body: AsyncIterable<unknown>): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of body) hash.update(chunk as Uint8Array)
  return hash.digest('hex')
}

/** A stored object as a body: a small one is read once, a large one each time. */
async function bodyFrom(read: () => Promise<ObjectReader>): Promise<Body> {
  const { sizeBytes, body } = await read()
  if (sizeBytes <= notedBytes) {
    const pieces: Buffer[] = []
    for await (const piece of body) pieces.push(piece as Buffer)
    return bytesBody(Buffer.concat(pieces))
  }
  body.destroy()
  return {
    sizeBytes,
    async *open() {
      yield* (await read()).body as AsyncIterable<Uint8Array>
    },
  }
}

function incomparable(url: string, key: string): PromDrError {
  return new PromDrError('OBJECT_EXISTS', `${key} in ${url} exists already, sealed, and cannot be compared without its key`, {
    hint: 'encryption.identityFile makes it readable here', details: { key },
  })
}
