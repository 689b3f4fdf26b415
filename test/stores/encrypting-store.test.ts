import { createHash, randomBytes } from 'node:crypto'
import { getEventListeners, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { createEncryptingStore } from '../../src/stores/encrypting-store.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { compareKeys } from '../../src/stores/keys.ts'
import { type MemoryStore, createMemoryStore } from '../../src/stores/memory-store.ts'
import { type Body, type ObjectStore, bytesBody } from '../../src/stores/object-store.ts'
import { createS3Store } from '../../src/stores/s3-store.ts'
import { objectStoreContract } from '../contracts/object-store-contract.ts'
import { type KeyPair, newKeyPair, sealingWith, writeIdentityFile } from '../support/age.ts'
import { collect, digestOf, keysOf, patternBody, readText, textBody } from '../support/bodies.ts'
import { atEndOfFile } from '../support/cleanup.ts'
import { createTestBucket } from '../support/s3-server.ts'

let directory: string
let pair: KeyPair
let otherPair: KeyPair
let identityFile: string
let bothIdentities: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'prom-dr-encrypting-'))
  atEndOfFile(() => rm(directory, { recursive: true, force: true }))
  pair = await newKeyPair()
  otherPair = await newKeyPair()
  identityFile = await writeIdentityFile(directory, pair.identity)
  bothIdentities = await writeIdentityFile(directory, pair.identity, otherPair.identity)
})

const everything = () => true

function sealed(store: ObjectStore, seals: (key: string) => boolean = everything) {
  return createEncryptingStore(store, { sealing: sealingWith([pair.recipient], { identityFile }), seals, write: true })
}

/** Reads what is sealed, writes plain: as a host on which encryption of data is switched off. */
function switchedOff(store: ObjectStore) {
  return createEncryptingStore(store, { sealing: sealingWith([pair.recipient], { identityFile }), seals: everything, write: false })
}

function withoutKey(store: ObjectStore) {
  return createEncryptingStore(store, { sealing: sealingWith([pair.recipient]), seals: everything, write: true })
}

objectStoreContract('the encrypting store over memory', { largeBytes: 5_000_000, url: /^memory:/ }, async () => {
  const store = createMemoryStore()
  return { store: sealed(store), other: sealed(store), dispose: () => store.close() }
})

objectStoreContract('the encrypting store that writes plain', { largeBytes: 5_000_000, url: /^memory:/ }, async () => {
  const store = createMemoryStore()
  return { store: switchedOff(store), other: switchedOff(store), dispose: () => store.close() }
})

objectStoreContract('the encrypting store over files', { largeBytes: 5_000_000, url: /^file:/ }, async () => {
  const root = await mkdtemp(join(directory, 'files-'))
  return { store: sealed(createFileStore({ root })), other: sealed(createFileStore({ root })), dispose: () => rm(root, { recursive: true, force: true }) }
})

objectStoreContract('the encrypting store over S3', { largeBytes: 17_000_000, url: /^s3:/ }, async (context) => {
  const { openUploads: _, ...server } = await createTestBucket(context)
  const options = { ...server, prefix: 'some/prefix/', partSizeBytes: 5 * 1024 * 1024 }
  const [store, other] = [sealed(createS3Store(options)), sealed(createS3Store(options))]
  return {
    store,
    other,
    async dispose() {
      await Promise.all([store.close(), other.close()])
    },
  }
})

function bytesIn(store: MemoryStore): string {
  return [...store.objects.values()].map(({ bytes }) => Buffer.from(bytes).toString('latin1')).join('\n')
}

describe('the encrypting store', () => {
  test('stores nothing readable under the name with .age, and leaves other keys as they are', async () => {
    const memory = createMemoryStore()
    const store = sealed(memory, (key) => key.startsWith('blocks/'))
    await store.create('blocks/a/index', textBody('very secret samples'))
    await store.put('blocks/a/chunks/000001', textBody('very secret samples'))
    await store.create('manifest.json', textBody('{}'))
    expect([...memory.objects.keys()].sort()).toEqual(['blocks/a/chunks/000001.age', 'blocks/a/index.age', 'manifest.json'])
    expect(bytesIn(memory)).not.toContain('secret')
    expect(await keysOf(store)).toEqual(['blocks/a/chunks/000001', 'blocks/a/index', 'manifest.json'])
  })

  test('gives ranges anywhere, reading only the chunks that hold them', async () => {
    const memory = createMemoryStore()
    const plain = randomBytes(5 * 64 * 1024 + 100)
    await sealed(memory).create('k', bytesBody(plain))
    let readBytes = 0
    const counting: ObjectStore = {
      ...memory,
      async get(key, options) {
        const reader = await memory.get(key, options)
        reader.body.on('data', (piece: Buffer) => (readBytes += piece.length))
        reader.body.pause()
        return reader
      },
    }
    const store = sealed(counting)
    await fc.assert(fc.asyncProperty(fc.nat(plain.length - 1), fc.nat(200_000), async (start, length) => {
      readBytes = 0
      const end = start + length + 1
      const { body, sizeBytes } = await store.get('k', { range: { start, end } })
      const read = await buffer(body)
      expect(sizeBytes).toBe(plain.length)
      expect(read.equals(plain.subarray(start, end))).toBe(true)
      expect(readBytes).toBeLessThan(read.length + 2 * 66_000 + 70_000)
    }), { numRuns: 60 })
    expect((await buffer((await store.get('k', { range: { start: plain.length - 52 } })).body)).equals(plain.subarray(-52))).toBe(true)
  })

  test('reads plain and sealed objects side by side, whichever it writes', async () => {
    const memory = createMemoryStore()
    await memory.create('old', textBody('plain'))
    await sealed(memory).create('new', textBody('sealed'))
    for (const store of [sealed(memory), switchedOff(memory)]) {
      expect(await readText(store, 'old')).toBe('plain')
      expect(await readText(store, 'new')).toBe('sealed')
      expect((await collect(store.list(''))).map(({ key, sizeBytes }) => [key, sizeBytes])).toEqual([['new', 6], ['old', 5]])
      expect((await store.head('new'))?.sizeBytes).toBe(6)
      expect((await store.head('old'))?.sizeBytes).toBe(5)
    }
    const store = sealed(memory)
    expect((await store.create('old', textBody('plain'))).created).toBe(false)
    await expect(store.create('old', textBody('other'))).rejects.toMatchObject({ code: 'OBJECT_EXISTS' })
    await store.put('old', textBody('replaced'))
    expect([...memory.objects.keys()].sort()).toEqual(['new.age', 'old.age'])
    await switchedOff(memory).put('new', textBody('replaced'))
    expect([...memory.objects.keys()].sort()).toEqual(['new', 'old.age'])
    await store.delete(['old', 'new'])
    expect(memory.objects.size).toBe(0)
  })

  test('asks for the removal of sealed objects only where there may be any', async () => {
    const memory = createMemoryStore()
    const removed: string[] = []
    const watched: ObjectStore = {
      ...memory,
      async delete(keys, options) {
        removed.push(...keys)
        await memory.delete(keys, options)
      },
    }
    await memory.create('plain', textBody('x'))
    const store = switchedOff(watched)
    await store.delete(['plain'])
    expect(removed).toEqual(['plain'])
    await sealed(memory).create('sealed', textBody('x'))
    expect(await keysOf(store)).toEqual(['sealed'])
    await store.delete(['sealed'])
    expect(memory.objects.size).toBe(0)
  })

  test('lists names as a plain store would, in any mixture of plain and sealed objects', async () => {
    const character = fc.constantFrom('a', 'b', '-', '.', '0', '/', ' ', '+', '\u{1f600}', '\uffee')
    const name = fc.array(character, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('')).filter((text) => text.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..'))
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(name, fc.constantFrom('plain', 'sealed', 'both')), { maxLength: 12 }), name, async (objects, prefix) => {
      const memory = createMemoryStore()
      const store = sealed(memory)
      for (const [key, form] of objects) {
        if (form !== 'plain') await memory.put(`${key}.age`, bytesBody(Buffer.alloc(2048 + 16 + 16 + 7)))
        if (form !== 'sealed') await memory.put(key, textBody('7 bytes'))
      }
      const expected = [...new Set(objects.map(([key]) => key))].sort(compareKeys)
      const listed = await collect(store.list(''))
      expect(listed.map(({ key }) => key)).toEqual(expected)
      expect(listed.every(({ sizeBytes }) => sizeBytes === 7)).toBe(true)
      expect(await keysOf(store, prefix)).toEqual(expected.filter((key) => key.startsWith(prefix)))
    }), { numRuns: 300 })
  })

  test('without a key writes, lists, compares what is small, and says whose key is missing when it is to read', async () => {
    const memory = createMemoryStore()
    const store = withoutKey(memory)
    await store.create('small', textBody('content'))
    expect((await store.create('small', textBody('content'))).created).toBe(false)
    await expect(store.create('small', textBody('another'))).rejects.toMatchObject({ code: 'OBJECT_EXISTS' })
    const large = patternBody(9 * 1024 * 1024)
    await store.create('large', large)
    await expect(store.create('large', large)).rejects.toMatchObject({ code: 'OBJECT_EXISTS', message: expect.stringContaining('cannot be compared without its key') })
    const announced = { ...large, sha256: await digestOf(large.open()) }
    await store.put('large', announced)
    expect((await store.create('large', announced)).created).toBe(false)
    expect((await collect(store.list(''))).map(({ key, sizeBytes }) => [key, sizeBytes])).toEqual([['large', 9 * 1024 * 1024], ['small', 7]])
    for (const range of [undefined, { start: 3 }]) {
      await expect(store.get('small', range && { range })).rejects.toMatchObject({ code: 'KEY_MISSING', message: expect.stringContaining(`small.age in memory://store: it is sealed for ${pair.recipient}; no identity is configured`), details: { key: 'small', recipients: [pair.recipient] } })
    }
  })

  test('is DAMAGED by its name where a byte is another one, also in ranges, and shows no size that nothing has', async () => {
    const memory = createMemoryStore()
    const store = sealed(memory)
    await store.create('k', patternBody(200_000))
    const object = memory.objects.get('k.age')!
    const good = Buffer.from(object.bytes)
    const flipped = (at: number) => {
      const bytes = Buffer.from(good)
      bytes[at]! ^= 1
      return bytes
    }
    const read = async (range?: { start: number; end: number }) => digestOf((await store.get('k', range && { range })).body)
    for (const bytes of [flipped(good.length - 1), flipped(150_000), good.subarray(0, -1), good.subarray(0, 2048 + 16 + 65_552), good.subarray(0, 2000)]) {
      memory.objects.set('k.age', { ...object, bytes })
      await expect(read()).rejects.toMatchObject({ code: 'DAMAGED', details: { key: 'k' } })
      expect((await store.head('k'))?.sizeBytes === 200_000).toBe(bytes.length === good.length)
    }
    memory.objects.set('k.age', { ...object, bytes: flipped(150_000) })
    await expect(read({ start: 140_000, end: 140_001 })).rejects.toMatchObject({ code: 'DAMAGED', details: { key: 'k' } })
    expect(await read({ start: 10, end: 20 })).toBe(createHash('sha256').update(await buffer((await (async () => {
      memory.objects.set('k.age', { ...object, bytes: good })
      return store.get('k', { range: { start: 10, end: 20 } })
    })()).body)).digest('hex'))
  })

  test('never seals two contents under one key, also when a source changes between two tries', async () => {
    const memory = createMemoryStore()
    const sent: Buffer[] = []
    let tries = 0
    const flaky: ObjectStore = {
      ...memory,
      async create(key, body, options) {
        tries += 1
        const bytes = await buffer(body.open() as AsyncIterable<Uint8Array>)
        sent.push(bytes)
        if (tries === 1) return flaky.create(key, body, options)
        return memory.create(key, body, options)
      },
    }
    const same: Body = { sizeBytes: 100_000, open: () => patternBody(100_000).open() }
    await sealed(flaky).create('same', same)
    expect(sent[0]!.equals(sent[1]!)).toBe(true)
    tries = 0
    let opened = 0
    const changing: Body = { sizeBytes: 10_000_000, open: () => patternBody(10_000_000, opened++).open() }
    await expect(sealed(flaky).create('changing', changing)).rejects.toMatchObject({ code: 'FILE_SYSTEM', message: expect.stringContaining('gave other bytes when it was read again') })
    expect(await keysOf(memory)).toEqual(['same.age'])
  })

  test('seals old objects anew for other recipients, or for the first time, and twice changes nothing', async () => {
    const memory = createMemoryStore()
    const before = sealed(memory)
    await before.create('sealed', patternBody(9_000_000))
    await memory.create('plain', textBody('plain'))
    const after = createEncryptingStore(memory, { sealing: sealingWith([otherPair.recipient], { identityFile: bothIdentities }), seals: (key) => key !== 'other', write: true })
    await memory.create('other', textBody('not data'))
    const reseal = async () => [await after.reseal('sealed'), await after.reseal('plain'), await after.reseal('other'), await after.reseal('nothing').catch((error: { code: string }) => error.code)]
    expect(await reseal()).toEqual([true, true, false, 'OBJECT_NOT_FOUND'])
    expect([...memory.objects.keys()].sort()).toEqual(['other', 'plain.age', 'sealed.age'])
    const stored = bytesIn(memory)
    expect(await reseal()).toEqual([false, false, false, 'OBJECT_NOT_FOUND'])
    expect(bytesIn(memory)).toBe(stored)
    await expect(before.get('sealed')).rejects.toMatchObject({ code: 'KEY_MISSING' })
    expect(await digestOf((await after.get('sealed')).body)).toBe(await digestOf(patternBody(9_000_000).open()))
    expect(await readText(after, 'plain')).toBe('plain')
  })

  test('removes a plain object that a crash left beside its sealed form, unless the two differ', async () => {
    const memory = createMemoryStore()
    const store = sealed(memory)
    for (const key of ['equal', 'different']) await store.create(key, textBody(key))
    await memory.create('equal', textBody('equal'))
    await memory.create('different', textBody('DIFFERENT'))
    expect(await store.reseal('equal')).toBe(true)
    await expect(store.reseal('different')).rejects.toMatchObject({ code: 'DAMAGED', details: { key: 'different' } })
    expect([...memory.objects.keys()].sort()).toEqual(['different', 'different.age', 'equal.age'])
  })

  test('leaves an object that it cannot open as it is', async () => {
    const memory = createMemoryStore()
    await sealed(memory).create('k', textBody('content'))
    const stored = bytesIn(memory)
    const store = createEncryptingStore(memory, { sealing: sealingWith([otherPair.recipient]), seals: everything, write: true })
    await expect(store.reseal('k')).rejects.toMatchObject({ code: 'KEY_MISSING' })
    expect(bytesIn(memory)).toBe(stored)
  })
})

describe('a signal that is given to reads of sealed objects', () => {
  const memory = createMemoryStore()

  test.each([
    ['a whole one', (store: ObjectStore, signal: AbortSignal) => store.get('key', { signal }).then(({ body }) => buffer(body))],
    ['a range', (store: ObjectStore, signal: AbortSignal) => store.get('key', { range: { start: 70_000, end: 70_001 }, signal }).then(({ body }) => buffer(body))],
    ['one that is left before it is read', (store: ObjectStore, signal: AbortSignal) => store.get('key', { signal }).then(({ body }) => once(body.destroy(), 'close'))],
    ['one that is left on its way', (store: ObjectStore, signal: AbortSignal) => store.get('key', { signal }).then(async ({ body }) => {
      for await (const _piece of body) break
    })],
    ['one that no key opens', (_: ObjectStore, signal: AbortSignal) => expect(withoutKey(memory).get('key', { signal })).rejects.toMatchObject({ code: 'KEY_MISSING' })],
  ])('is not listened to any more after %s', async (_what, read) => {
    await sealed(memory).put('key', patternBody(300_000))
    const { signal } = new AbortController()
    await read(sealed(memory), signal)
    await expect.poll(() => getEventListeners(signal, 'abort'), { timeout: 20_000 }).toEqual([])
  })
})

describe('large files that are sealed', () => {
  test('are sealed and opened with memory that is used again', async () => {
    const plain = createFileStore({ root: join(directory, 'large') })
    const sizeBytes = 24 * 2 ** 20
    const body = patternBody(sizeBytes)
    const places = new Set<string>()
    const buffers = new Map<unknown, number>()
    const watched: ObjectStore = { ...plain, get: async (key, options) => {
      const reader = await plain.get(key, options)
      reader.body.on('data', (piece: Buffer) => {
        if (!buffers.has(piece.buffer)) buffers.set(piece.buffer, buffers.size)
        places.add(`${buffers.get(piece.buffer)} ${piece.byteOffset}`)
      })
      reader.body.pause()
      return reader
    } }
    const store = sealed(watched)
    await store.create('large', body)
    expect(await digestOf((await store.get('large')).body)).toBe(await digestOf(body.open()))
    expect(places.size).toBeGreaterThan(0)
    expect(places.size).toBeLessThan(16)
  })
})
