import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createFileStore } from '../../src/stores/file-store.ts'
import { compareKeys } from '../../src/stores/keys.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const blocks = Array.from({ length: 300 }, (_, index) => `blocks/01K${String(index).padStart(3, '0')}/`)
const keys = [...blocks.flatMap((block) => ['chunks/000001', 'index', 'meta.json'].map((name) => block + name)), 'a', 'a-b/c', 'a/b', 'a/b-c', 'a/b/c'].filter((key) => !['a', 'a/b'].includes(key))

describe('files that need not be on a disk of this machine', () => {
  it('are looked at by threads alone, since a network mount whose server is gone gives no answer', async () => {
    const directLooks = vi.spyOn(performance, 'now')
    const found: string[] = []
    for await (const { key } of createFileStore({ root: '/proc/sys/kernel' }).list('')) found.push(key)
    expect(found).toEqual(expect.arrayContaining(['hostname', 'random/boot_id']))
    expect(directLooks).not.toHaveBeenCalled()
    vi.restoreAllMocks()
  })
})

describe('files in thousands of folders', () => {
  let root: string

  beforeEach(async () => {
    root = await temporaryDirectory()
    for (const key of keys) {
      await mkdir(dirname(join(root, key)), { recursive: true })
      await writeFile(join(root, key), key)
    }
    await symlink(root, join(root, 'a', 'link'))
  })

  afterEach(() => vi.restoreAllMocks())

  async function listed(prefix: string): Promise<string[]> {
    const found: string[] = []
    for await (const { key, sizeBytes } of createFileStore({ root }).list(prefix)) {
      expect(sizeBytes).toBe(key.length)
      found.push(key)
    }
    return found
  }

  const prefixes = ['', 'a', 'a/', 'blocks/', 'blocks/01K1', 'blocks/01K299/', 'blocks/01K299/ch', 'nothing/']

  it.each(prefixes)('are listed in order of their keys: "%s"', async (prefix) => {
    expect(await listed(prefix)).toEqual(keys.filter((key) => key.startsWith(prefix)).sort(compareKeys))
  })

  it.each(prefixes)('are listed the same from a disk that is slow, at times: "%s"', async (prefix) => {
    let nowMs = 0
    let calls = 0
    vi.spyOn(performance, 'now').mockImplementation(() => (nowMs += ++calls % 300 === 0 ? 5 : 0.001))
    expect(await listed(prefix)).toEqual(keys.filter((key) => key.startsWith(prefix)).sort(compareKeys))
    vi.spyOn(performance, 'now').mockImplementation(() => (nowMs += 5))
    expect(await listed(prefix)).toEqual(keys.filter((key) => key.startsWith(prefix)).sort(compareKeys))
  })

  it('leave everybody else a turn, so that a listing can be stopped', async () => {
    const stop = new AbortController()
    setImmediate(() => stop.abort())
    const consume = async () => {
      for await (const object of createFileStore({ root }).list('', { signal: stop.signal })) expect(object.key).not.toBe('')
    }
    await expect(consume()).rejects.toMatchObject({ code: 'INTERRUPTED' })
  })
})
