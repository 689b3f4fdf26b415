import { chmod, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { PromDrError } from '../../../src/errors.ts'
import { readArchive } from '../../../src/operations/components/read-archive.ts'
import { readOrCreateFormat } from '../../../src/repository/format.ts'
import { claimInstance } from '../../../src/repository/identity.ts'
import { readIntents } from '../../../src/repository/intents.ts'
import { writeMark } from '../../../src/repository/deletion-marks.ts'
import { commitRecoveryPoint, readRecoveryPoints } from '../../../src/repository/recovery-points.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { type ObjectStore, bytesBody } from '../../../src/stores/object-store.ts'
import { thisProcess } from '../../../src/system/machine.ts'
import { type StoreFault, createFaultyStore } from '../../fakes/faulty-store.ts'
import { storedRecoveryPoint } from '../../fakes/recovery-points.ts'
import { ageWith, newKeyPair, writeIdentityFile } from '../../support/age.ts'
import { knownRepository, makeArchive, writeTree } from '../../support/archived.ts'
import { keysOf } from '../../support/bodies.ts'
import { componentsContext, directoryComponent } from '../../support/components.ts'
import { rejectionOf } from '../../support/operations.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const self = thisProcess()
const signal = new AbortController().signal

async function etc(files: Record<string, string> = { 'app.conf': 'a = 1\n', 'rules/one.yml': 'groups: []\n' }): Promise<string> {
  const directory = await temporaryDirectory()
  await writeTree(directory, files)
  return directory
}

const run = makeArchive
const archiveKeys = async (store: ObjectStore) => (await keysOf(store)).filter((key) => key.includes('/archives/'))
const pointsOf = async (store: ObjectStore) => (await readRecoveryPoints(store, 'prom-a')).points

async function contentOf(store: ObjectStore, of: { component: string; opening?: ReturnType<typeof ageWith> }): Promise<string[]> {
  const point = (await pointsOf(store)).at(-1)
  const named = point?.archives.find(({ component }) => component === of.component)
  if (named === undefined) throw new Error(`no ${of.component} in the newest recovery point`)
  const into = await temporaryDirectory()
  await readArchive({ store, instance: 'prom-a', archive: named, opening: of.opening, scratch: await temporaryDirectory(), into, signal })
  return (await readdir(into, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => entry.name).sort()
}

describe('an archive of components', () => {
  test('is a recovery point without a TSDB that names each component once', async () => {
    const store = await knownRepository()
    const report = await run(store, componentsContext([directoryComponent('beta', await etc()), directoryComponent('alpha', await etc({ x: 'y' }))]))
    const [point] = await pointsOf(store)
    expect(point).toMatchObject({ head: { kind: 'none' }, blocks: [], maxTime: null, tiers: ['hourly', 'daily', 'weekly', 'monthly', 'yearly'], source: { dataDir: '/data', externalLabels: { replica: 'a' } } })
    expect(point?.archives.map(({ component }) => component)).toEqual(['alpha', 'beta'])
    expect(report).toMatchObject({ recoveryPoint: { id: point?.id, archives: [{ component: 'alpha', files: 1, contentBytes: 1, encrypted: false, reused: false }, { component: 'beta', files: 2 }] }, failedComponents: [], repositories: [{ ok: true }] })
    expect(report.warnings).toEqual([expect.stringContaining('the server was not asked')])
    expect(await archiveKeys(store)).toEqual(point?.archives.map(({ component, stored }) => `instances/prom-a/archives/${component}/${stored.sha256}.tar.gz`))
    expect(await contentOf(store, { component: 'beta' })).toEqual(['app.conf', 'one.yml'])
    expect(await readIntents(store, 'prom-a')).toEqual([])
  })

  test('is judged while it is stored: what is found wrong, or could not be looked at, is told, and stored all the same', async () => {
    const store = await knownRepository()
    const broken = Object.assign(directoryComponent('broken', await etc()), { broken: true })
    let stored = () => {}
    const isStored = new Promise<void>((resolve) => (stored = resolve))
    const slow = Object.assign(directoryComponent('slow', await etc({ x: 'y' })), { check: () => isStored.then(() => Promise.reject(new PromDrError('COMPONENT_FAILED', 'the checker crashed'))) })
    const committing: ObjectStore = { ...store, create: (key, body, options) => store.create(key, body, options).finally(() => key.includes('/recovery-points/') && stored()) }
    const report = await run(committing, componentsContext([broken, slow]))
    expect(report).toMatchObject({ recoveryPoint: { archives: [{ component: 'broken' }, { component: 'slow' }] }, failedComponents: [], repositories: [{ ok: true }] })
    expect(report.warnings).toEqual([expect.stringContaining('the server was not asked'), 'broken: they are broken (mend them)', 'slow could not be checked: the checker crashed'])
  })

  test('is stored once where nothing changed, and anew where something did', async () => {
    const store = await knownRepository()
    const directory = await etc()
    const components = componentsContext([directoryComponent('etc', directory)])
    const first = await run(store, components)
    const again = await run(store, components)
    expect(again.recoveryPoint.archives).toMatchObject([{ reused: true }])
    expect(again.reusedBytes).toBe(first.recoveryPoint.archives[0]?.bytes)
    expect(await archiveKeys(store)).toHaveLength(1)
    expect(again.recoveryPoint.tiers).toEqual([])
    await chmod(join(directory, 'app.conf'), 0o600)
    expect((await run(store, components)).recoveryPoint.archives).toMatchObject([{ reused: false }])
    expect(await archiveKeys(store)).toHaveLength(2)
    expect(new Set((await pointsOf(store)).map((point) => point.archives[0]?.stored.sha256)).size).toBe(2)
  })

  test('is stored anew where the object that an earlier recovery point names is gone or has another size', async () => {
    const store = await knownRepository()
    const components = componentsContext([directoryComponent('etc', await etc())])
    await run(store, components)
    const [key = ''] = await archiveKeys(store)
    await store.delete([key])
    expect((await run(store, components)).recoveryPoint.archives).toMatchObject([{ reused: false }])
    await store.put(key, bytesBody(Buffer.from('garbage')))
    expect((await run(store, components)).recoveryPoint.archives).toMatchObject([{ reused: false }])
    expect(await contentOf(store, { component: 'etc' })).toHaveLength(2)
  })

  test('is stored anew, and its mark is taken back, where it is marked for removal', async () => {
    const store = await knownRepository()
    const components = componentsContext([directoryComponent('etc', await etc())])
    await run(store, components)
    const [key = ''] = await archiveKeys(store)
    await writeMark(store, `${key}.deletion-mark.json`, { id: 'x', atMs: Date.now() - 47 * 3_600_000 })
    expect((await run(store, components)).recoveryPoint.archives).toMatchObject([{ reused: false }])
    expect(await archiveKeys(store)).toEqual([key])
  })

  test('is made without a component that fails, and says so', async () => {
    const store = await knownRepository()
    const broken = directoryComponent('broken', await etc())
    broken.failWith = 'http://127.0.0.1:9093 did not answer'
    const report = await run(store, componentsContext([broken, directoryComponent('etc', await etc())]))
    expect(report.failedComponents).toEqual([{ component: 'broken', kind: 'directory', error: { code: 'COMPONENT_FAILED', message: broken.failWith, hint: 'mend it' } }])
    expect((await pointsOf(store))[0]?.archives.map(({ component }) => component)).toEqual(['etc'])
  })

  test('warns of a component that nobody asked for and that is not there', async () => {
    const store = await knownRepository()
    const absent = directoryComponent('prometheus', join(await etc(), 'absent'))
    absent.failWith = 'there is no such file'
    const report = await run(store, componentsContext([absent, directoryComponent('etc', await etc())], { unasked: ['prometheus'] }))
    expect(report.failedComponents).toEqual([])
    expect(report.warnings).toContainEqual('prometheus was left out: there is no such file (mend it)')
  })

  test('warns of what the component itself finds wrong with what was collected', async () => {
    const odd = directoryComponent('etc', await etc())
    odd.broken = true
    expect((await run(await knownRepository(), componentsContext([odd]))).warnings).toContainEqual('etc: they are broken (mend them)')
  })

  test('fails, and commits nothing, when no component could be collected or none is configured', async () => {
    const store = await knownRepository()
    const broken = directoryComponent('broken', await etc())
    broken.failWith = 'no'
    expect(await rejectionOf(run(store, componentsContext([broken])))).toMatchObject({ code: 'COMPONENT_FAILED', message: expect.stringContaining('no') })
    expect(await rejectionOf(run(store, componentsContext([])))).toMatchObject({ code: 'CONFIG_INVALID' })
    expect(await pointsOf(store)).toEqual([])
  })

  test('of a server that is down needs an earlier run of this machine', async () => {
    const components = componentsContext([directoryComponent('etc', await etc())])
    expect(await rejectionOf(run(createMemoryStore(), components))).toMatchObject({ code: 'PROMETHEUS_UNREACHABLE', hint: expect.stringContaining('first recovery point') })
    const foreign = createMemoryStore()
    await readOrCreateFormat(foreign, new Date(), {})
    await claimInstance(foreign, 'prom-a', { identity: { machineId: 'other', hostname: 'other', dataDir: '/data', externalLabels: {} }, adopt: false })
    expect(await rejectionOf(run(foreign, components))).toMatchObject({ code: 'PROMETHEUS_UNREACHABLE' })
    expect(await archiveKeys(foreign)).toEqual([])
  })

  test('goes to every repository that is in reach', async () => {
    const [near, far] = [await knownRepository(), createFaultyStore(await knownRepository(), [{ verb: 'create', call: 1, at: 'before', key: /archives/ }])]
    const report = await run([{ name: 'near', store: near }, { name: 'far', store: far }], componentsContext([directoryComponent('etc', await etc())]))
    expect(report.repositories).toMatchObject([{ name: 'near', ok: true }, { name: 'far', ok: false, error: { code: 'STORE_UNREACHABLE' } }])
    expect(far.fired).toHaveLength(1)
    expect([(await pointsOf(near)).length, (await pointsOf(far)).length]).toEqual([1, 0])
    expect((await keysOf(far)).filter((key) => key.includes('/intents/'))).toEqual([])
  })

  test('stands for no tier that a recovery point with a TSDB has, but not the other way round', async () => {
    const store = await knownRepository()
    const now = Date.now()
    await commitRecoveryPoint(store, storedRecoveryPoint({ createdAt: now, tiers: ['hourly', 'daily'] }))
    const report = await run(store, componentsContext([directoryComponent('etc', await etc())]))
    expect(report.recoveryPoint.tiers).toEqual(['weekly', 'monthly', 'yearly'])
  })
})

describe('an encrypted archive', () => {
  test('holds secrets, can be read with the identity alone, and is used again for the same readers only', async () => {
    const store = await knownRepository()
    const [first, second] = [await newKeyPair(), await newKeyPair()]
    const identityFile = await writeIdentityFile(await temporaryDirectory(), first.identity)
    const component = directoryComponent('etc', await etc())
    const sealed = (...recipients: string[]) => componentsContext([component], { encryption: ageWith(recipients) })
    const report = await run(store, sealed(first.recipient))
    expect(component.calls).toEqual(['collect with secrets'])
    expect(report.recoveryPoint.archives).toMatchObject([{ encrypted: true, reused: false, leftOut: [] }])
    expect(await archiveKeys(store)).toEqual([expect.stringMatching(/\.tar\.gz\.age$/)])
    expect(await contentOf(store, { component: 'etc', opening: ageWith([], { identityFile }) })).toHaveLength(2)
    expect(await rejectionOf(contentOf(store, { component: 'etc' }))).toMatchObject({ code: 'KEY_MISSING' })
    expect((await run(store, sealed(first.recipient))).recoveryPoint.archives).toMatchObject([{ reused: true }])
    expect((await run(store, sealed(first.recipient, second.recipient))).recoveryPoint.archives).toMatchObject([{ reused: false }])
    expect((await run(store, componentsContext([component]))).recoveryPoint.archives).toMatchObject([{ reused: false, encrypted: false }])
    expect(await archiveKeys(store)).toHaveLength(3)
  })
})

describe('the order of an archive', () => {
  test('is intent, archives, manifest; the intent names every archive', async () => {
    const store = createFaultyStore(await knownRepository(), [])
    let named: string[] = []
    const create = store.create.bind(store)
    store.create = async (...args) => {
      if (args[0].includes('/recovery-points/')) named = (await readIntents(store, 'prom-a')).flatMap(({ archives }) => archives)
      return create(...args)
    }
    await run(store, componentsContext([directoryComponent('etc', await etc()), directoryComponent('more', await etc({ a: 'b' }))]))
    const writes = store.calls.filter(({ verb }) => verb === 'create' || verb === 'put').map(({ key }) => key.split('/')[2]).filter((kind) => kind !== 'leases' && kind !== undefined && kind !== 'instance.json')
    expect(writes).toEqual(['intents', 'archives', 'archives', 'recovery-points'])
    expect(named.map((path) => `instances/prom-a/${path}`).sort()).toEqual((await archiveKeys(store)).sort())
  })

  test('leaves every older recovery point whole wherever one storage call fails, and a clean run converges', async () => {
    const directory = await etc()
    let injected = 0
    for (const at of ['before', 'after'] as const) {
      for (let call = 1; ; call += 1) {
        const plain = await knownRepository()
        const components = componentsContext([directoryComponent('etc', directory)])
        await run(plain, components)
        await writeFile(join(directory, 'app.conf'), `${at} ${call}`)
        const fault: StoreFault = { verb: 'any', call, at }
        const faulty = createFaultyStore(plain, [fault])
        // Of a process that is gone when the clean run looks: its lease may not have been given back.
        await run(faulty, components, { self: { ...self, pid: 2 ** 22 + 1 } }).catch(() => undefined)
        if (faulty.fired.length === 0) break
        injected += 1
        for (const point of await pointsOf(plain)) for (const named of point.archives) await readArchive({ store: plain, instance: 'prom-a', archive: named, opening: undefined, scratch: await temporaryDirectory(), into: undefined, signal })
        const clean = await run(plain, components)
        expect(clean.repositories, `${at} ${call}`).toMatchObject([{ ok: true }])
        expect(await readIntents(plain, 'prom-a')).toEqual([])
        expect(await contentOf(plain, { component: 'etc' })).toHaveLength(2)
      }
    }
    expect(injected).toBeGreaterThan(40)
  })

  test('interrupted, it leaves no file of a component behind', async () => {
    const scratchParent = await temporaryDirectory()
    const controller = new AbortController()
    const component = directoryComponent('etc', await etc())
    const { collect } = component
    component.collect = async (...args) => {
      const collected = await collect(...args)
      controller.abort(new Error('stop'))
      return collected
    }
    const store = await knownRepository()
    await rejectionOf(run(store, componentsContext([component], { scratchParent }), { signal: controller.signal }))
    expect(await readdir(scratchParent)).toEqual([])
    expect(await pointsOf(store)).toEqual([])
  })
})
