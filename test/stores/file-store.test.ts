import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, statfs, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, type TestContext } from 'vitest'
import { createFileStore } from '../../src/stores/file-store.ts'
import { objectStoreContract } from '../contracts/object-store-contract.ts'
import { collect, digestOf, keysOf, patternBody, textBody } from '../support/bodies.ts'

let root: string

async function makeRoot(): Promise<void> {
  root = join(await mkdtemp(join(tmpdir(), 'prom-dr-file-store-')), 'a b')
}

async function removeRoot(): Promise<void> {
  await rm(join(root, '..'), { recursive: true, force: true })
}

objectStoreContract('the file store', { largeBytes: 5_000_000, url: /^file:\/\/\/.*\/a%20b$/ }, async () => {
  await makeRoot()
  return { store: createFileStore({ root }), other: createFileStore({ root }), dispose: removeRoot }
})

describe('the file store', () => {
  beforeEach(makeRoot)
  afterEach(removeRoot)

  test('lays objects out as plain files and leaves its temporary directory empty', async () => {
    const store = createFileStore({ root })
    await store.create('blocks/01/index', textBody('plain'))
    expect(await readFile(join(root, 'blocks/01/index'), 'utf8')).toBe('plain')
    await expect(store.create('blocks/01/index', textBody('other'))).rejects.toMatchObject({ code: 'OBJECT_EXISTS' })
    expect(await readdir(join(root, '.prom-dr-tmp'))).toEqual([])
    await expect(store.put('.prom-dr-tmp/x', textBody('x'))).rejects.toMatchObject({ code: 'KEY_INVALID' })
  })

  test('leaves nothing behind when it is tried where nothing is, and is as good as new', async () => {
    const store = createFileStore({ root: join(root, 'not', 'there') })
    expect(await store.capabilities('probes/')).toMatchObject({ conditionalCreate: true })
    expect(await readdir(join(root, '..'))).toEqual([])
    await store.create('a/b', textBody('x'))
    expect(await keysOf(store)).toEqual(['a/b'])
  })

  test('lists nothing and makes no directory when the root is not there', async () => {
    const store = createFileStore({ root })
    expect(await keysOf(store)).toEqual([])
    expect(await collect(store.listFolders(''))).toEqual([])
    await store.now()
    await store.delete(['a/b'])
    expect(await readdir(join(root, '..'))).toEqual([])
  })

  test('refuses to follow symbolic links below the root, and does not list them', async () => {
    const outside = join(root, '../outside')
    await mkdir(outside, { recursive: true })
    await mkdir(root, { recursive: true })
    await writeFile(join(outside, 'secret'), 'secret')
    await symlink(outside, join(root, 'linked'))
    await symlink(join(outside, 'secret'), join(root, 'file'))
    const store = createFileStore({ root })
    const refused = { code: 'STORE_REJECTED', hint: expect.any(String) }
    await expect(store.get('linked/secret')).rejects.toMatchObject(refused)
    await expect(store.get('file')).rejects.toMatchObject(refused)
    await expect(store.put('linked/new', textBody('x'))).rejects.toMatchObject(refused)
    await expect(store.create('linked/secret', textBody('x'))).rejects.toMatchObject(refused)
    await expect(store.create('file', textBody('x'))).rejects.toMatchObject(refused)
    await expect(store.delete(['linked/secret'])).rejects.toMatchObject(refused)
    await expect(keysOf(store, 'linked/')).rejects.toMatchObject(refused)
    expect(await keysOf(store)).toEqual([])
    expect(await readdir(outside)).toEqual(['secret'])
  })

  test('follows a symbolic link that is the root itself', async () => {
    await mkdir(root, { recursive: true })
    const link = join(root, '../link')
    await symlink(root, link)
    const store = createFileStore({ root: link })
    await store.create('a/b', textBody('x'))
    expect(await keysOf(createFileStore({ root }))).toEqual(['a/b'])
  })

  test('says which file is in the way of a directory', async () => {
    const store = createFileStore({ root })
    await store.create('a', textBody('x'))
    await expect(store.create('a/b', textBody('x'))).rejects.toMatchObject({ code: 'STORE_REJECTED', message: expect.stringContaining(join(root, 'a')) })
    await store.create('d/e', textBody('x'))
    await expect(store.put('d', textBody('x'))).rejects.toMatchObject({ code: 'STORE_REJECTED', message: expect.stringContaining(join(root, 'd')) })
    await expect(store.create('d', textBody('x'))).rejects.toMatchObject({ code: 'OBJECT_EXISTS' })
  })

  test('a full file system is DISK_FULL and leaves nothing', async (context) => {
    await withSmallFileSystem(context, async () => {
      const store = createFileStore({ root })
      await store.create('before', textBody('x'))
      const full = { code: 'DISK_FULL', message: expect.stringContaining(root), hint: expect.stringContaining('df') }
      await expect(store.create('big', patternBody(5_000_000))).rejects.toMatchObject({ ...full, hint: expect.stringContaining(`df -h ${root};`) })
      await expect(store.put('before', patternBody(5_000_000))).rejects.toMatchObject(full)
      expect(await keysOf(store)).toEqual(['before'])
      expect((await statfs(root)).bfree).toBeGreaterThan(400)
    })
  })

  test('a file system that is mounted read-only is STORE_DENIED to writes, and can be read', async (context) => {
    await withSmallFileSystem(context, async () => {
      await createFileStore({ root }).create('before', textBody('x'))
      expect(spawnSync('mount', ['-o', 'remount,ro', root]).status).toBe(0)
      const store = createFileStore({ root })
      const denied = { code: 'STORE_DENIED', message: expect.stringContaining(root), hint: expect.stringContaining('read-only') }
      await expect(store.create('new', textBody('x'))).rejects.toMatchObject(denied)
      await expect(store.put('before', textBody('y'))).rejects.toMatchObject(denied)
      await expect(store.delete(['before'])).rejects.toMatchObject(denied)
      await expect(store.capabilities('')).rejects.toMatchObject(denied)
      expect(await keysOf(store)).toEqual(['before'])
      await store.now()
    })
  })

  test('removes temporary files that nobody has written to for a day, and no younger ones', async () => {
    await mkdir(join(root, '.prom-dr-tmp'), { recursive: true })
    for (const [name, ageHours] of [['old', 25], ['young', 23]] as const) {
      await writeFile(join(root, '.prom-dr-tmp', name), 'x')
      const at = new Date(Date.now() - ageHours * 3_600_000)
      await utimes(join(root, '.prom-dr-tmp', name), at, at)
    }
    await createFileStore({ root }).create('a', textBody('x'))
    expect(await readdir(join(root, '.prom-dr-tmp'))).toEqual(['young'])
  })

  test('a file that is cut while it is read ends with an error, not in silence', async () => {
    const store = createFileStore({ root })
    await store.create('big', patternBody(20_000_000))
    const { body } = await store.get('big')
    await truncate(join(root, 'big'), 6_000_000)
    await expect(digestOf(body)).rejects.toMatchObject({ code: 'STORE_BAD_RESPONSE' })
  })

  test('removes directories that a delete has emptied, up to the root', async () => {
    const store = createFileStore({ root })
    await store.create('blocks/01/chunks/000001', textBody('x'))
    await store.create('blocks/01/index', textBody('x'))
    await store.create('blocks/02/index', textBody('x'))
    await store.delete(['blocks/01/chunks/000001', 'blocks/01/index'])
    expect(await readdir(join(root, 'blocks'))).toEqual(['02'])
    await store.delete(['blocks/02/index'])
    expect(await readdir(root)).toEqual(['.prom-dr-tmp'])
  })

  test('a process killed in the middle of its writes leaves no partial object', async () => {
    const writer = join(import.meta.dirname, '../fixtures/file-store-writer.ts')
    for (let round = 0; round < 3; round++) {
      const child = fork(writer, [root, String(round)], { execArgv: ['--import', 'tsx'] })
      try {
        await messages(child, 3 + round)
      } finally {
        child.kill('SIGKILL')
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      }
    }
    const store = createFileStore({ root })
    const expected = await digestOf(patternBody(3_000_000).open())
    const keys = await keysOf(store)
    expect(keys.length).toBeGreaterThanOrEqual(3 + 4 + 5)
    for (const key of keys) expect(await digestOf((await store.get(key)).body)).toBe(expected)
    expect((await readdir(join(root, '.prom-dr-tmp'))).length).toBeGreaterThanOrEqual(3)
    expect((await store.create(keys[0]!, patternBody(3_000_000))).created).toBe(false)
  })
})

/** Resolves after `count` messages; rejects when the child ends before. */
function messages(child: ChildProcess, count: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = 0
    child.on('message', () => {
      if (++seen === count) resolve()
    })
    child.once('exit', (code) => reject(new Error(`the writer ended with code ${code} after ${seen} messages`)))
  })
}

/** Runs the body with a file system of 3 MB mounted at the root of the store; needs to be root. */
async function withSmallFileSystem(context: TestContext, run: () => Promise<void>): Promise<void> {
  await mkdir(root, { recursive: true })
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', root])
  if (mounted.status !== 0) {
    if (process.env['PROM_DR_REQUIRE_PROGRAMS'] === '1' && process.getuid?.() === 0) throw new Error(`mount: ${mounted.stderr}`)
    context.skip('a small file system can be mounted by root only')
  }
  try {
    await run()
  } finally {
    spawnSync('umount', [root])
  }
}
