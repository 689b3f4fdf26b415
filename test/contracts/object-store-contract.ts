import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test, type TestContext } from 'vitest'
import { type Body, bytesBody, type ObjectStore } from '../../src/stores/object-store.ts'
import { collect, digestOf, keysOf, patternBody, readText, textBody } from '../support/bodies.ts'

export interface StoreSubject {
  store: ObjectStore
  /** A second client of the same objects, as another process would be. */
  other: ObjectStore
  dispose(): Promise<void>
}

export interface StoreContractOptions {
  /** The size of an object that the store sends in several pieces. */
  largeBytes: number
  /** What `url` must look like. */
  url: RegExp
}

/** Every store and wrapper passes this suite; `open` makes an empty store for each test (or skips the test). */
export function objectStoreContract(name: string, options: StoreContractOptions, open: (context: TestContext) => Promise<StoreSubject>): void {
  describe(`${name} keeps the contract of an object store:`, () => {
    let subject: StoreSubject | undefined
    let store: ObjectStore
    let other: ObjectStore

    beforeEach(async (context) => {
      subject = await open(context)
      store = subject.store
      other = subject.other
    })
    afterEach(async () => {
      await subject?.dispose()
      subject = undefined
    })

    test('a created object is read back whole, with its size, digest and time', async () => {
      const before = (await store.now()).getTime()
      const written = await store.create('blocks/a/index', textBody('content'))
      expect(written).toEqual({ key: 'blocks/a/index', sizeBytes: 7, sha256: createHash('sha256').update('content').digest('hex'), created: true })
      const read = await other.get('blocks/a/index')
      expect(read.sizeBytes).toBe(7)
      expect(Math.abs(read.modifiedAt.getTime() - before)).toBeLessThan(60_000)
      expect((await buffer(read.body)).toString()).toBe('content')
      expect(await other.head('blocks/a/index')).toEqual({ key: 'blocks/a/index', sizeBytes: 7, modifiedAt: read.modifiedAt })
    })

    test('an empty object is an object', async () => {
      const written = await store.create('empty', textBody(''))
      expect(written.created).toBe(true)
      expect(await readText(other, 'empty')).toBe('')
      expect((await other.head('empty'))?.sizeBytes).toBe(0)
      expect((await store.create('empty', textBody(''))).created).toBe(false)
    })

    test('keys with spaces, plus signs, percents and characters beyond the basic plane work', async () => {
      const keys = ['a b+c%20d/é=&?#.json', 'x/\u{1f600}', 'x/\uffee', 'x/~!@$^*()[]{}|;:\'",<>']
      for (const key of keys) await store.create(key, textBody(key))
      for (const key of keys) expect(await readText(other, key)).toBe(key)
      expect((await keysOf(other)).sort()).toEqual([...keys].sort())
      await store.delete(keys)
      expect(await keysOf(other)).toEqual([])
    })

    test('creating equal content again is success and stores nothing', async () => {
      await store.create('k', textBody('same'))
      const again = await other.create('k', textBody('same'))
      expect(again).toMatchObject({ created: false, sizeBytes: 4, sha256: createHash('sha256').update('same').digest('hex') })
    })

    test.for(['other', 'longer than before'])('creating a key again with other content (%s) is OBJECT_EXISTS and changes nothing', async (content) => {
      await store.create('k', textBody('first'))
      await expect(other.create('k', textBody(content))).rejects.toMatchObject({ name: 'PromDrError', code: 'OBJECT_EXISTS', hint: expect.any(String) })
      expect(await readText(store, 'k')).toBe('first')
    })

    test('put replaces what is there', async () => {
      await store.put('mutable', textBody('one'))
      const second = await other.put('mutable', textBody('second'))
      expect(second).toMatchObject({ created: true, sizeBytes: 6 })
      expect(await readText(store, 'mutable')).toBe('second')
      expect(await keysOf(store)).toEqual(['mutable'])
    })

    test('of sixteen racing creates with different content exactly one wins, where the store claims it', async () => {
      const capabilities = await store.capabilities('probe/')
      const results = await Promise.allSettled(Array.from({ length: 16 }, (_, index) => (index % 2 ? store : other).create('race', textBody(`content of ${index}`))))
      const won = results.filter((result) => result.status === 'fulfilled')
      if (!capabilities.conditionalCreate) {
        expect(capabilities.caveats.length).toBeGreaterThan(0)
        return
      }
      expect(won.length).toBe(1)
      for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'OBJECT_EXISTS' })
      const winner = won[0]!.value
      expect(createHash('sha256').update(await readText(store, 'race')).digest('hex')).toBe(winner.sha256)
    })

    test('racing creates of equal content all succeed', async () => {
      const results = await Promise.all(Array.from({ length: 8 }, (_, index) => (index % 2 ? store : other).create('race', textBody('same'))))
      expect(new Set(results.map((result) => result.sha256)).size).toBe(1)
      expect(await readText(store, 'race')).toBe('same')
    })

    test('capabilities leave nothing behind and answer the same again', async () => {
      const first = await store.capabilities('probe/')
      expect(await keysOf(other)).toEqual([])
      expect(await store.capabilities('probe/')).toEqual(first)
    })

    test('a missing object is OBJECT_NOT_FOUND to get and undefined to head', async () => {
      await store.create('there/deep', textBody('x'))
      for (const key of ['nothing', 'there/nothing', 'there', 'there/deep/er']) {
        await expect(store.get(key)).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
        expect(await store.head(key)).toBeUndefined()
      }
    })

    test.for(['', '/etc/passwd', '../x', 'a/../x', 'a//b', 'a/', './a', 'a\\b', 'a\nb', 'a\u0000b', 'k'.repeat(1025)])('the key %j is refused by every verb', async (key) => {
      const refused = { code: 'KEY_INVALID' }
      await expect(store.create(key, textBody('x'))).rejects.toMatchObject(refused)
      await expect(store.put(key, textBody('x'))).rejects.toMatchObject(refused)
      await expect(store.get(key)).rejects.toMatchObject(refused)
      await expect(store.head(key)).rejects.toMatchObject(refused)
      await expect(store.delete(['good', key])).rejects.toMatchObject(refused)
    })

    test('prefixes that leave the store are refused by listings', async () => {
      for (const prefix of ['../', '/etc/', 'a/../../']) {
        await expect(collect(store.list(prefix))).rejects.toMatchObject({ code: 'KEY_INVALID' })
        await expect(collect(store.listFolders(prefix))).rejects.toMatchObject({ code: 'KEY_INVALID' })
      }
      await expect(collect(store.listFolders('blocks'))).rejects.toMatchObject({ code: 'KEY_INVALID' })
    })

    test('ranges are half-open, clipped at the end, and know the whole size', async () => {
      await store.create('r', textBody('0123456789'))
      const read = async (range: { start: number; end?: number }) => {
        const object = await store.get('r', { range })
        expect(object.sizeBytes).toBe(10)
        return (await buffer(object.body)).toString()
      }
      expect(await read({ start: 0, end: 1 })).toBe('0')
      expect(await read({ start: 3, end: 7 })).toBe('3456')
      expect(await read({ start: 8 })).toBe('89')
      expect(await read({ start: 0 })).toBe('0123456789')
      expect(await read({ start: 5, end: 99 })).toBe('56789')
      await expect(store.get('r', { range: { start: 10 } })).rejects.toMatchObject({ code: 'STORE_REJECTED' })
      await expect(store.get('r', { range: { start: 4, end: 4 } })).rejects.toMatchObject({ code: 'STORE_REJECTED' })
    })

    test('listings are in the order of UTF-8 bytes, also around slashes and beyond the basic plane', async () => {
      const keys = ['a-b', 'a.b', 'a/b.c', 'a/b/c', 'a/c', 'a0', 'aa', 'b/\uffee', 'b/\u{1f600}', 'é', 'Z']
      for (const key of keys) await store.create(key, textBody(key))
      const expected = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      expect(await keysOf(other)).toEqual(expected)
      expect(await keysOf(other, 'a')).toEqual(expected.filter((key) => key.startsWith('a')))
      expect(await keysOf(other, 'a/')).toEqual(['a/b.c', 'a/b/c', 'a/c'])
      expect(await keysOf(other, 'a/b')).toEqual(['a/b.c', 'a/b/c'])
      expect(await keysOf(other, 'nothing/')).toEqual([])
    })

    test('folders are the distinct next segments, in key order, and only those with objects below', async () => {
      for (const key of ['blocks/02/index', 'blocks/02/chunks/000001', 'blocks/01/meta.json', 'blocks/file', 'blocks/01-x/y', 'top']) await store.create(key, textBody(key))
      expect(await collect(other.listFolders('blocks/'))).toEqual(['01-x', '01', '02'])
      expect(await collect(other.listFolders(''))).toEqual(['blocks'])
      expect(await collect(other.listFolders('blocks/02/'))).toEqual(['chunks'])
      expect(await collect(other.listFolders('none/'))).toEqual([])
      await store.delete(['blocks/01/meta.json'])
      expect(await collect(other.listFolders('blocks/'))).toEqual(['01-x', '02'])
    })

    test('more objects than one page holds are all listed, and all removed', { timeout: 400_000 }, async () => {
      const keys = Array.from({ length: 1105 }, (_, index) => `many/${String(index).padStart(5, '0')}/o`)
      for (let start = 0; start < keys.length; start += 24) await Promise.all(keys.slice(start, start + 24).map((key) => store.put(key, textBody('x'))))
      expect(await keysOf(other, 'many/')).toEqual(keys)
      expect((await collect(other.listFolders('many/'))).length).toBe(keys.length)
      await store.delete(keys)
      expect(await keysOf(other)).toEqual([])
    })

    test('a listing can be left early', async () => {
      for (const key of ['a', 'b', 'c']) await store.create(key, textBody(key))
      for await (const object of store.list('')) {
        expect(object.key).toBe('a')
        break
      }
    })

    test('deleting is idempotent and leaves others alone', async () => {
      await store.create('d/one', textBody('1'))
      await store.create('d/two', textBody('2'))
      await store.delete(['d/one', 'd/never-there'])
      await store.delete(['d/one', 'd'])
      await store.delete([])
      expect(await keysOf(other)).toEqual(['d/two'])
      await store.create('d/one', textBody('again'))
      expect(await readText(other, 'd/one')).toBe('again')
    })

    test('creating and deleting in one folder at once loses nothing', async () => {
      await Promise.all(
        Array.from({ length: 12 }, async (_, index) => {
          for (let round = 0; round < 4; round++) {
            await store.create(`folder/deep/${index}`, textBody(String(index)))
            await other.delete([`folder/deep/${index}`])
          }
          await store.create(`folder/deep/${index}`, textBody(String(index)))
        }),
      )
      expect((await keysOf(other, 'folder/')).length).toBe(12)
    })

    test('a large object goes in pieces, comes back equal, and reports its progress', { timeout: 400_000 }, async () => {
      const body = patternBody(options.largeBytes)
      const sha256 = await digestOf(body.open())
      const progress: number[] = []
      const written = await store.create('large', body, { onProgress: (sentBytes) => progress.push(sentBytes) })
      expect(written).toEqual({ key: 'large', sizeBytes: options.largeBytes, sha256, created: true })
      expect(progress.at(-1)).toBe(options.largeBytes)
      expect(progress.length).toBeGreaterThan(1)
      expect(await digestOf((await other.get('large')).body)).toBe(sha256)
      const middle = await other.get('large', { range: { start: 1000, end: 3_000_000 } })
      expect((await buffer(middle.body)).byteLength).toBe(2_999_000)
      expect((await other.create('large', body)).created).toBe(false)
      await expect(other.create('large', patternBody(options.largeBytes, 77))).rejects.toMatchObject({ code: 'OBJECT_EXISTS' })
      expect((await other.put('large', patternBody(options.largeBytes, 78))).created).toBe(true)
    })

    const wrongBodies: [string, (sizeBytes: number) => Body][] = [
      ['gives too few bytes', (sizeBytes) => ({ ...patternBody(sizeBytes - 1), sizeBytes })],
      ['gives too many bytes', (sizeBytes) => ({ ...patternBody(sizeBytes + 1), sizeBytes })],
      ['has another digest than announced', (sizeBytes) => ({ ...patternBody(sizeBytes), sha256: '0'.repeat(64) })],
      ['fails midway', failingBody],
    ]
    test.for(wrongBodies)('a body that %s is FILE_SYSTEM and leaves nothing', { timeout: 400_000 }, async ([, makeBody]) => {
      for (const sizeBytes of [1000, options.largeBytes]) {
        await expect(store.create('c', makeBody(sizeBytes))).rejects.toMatchObject({ code: 'FILE_SYSTEM' })
        await expect(store.put('p', makeBody(sizeBytes))).rejects.toMatchObject({ code: 'FILE_SYSTEM' })
      }
      expect(await keysOf(other)).toEqual([])
      await store.put('p', textBody('before'))
      await expect(store.put('p', makeBody(1000))).rejects.toMatchObject({ code: 'FILE_SYSTEM' })
      expect(await readText(other, 'p')).toBe('before')
    })

    test('a signal that has fired stops every verb', async () => {
      const signal = AbortSignal.abort()
      const stopped = { code: 'INTERRUPTED' }
      await expect(store.create('k', textBody('x'), { signal })).rejects.toMatchObject(stopped)
      await expect(store.put('k', textBody('x'), { signal })).rejects.toMatchObject(stopped)
      await expect(store.head('k', { signal })).rejects.toMatchObject(stopped)
      await expect(store.get('k', { signal })).rejects.toMatchObject(stopped)
      await expect(store.delete(['k'], { signal })).rejects.toMatchObject(stopped)
      await expect(store.now({ signal })).rejects.toMatchObject(stopped)
      expect(await keysOf(other)).toEqual([])
    })

    test('a signal in the middle of a write leaves nothing, also when the source hangs', async () => {
      for (const sizeBytes of [1000, options.largeBytes]) {
        const controller = new AbortController()
        const body = hangingBody(sizeBytes, () => controller.abort())
        await expect(store.create('hang', body, { signal: controller.signal })).rejects.toMatchObject({ code: 'INTERRUPTED' })
      }
      expect(await keysOf(other)).toEqual([])
    })

    test('a signal in the middle of a read ends the body with INTERRUPTED', async () => {
      await store.create('large', patternBody(options.largeBytes))
      const controller = new AbortController()
      const { body } = await store.get('large', { signal: controller.signal })
      const reading = (async () => {
        for await (const _chunk of body) controller.abort()
      })()
      await expect(reading).rejects.toMatchObject({ code: 'INTERRUPTED' })
    })

    test('its url is for people and tells where it is', () => {
      expect(store.url).toMatch(options.url)
    })

    test('bytes are stored as they are', async () => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
      await store.create('bytes', bytesBody(bytes))
      expect(await buffer((await other.get('bytes')).body)).toEqual(bytes)
    })
  })
}

function failingBody(sizeBytes: number): Body {
  return {
    sizeBytes,
    async *open() {
      yield Buffer.alloc(Math.floor(sizeBytes / 2))
      throw new Error('the disk under the source failed')
    },
  }
}

/** Gives half of its bytes, calls back, and never gives the rest. */
function hangingBody(sizeBytes: number, onHalf: () => void): Body {
  return {
    sizeBytes,
    async *open() {
      yield Buffer.alloc(Math.floor(sizeBytes / 2))
      setImmediate(onHalf)
      await new Promise(() => undefined)
    },
  }
}
