import { tmpdir } from 'node:os'
import { beforeEach, describe, expect, test } from 'vitest'
import { noProgress } from '../../../src/domain/progress.ts'
import { withPreparedComponents } from '../../../src/operations/components/restore-components.ts'
import { showFile } from '../../../src/operations/components/show-archives.ts'
import { checkEncryption } from '../../../src/operations/doctor/doctor-encryption.ts'
import type { DoctorContext } from '../../../src/operations/doctor/doctor-context.ts'
import { reEncrypt } from '../../../src/operations/re-encrypt/re-encrypt.ts'
import { verify } from '../../../src/operations/verify/verify.ts'
import type { VerifyRequest } from '../../../src/operations/verify/verify-report.ts'
import { createEncryptingStore } from '../../../src/stores/encrypting-store.ts'
import type { ObjectStore } from '../../../src/stores/object-store.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { thisProcess } from '../../../src/system/machine.ts'
import { type KeyPair, ageWith, newKeyPair, sealingWith, writeIdentityFile } from '../../support/age.ts'
import { knownRepository, makeArchive, treeOf, writeTree } from '../../support/archived.ts'
import { keysOf } from '../../support/bodies.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { componentsContext, directoryComponent } from '../../support/components.ts'
import { rejectionOf } from '../../support/operations.ts'

const self = thisProcess()
const { signal } = new AbortController()

describe('while archives are sealed for another key, between the manifest and its archive', () => {
  let fresh: KeyPair
  let both: string
  let etc: string
  let store: ObjectStore

  beforeEach(async () => {
    const old = await newKeyPair()
    fresh = await newKeyPair()
    both = await writeIdentityFile(await temporaryDirectory('keys'), old.identity, fresh.identity)
    etc = await temporaryDirectory('etc')
    await writeTree(etc, { 'app.conf': 'password = sesame\n' })
    store = await knownRepository()
    for (let twice = 0; twice < 2; twice += 1) await makeArchive(store, componentsContext([directoryComponent('etc', etc)], { encryption: ageWith([old.recipient]) }))
  })

  const archives = async () => (await keysOf(store)).filter((key) => key.includes('/archives/'))
  const opening = () => ageWith([], { identityFile: both })

  /** The real operation, as another host runs it. */
  async function sealAnew(): Promise<void> {
    const { repositories: [result] } = await reEncrypt({
      repositories: [{ name: 'primary', store: createEncryptingStore(store, { sealing: sealingWith([fresh.recipient], { identityFile: both }), seals: () => false, write: true }) }],
      encryption: ageWith([fresh.recipient], { identityFile: both }), data: false, scratch: { parent: tmpdir(), self, isDead: () => false }, filesAtOnce: 1, self, isDead: () => false, logger: silentLogger, progress: noProgress, signal,
    }, { repositories: [] })
    expect(result).toMatchObject({ ok: true, archives: 1, manifests: 2 })
  }

  /** A store where something happens just before archives are first looked at by one of its verbs. */
  function storeWith(verb: 'get' | 'list', meanwhile: () => Promise<void> = sealAnew): ObjectStore & { happened: boolean } {
    const happening = async (at: typeof verb, key: string) => {
      if (at !== verb || watched.happened || !key.includes('/archives/')) return
      watched.happened = true
      await meanwhile()
    }
    const watched = {
      ...store,
      happened: false,
      get: async (key: string, options?: Parameters<ObjectStore['get']>[1]) => (await happening('get', key), store.get(key, options)),
      async *list(prefix: string, options?: Parameters<ObjectStore['list']>[1]) {
        await happening('list', prefix)
        yield* store.list(prefix, options)
      },
    }
    return watched
  }

  const contextOn = (on: ObjectStore) => ({ instance: 'prom-a', repositories: [{ name: 'primary', store: on }], components: componentsContext([directoryComponent('etc', etc)], { opening: opening() }), signal })
  const restoreInto = (target: string, on: ObjectStore) => withPreparedComponents(contextOn(on), {
    at: { kind: 'latest' }, repositories: [], dryRun: false, replace: false, nearest: false, includeDeletes: false, start: false, sideInstance: false, only: ['etc'], componentsTarget: target,
  }, (prepared) => prepared.restore())

  async function verifyOn(on: ObjectStore, request: Partial<VerifyRequest>) {
    const { scratch } = componentsContext([], { scratchParent: await temporaryDirectory() })
    const startServer = async () => {
      throw new Error('no server is started here')
    }
    return verify({ instance: 'prom-a', repositories: [{ name: 'primary', store: on }], scratch, startServer, opening: opening(), settings: { filesAtOnce: 4 }, clock: systemClock, logger: silentLogger, progress: noProgress, signal }, { ids: [], repositories: [], readData: false, startServer: false, ...request })
  }

  test('a restore brings the files all the same', async () => {
    const target = await temporaryDirectory('target')
    const [before] = await archives()
    const restoring = storeWith('get')
    expect(await restoreInto(target, restoring)).toMatchObject([{ component: 'etc', ok: true }])
    expect(await treeOf(target)).toEqual({ 'etc/app.conf': 'password = sesame\n' })
    expect(restoring.happened).toBe(true)
    const after = await archives()
    expect(after).toHaveLength(1)
    expect(after).not.toEqual([before])
  })

  test('show gives a file all the same', async () => {
    const showing = storeWith('get')
    expect((await showFile(contextOn(showing), { id: 'latest', path: 'etc/app.conf', repositories: [] })).content.toString()).toBe('password = sesame\n')
    expect(showing.happened).toBe(true)
  })

  test.each([['list', false], ['list', true], ['get', true]] as const)('verify finds everything whole, when that happens before its first %s of archives (reading data: %s)', async (verb, readData) => {
    const verifying = storeWith(verb)
    const report = await verifyOn(verifying, { readData })
    expect(report).toMatchObject({ ok: true, damaged: [], warnings: [], checkedRecoveryPoints: 2 })
    expect(report.checkedBytes > 0).toBe(readData)
    expect(verifying.happened).toBe(true)
  })

  test('doctor proves the key by what is there now', async () => {
    const looking = storeWith('get')
    const checks = await checkEncryption({ instance: 'prom-a', encryption: { recipients: [], passphrase: false, data: false, secretFiles: [{ what: 'identity', path: both, mode: 0o600 }], opening: opening() }, signal } as unknown as DoctorContext, { name: 'primary', store: looking })
    expect(checks).toContainEqual(expect.objectContaining({ name: 'key', status: 'ok' }))
    expect(looking.happened).toBe(true)
  })

  test.each([
    ['is missing under its new name too', async (lose: () => Promise<void>) => (await sealAnew(), lose())],
    ['no manifest names otherwise', async (lose: () => Promise<void>) => lose()],
  ])('an archive that %s is damage', async (_what, meanwhile) => {
    const target = await temporaryDirectory('target')
    const restoring = storeWith('get', () => meanwhile(async () => store.delete(await archives())))
    expect(await rejectionOf(restoreInto(target, restoring))).toMatchObject({ code: 'OBJECT_NOT_FOUND', details: { key: expect.stringContaining('/archives/etc/') } })
    expect(await treeOf(target)).toEqual({})
    expect(await verifyOn(store, {})).toMatchObject({ ok: false, damaged: [{ key: expect.stringContaining('/archives/etc/'), reason: 'it is missing', recoveryPoints: [expect.any(String), expect.any(String)] }] })
  })
})
