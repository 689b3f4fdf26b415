import { cp, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PromDrError } from '../../../src/errors.ts'
import type { ComponentsContext } from '../../../src/operations/components/components-context.ts'
import { readRecoveryPoints } from '../../../src/repository/recovery-points.ts'
import { createFileStore } from '../../../src/stores/file-store.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { type ObjectStore, bytesBody } from '../../../src/stores/object-store.ts'
import { thisProcess } from '../../../src/system/machine.ts'
import { listSnapshots } from '../../../src/tsdb/data-directory.ts'
import { createFaultyStore, type FaultyStore, type StoreFault } from '../../fakes/faulty-store.ts'
import { type MadeBlocks, makeBlocks } from '../../support/blocks.ts'
import { keysOf } from '../../support/bodies.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { componentsContext, directoryComponent } from '../../support/components.ts'
import { operationsOn } from '../../support/operations.ts'
import { type TestPrometheus, missingPrograms, remoteWrite, startTestPrometheus } from '../../support/prometheus.ts'

const settings = { knownAnswers: { series: 0, samplesPerSeries: 1, queries: [] } }
const startMs = Math.floor(Date.now() / 7_200_000 - 6) * 7_200_000

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a backup whose store fails', () => {
  let server: TestPrometheus
  let made: MadeBlocks
  /** What is configured changes from run to run, so that each has an archive to store. */
  let components: ComponentsContext
  /** Has a recovery point of another server with one of the blocks: there is something to reuse, to store and to take over. */
  const older = createMemoryStore()

  beforeAll(async () => {
    const etc = await temporaryDirectory('etc')
    const component = directoryComponent('etc', etc)
    let runs = 0
    components = componentsContext([{ ...component, collect: async (...args) => {
      await writeFile(join(etc, 'app.conf'), String((runs += 1)))
      return component.collect(...args)
    } }])
    made = await makeBlocks({ series: 2, samples: 500, startMs })
    const ulid = made.blocks[0]?.ulid ?? ''
    const youngDir = join(await temporaryDirectory('young'), 'data')
    await mkdir(youngDir)
    await cp(join(made.dataDir, ulid), join(youngDir, ulid), { recursive: true })
    const young = await startTestPrometheus({ dataDir: youngDir, retention: '10y', scrapeItself: false })
    await remoteWrite(young.url, [{ labels: { __name__: 'in_the_head' }, samples: [{ timestampMs: Date.now(), value: 1 }] }])
    expect(await operationsOn(young.api, older, { settings }).backup()).toMatchObject({ recoveryPoint: { blocks: 2 } })
    await young.kill()
    server = await startTestPrometheus({ dataDir: made.dataDir, retention: '10y', scrapeItself: false })
    await remoteWrite(server.url, [{ labels: { __name__: 'in_the_head' }, samples: [{ timestampMs: Date.now(), value: 2 }] }])
    const deletion = new URLSearchParams({ 'match[]': 'prom_dr_test{series="1"}', end: String((startMs + 60_000) / 1000) })
    expect((await fetch(`${server.url}/api/v1/admin/tsdb/delete_series?${deletion}`, { method: 'POST' })).status).toBe(204)
  })
  afterAll(() => made?.remove())

  it('leaves every older recovery point whole wherever one call fails before its effect', async () => {
    expect(await sweep({ at: 'before', kind: 'once' })).toBeGreaterThan(30)
  })

  it('leaves every older recovery point whole wherever the answer to one call is lost', async () => {
    expect(await sweep({ at: 'after', kind: 'once' })).toBeGreaterThan(30)
  })

  it('leaves every older recovery point whole wherever a body is cut in the middle', async () => {
    expect(await sweep({ at: 30, kind: 'once', step: 2 })).toBeGreaterThan(10)
  })

  it('leaves every older recovery point whole wherever the store goes away for good', async () => {
    expect(await sweep({ at: 'before', kind: 'from', step: 3 })).toBeGreaterThan(10)
  })

  it('leaves a new repository usable wherever the store goes away in the middle of its answer', async () => {
    expect(await sweep({ at: 'after', kind: 'from', store: async () => createMemoryStore(), step: 3 })).toBeGreaterThan(8)
  })

  it('leaves a directory usable wherever the file system goes away', async () => {
    expect(await sweep({ at: 'before', kind: 'from', store: olderDirectory, step: 9 })).toBeGreaterThan(4)
  })

  it('leaves a recovery point whole whose manifest arrives after the store was given up', async () => {
    const plain = await olderMemory()
    const manifests: (() => Promise<unknown>)[] = []
    const slow: ObjectStore = {
      ...plain,
      create(key, body, options) {
        if (!key.includes('/recovery-points/')) return plain.create(key, body, options)
        manifests.push(() => plain.create(key, body))
        throw new PromDrError('STORE_UNREACHABLE', 'no answer')
      },
    }
    expect(await attempt(createFaultyStore(slow, []))).toMatchObject({ code: 'STORE_UNREACHABLE' })
    const before = await idsIn(plain)
    expect(manifests).toHaveLength(1)
    await manifests[0]?.()
    expect(await idsIn(plain)).toHaveLength(before.length + 1)
    await expectIntact(plain, before, 'a late manifest')
  })

  /** Fails every call in turn, until there is none left to fail. @returns how many times something failed */
  async function sweep(plan: { at: StoreFault['at']; kind: 'once' | 'from'; store?: () => Promise<ObjectStore>; step?: number }): Promise<number> {
    let fired = 0
    for (let call = 1; ; call += plan.step ?? 1) {
      const plain = await (plan.store ?? olderMemory)()
      const before = await idsIn(plain)
      const count = plan.kind === 'once' ? 1 : 500
      const store = createFaultyStore(plain, Array.from({ length: count }, (_, nth): StoreFault => ({ verb: 'any', call: call + nth, at: plan.at })))
      const error = await attempt(store)
      if (store.fired.length === 0) expect(error).toBeUndefined()
      if (store.calls.length < call) return fired
      // A listing that the caller leaves early never gets to where it would fail.
      if (store.fired.length > 0) fired += 1
      const where = `${plan.kind} ${plan.at} call ${call}: ${JSON.stringify(store.calls[call - 1])}`
      if (error !== undefined) expect(error, where).toMatchObject({ code: 'STORE_UNREACHABLE' })
      await expectIntact(plain, before, where)
    }
  }

  /** As a process that is gone afterwards: nobody else takes its lease over before it runs out. */
  function attempt(store: FaultyStore): Promise<unknown> {
    const self = { ...thisProcess(), processStart: 'of a process that has ended' }
    return operationsOn(server.api, store, { settings, self, components }).backup({ adopt: true }).then(() => undefined, (error: unknown) => error)
  }

  async function expectIntact(plain: ObjectStore, before: readonly string[], where: string): Promise<void> {
    const operations = operationsOn(server.api, plain, { settings, components })
    const left = await idsIn(plain)
    expect(left, where).toEqual(expect.arrayContaining([...before]))
    if (left.length > 0) expect(await operations.verify({ readData: true }), where).toMatchObject({ ok: true, damaged: [] })
    expect(await listSnapshots(made.dataDir), where).toEqual([])
    expect((await readdir(made.dataDir)).filter((name) => name.startsWith('.prom-dr')), where).toEqual([])
    const { recoveryPoint, repositories } = await operations.backup({ adopt: true })
    expect(repositories, where).toMatchObject([{ ok: true }])
    const { points } = await readRecoveryPoints(plain, 'prom-a')
    expect(points.map((point) => point.id).sort(), where).toEqual([...left, recoveryPoint.id].sort())
    expect(await operations.verify({ readData: true }), where).toMatchObject({ ok: true, damaged: [] })
    const keys = await keysOf(plain, 'instances/')
    expect(keys.filter((key) => key.includes('/intents/')), where).toEqual([])
    const heads = new Set(keys.filter((key) => key.includes('/heads/')).map((key) => key.split('/')[3]))
    expect([...heads].sort(), where).toEqual([...new Set(points.flatMap(({ head }) => (head.kind === 'block' ? [head.block.ulid] : [])))].sort())
  }

  async function olderMemory(): Promise<ObjectStore> {
    const copy = createMemoryStore()
    for (const [key, object] of older.objects) copy.objects.set(key, object)
    return copy
  }

  async function olderDirectory(): Promise<ObjectStore> {
    const store = createFileStore({ root: join(await temporaryDirectory('faults'), 'repository') })
    for (const [key, object] of older.objects) await store.create(key, bytesBody(object.bytes))
    return store
  }
})

async function idsIn(store: ObjectStore): Promise<string[]> {
  const { points, damaged } = await readRecoveryPoints(store, 'prom-a')
  expect(damaged).toEqual([])
  return points.map((point) => point.id)
}
