import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { isDataKey } from '../../src/repository/data-keys.ts'
import { createEncryptingStore } from '../../src/stores/encrypting-store.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { promDr } from '../cli/launcher.ts'
import { type KeyPair, newKeyPair, sealingWith, writeIdentityFile } from '../support/age.ts'
import { keysOf } from '../support/bodies.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { missingPrograms } from '../support/prometheus.ts'
import { type Restorable, makeRestorable, recursiveListing } from '../support/restorable.ts'

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a restore of sealed data', () => {
  let source: Restorable
  let pair: KeyPair
  let stranger: KeyPair
  let keys: string
  let sealedRoot: string

  beforeAll(async () => {
    source = await makeRestorable()
    ;[pair, stranger] = [await newKeyPair(), await newKeyPair()]
    keys = await temporaryDirectory('keys')
    sealedRoot = (await source.copy()).root
    await seal(sealedRoot, pair)
  })

  const encrypted = (root: string, to: KeyPair, settings: { identityFile?: string } = {}) => createEncryptingStore(createFileStore({ root }), { sealing: sealingWith([to.recipient], settings), seals: isDataKey, write: true })
  const fileOf = (...pairs: KeyPair[]) => writeIdentityFile(keys, ...pairs.map(({ identity }) => identity))
  const restoring = async (root: string, settings: { identityFile?: string } = {}) => operationsOn(source.api, encrypted(root, pair, settings))
  const placedIn = async (target: string) => (await readdir(target)).filter((name) => !name.startsWith('.prom-dr')).sort()

  /** Seals what is stored for a key, or those objects of it that are chosen; what is sealed already is opened by its first key. */
  async function seal(root: string, to: KeyPair, chosen: (key: string) => boolean = () => true): Promise<void> {
    const store = encrypted(root, to, { identityFile: await fileOf(pair, stranger) })
    for (const key of await keysOf(store)) if (isDataKey(key) && chosen(key)) await store.reseal(key)
  }

  async function mixed(): Promise<string> {
    const { root } = await source.copy()
    await seal(root, pair)
    const [, middle = ''] = source.blocks.map(({ ulid }) => ulid).sort()
    await seal(root, stranger, (key) => key.startsWith(`blocks/${middle}/`))
    return root
  }

  it.each([
    ['no key', async () => ({})],
    ['another key', async () => ({ identityFile: await fileOf(stranger) })],
    ['a key file that is gone', async () => ({ identityFile: join(keys, 'gone.txt') })],
  ])('is refused by a host with %s, and leaves the target exactly as it was', async (_what, settings) => {
    const operations = await restoring(sealedRoot, await settings())
    const target = await temporaryDirectory('target')
    await mkdir(join(target, 'wal'))
    await writeFile(join(target, 'wal', '00000000'), 'of a server')
    const before = await recursiveListing(target)
    const error = await rejectionOf(operations.restore(target, { replace: true, start: false }))
    expect(error).toMatchObject({ code: 'KEY_MISSING', message: expect.stringMatching(/^the restore was refused, nothing was changed: .*(no identity|gone\.txt cannot be read)/), hint: expect.any(String) })
    expect(await recursiveListing(target)).toEqual(before)
    const dry = await operations.restore(target, { replace: true, dryRun: true, start: false })
    expect(dry.plan.preflight).toContainEqual(expect.objectContaining({ name: 'key', ok: false, detail: expect.stringMatching(/no identity|gone\.txt cannot be read/), advice: expect.any(String) }))
    expect(await recursiveListing(target)).toEqual(before)
  })

  it('goes on from another repository that has it in the clear, or sealed for a key that is here', async () => {
    const { root: otherRoot } = await source.copy()
    await seal(otherRoot, stranger)
    const identityFile = await fileOf(stranger)
    const sealed = { name: 'sealed', store: encrypted(sealedRoot, pair, { identityFile }) }
    for (const other of [createFileStore({ root: source.root }), encrypted(otherRoot, stranger, { identityFile })]) {
      const target = join(await temporaryDirectory('target'), 'data')
      const report = await operationsOn(source.api, [sealed, { name: 'other', store: other }]).restore(target)
      expect(report).toMatchObject({ answers: { equal: true }, repaired: expect.arrayContaining([expect.objectContaining({ from: 'other', reason: expect.stringContaining('opens it') })]) })
    }
  })

  it('that meets an object without a key on its way says what is left, and goes on there when it has the key', async () => {
    const root = await mixed()
    const target = join(await temporaryDirectory('target'), 'data')
    const error = await rejectionOf((await restoring(root, { identityFile: await fileOf(pair) })).restore(target, { start: false }))
    expect(error).toMatchObject({ code: 'KEYS_INCOMPLETE', message: expect.stringContaining(`what has arrived waits in ${join(target, '.prom-dr-staging')}`), hint: expect.stringContaining('run the same command again') })
    expect((error as Error).message).toContain(stranger.recipient)
    expect((error as Error).message).not.toContain('nothing was changed')
    expect((await readdir(target)).sort()).toEqual(['.prom-dr-incomplete', '.prom-dr-staging'])
    await (await restoring(root, { identityFile: await fileOf(pair, stranger) })).restore(target)
    expect(await readdir(target)).toEqual(expect.not.arrayContaining(['.prom-dr-incomplete', '.prom-dr-staging']))
    expect(await placedIn(target)).toEqual(expect.arrayContaining(source.blocks.map(({ ulid }) => ulid)))
  })

  it('ends with 4 where nothing was changed, and with 1 where something has arrived', async () => {
    const directory = await temporaryDirectory('command')
    const run = async (root: string, target: string, env: Record<string, string> = {}) => {
      const settings = { PROM_DR_INSTANCE: 'prom-a', PROM_DR_PROMETHEUS_URL: 'http://127.0.0.1:9', PROM_DR_REPOSITORY_URL: root, PROM_DR_ENCRYPTION_RECIPIENTS: pair.recipient, PROM_DR_ENCRYPTION_DATA: 'true' }
      const { code, stdout } = await promDr(['restore', '--at', 'latest', '--target', target, '--side-instance', '--json', '--log-level', 'error'], { cwd: directory, env: { ...settings, ...env } })
      return { exit: code, code: (JSON.parse(stdout) as { error?: { code: string } }).error?.code }
    }
    const target = join(directory, 'data')
    expect(await run(sealedRoot, target)).toEqual({ exit: 4, code: 'KEY_MISSING' })
    expect(await run(sealedRoot, target, { PROM_DR_ENCRYPTION_IDENTITY_FILE: await fileOf(stranger) })).toEqual({ exit: 4, code: 'KEY_MISSING' })
    expect(await readdir(directory)).toEqual([])
    const root = await mixed()
    expect(await run(root, target, { PROM_DR_ENCRYPTION_IDENTITY_FILE: await fileOf(pair) })).toEqual({ exit: 1, code: 'KEYS_INCOMPLETE' })
    expect(await run(root, target, { PROM_DR_ENCRYPTION_IDENTITY_FILE: await fileOf(pair, stranger) })).toEqual({ exit: 0, code: undefined })
    expect(await readdir(target)).toEqual(expect.not.arrayContaining(['.prom-dr-incomplete', '.prom-dr-staging']))
  })
})
