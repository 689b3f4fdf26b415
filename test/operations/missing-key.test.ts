import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { exitCodeOf } from '../../src/cli/exit-codes.ts'
import { checkEncryption, checkSecretFiles } from '../../src/operations/doctor/doctor-encryption.ts'
import type { DoctorContext, DoctorEncryption } from '../../src/operations/doctor/doctor-context.ts'
import { withPreparedComponents } from '../../src/operations/components/restore-components.ts'
import { showFile } from '../../src/operations/components/show-archives.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { type KeyPair, ageWith, newKeyPair, writeIdentityFile } from '../support/age.ts'
import { knownRepository, makeArchive, treeOf, writeTree } from '../support/archived.ts'
import { overwrite } from '../support/both-stores.ts'
import { keysOf } from '../support/bodies.ts'
import { componentsContext, directoryComponent } from '../support/components.ts'
import { rejectionOf } from '../support/operations.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const signal = new AbortController().signal

describe('a repository whose key', () => {
  let pair: KeyPair
  let stranger: KeyPair
  let store: ObjectStore
  let etc: string
  let keys: string

  beforeEach(async () => {
    pair = await newKeyPair()
    stranger = await newKeyPair()
    keys = await temporaryDirectory()
    etc = await temporaryDirectory()
    await writeTree(etc, { 'app.conf': 'password = sesame\n' })
    store = await knownRepository()
    await makeArchive(store, componentsContext([directoryComponent('etc', etc)], { encryption: ageWith([pair.recipient]) }))
  })

  const context = (opening: ReturnType<typeof ageWith> | undefined) => ({ instance: 'prom-a', repositories: [{ name: 'primary', store }], components: componentsContext([directoryComponent('etc', etc)], { opening }), signal })
  const restoreInto = (directory: string, opening: ReturnType<typeof ageWith> | undefined) => withPreparedComponents(context(opening), {
    at: { kind: 'latest' }, repositories: [], dryRun: false, replace: false, nearest: false, includeDeletes: false, start: false, sideInstance: false, only: ['etc'], componentsTarget: directory,
  }, (prepared) => prepared.restore())
  const showConf = (opening: ReturnType<typeof ageWith> | undefined) => showFile(context(opening), { id: 'latest', path: 'etc/app.conf', repositories: [] })

  const lost: [string, () => Promise<ReturnType<typeof ageWith> | undefined>, string][] = [
    ['is nowhere configured', async () => undefined, 'is encrypted for'],
    ['is not on this host', async () => ageWith([pair.recipient]), 'no identity is configured'],
    ['is another one', async () => ageWith([], { identityFile: await writeIdentityFile(keys, stranger.identity) }), 'opens it'],
    ['is a file that is gone', async () => ageWith([], { identityFile: join(keys, 'gone.txt') }), 'gone.txt cannot be read (ENOENT)'],
  ]
  test.for(lost)('%s refuses with KEY_MISSING, and nothing was changed', async ([, open, message]) => {
    const target = await temporaryDirectory()
    for (const failure of [await rejectionOf(restoreInto(target, await open())), await rejectionOf(showConf(await open()))]) {
      expect(failure).toMatchObject({ code: 'KEY_MISSING', message: expect.stringContaining(message), hint: expect.stringMatching(/encryption/) })
    }
    expect(await treeOf(target)).toEqual({})
    expect(exitCodeOf('KEY_MISSING')).toBe(4)
  })

  test('is there gives everything back', async () => {
    const opening = ageWith([], { identityFile: await writeIdentityFile(keys, stranger.identity, pair.identity) })
    const target = await temporaryDirectory()
    expect(await restoreInto(target, opening)).toMatchObject([{ component: 'etc', ok: true }])
    expect(await treeOf(target)).toEqual({ 'etc/app.conf': 'password = sesame\n' })
    expect((await showConf(opening)).content.toString()).toBe('password = sesame\n')
  })

  async function checks(encryption: Partial<DoctorEncryption>): Promise<Record<string, string>> {
    const given: DoctorEncryption = { recipients: [pair.recipient], passphrase: false, data: false, secretFiles: [], opening: undefined, ...encryption }
    const found = await checkEncryption({ instance: 'prom-a', encryption: given, signal } as DoctorContext, { name: 'primary', store })
    for (const { status, advice } of found) expect(status === 'ok' || advice !== undefined).toBe(true)
    return Object.fromEntries(found.map(({ name, status, detail }) => [name, `${status}: ${detail}`]))
  }

  test('is proved by doctor to open the newest archive, or not to', async () => {
    const secretFiles = [{ what: 'identity', path: '/key', mode: 0o600 }]
    const right = ageWith([], { identityFile: await writeIdentityFile(keys, pair.identity) })
    const wrong = ageWith([], { identityFile: await writeIdentityFile(keys, stranger.identity) })
    expect((await checks({ secretFiles, opening: right }))['key']).toMatch(/^ok: it opens the archive of etc in the newest encrypted recovery point, \d{8}T/)
    expect((await checks({ secretFiles, opening: wrong }))['key']).toMatch(/^fail: the newest encrypted recovery point, .* cannot be opened: it is sealed for age1/)
    expect((await checks({ secretFiles: [], opening: ageWith([]) }))['key']).toMatch(/^ok: no secret key on this host/)
    const [key = ''] = (await keysOf(store)).filter((candidate) => candidate.includes('/archives/'))
    await overwrite(store, key, Buffer.alloc((await store.head(key))?.sizeBytes ?? 0))
    expect((await checks({ secretFiles, opening: right }))['key']).toMatch(/^fail: .* cannot be opened: what was sealed is damaged/)
  })

  test('is warned about by doctor where nothing is encrypted, and where a key file is open to others or gone', async () => {
    expect((await checks({ recipients: [] }))['encryption']).toMatch(/^warn: everything is stored in the clear/)
    expect((await checks({}))['encryption']).toBe('ok: archives are encrypted for one key; blocks and WAL are in the clear')
    expect((await checks({ data: true, recipients: [pair.recipient, stranger.recipient] }))['encryption']).toBe('ok: archives, blocks and WAL are encrypted for 2 keys; Thanos cannot read the blocks')
    expect((await checks({ recipients: [], passphrase: true }))['encryption']).toMatch(/^ok: archives are encrypted for a passphrase/)
    await writeFile(join(keys, 'open'), 'x')
    const secretFiles = [{ what: 'identity', path: '/a', mode: 0o644 }, { what: 'passphrase', path: '/b', mode: null }, { what: 'identity', path: '/c', mode: 0o400 }]
    const found = checkSecretFiles({ encryption: { recipients: [], passphrase: false, data: false, secretFiles, opening: undefined } } as unknown as DoctorContext)
    expect(found.map(({ name, status }) => `${name}: ${status}`)).toEqual(['identity file: warn', 'passphrase file: fail', 'identity file: ok'])
  })
})
