import { cp, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backupExitCode } from '../../../src/cli/commands/backup.ts'
import { PromDrError } from '../../../src/errors.ts'
import { deletionDelayMs, deletionMarginMs } from '../../../src/repository/deletion-marks.ts'
import { readRecoveryPoints } from '../../../src/repository/recovery-points.ts'
import { type MemoryStore, createMemoryStore } from '../../../src/stores/memory-store.ts'
import { type ObjectStore, bytesBody } from '../../../src/stores/object-store.ts'
import { thisProcess } from '../../../src/system/machine.ts'
import { listSnapshots } from '../../../src/tsdb/data-directory.ts'
import { badSector } from '../../fakes/bad-sector.ts'
import { createFaultyStore } from '../../fakes/faulty-store.ts'
import { type MadeBlocks, makeBlocks } from '../../support/blocks.ts'
import { keysOf } from '../../support/bodies.ts'
import { operationsOn, rejectionOf } from '../../support/operations.ts'
import { type TestPrometheus, missingPrograms, startTestPrometheus, waitFor } from '../../support/prometheus.ts'

const settings = { knownAnswers: { series: 0, samplesPerSeries: 1, queries: [] } }
const startMs = Math.floor(Date.now() / 7_200_000 - 6) * 7_200_000

/** A listing that says nothing until nobody waits for it any more. */
async function* untilAborted(signal: AbortSignal | undefined): AsyncGenerator<string> {
  await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()))
  signal?.throwIfAborted()
}

describe.skipIf(missingPrograms('prometheus', 'promtool'))('backups and their repositories', () => {
  let server: TestPrometheus
  let made: MadeBlocks

  beforeAll(async () => {
    made = await makeBlocks({ series: 30, samples: 500, startMs, value: (s, k) => Math.sin(s + k * 7919) })
    server = await startTestPrometheus({ dataDir: made.dataDir, retention: '10y', scrapeItself: false })
  })
  afterAll(() => made?.remove())

  const on = (store: ObjectStore, overrides: Parameters<typeof operationsOn>[2] = {}) => operationsOn(server.api, store, { settings, ...overrides })

  it('refuse a name that another machine or data directory writes under, until it is adopted', async () => {
    const store = createMemoryStore()
    await on(store).backup()
    const stranger = on(store, { self: { ...thisProcess(), machineId: 'f'.repeat(32), hostname: 'another' } })
    expect(await rejectionOf(stranger.backup())).toMatchObject({ code: 'INSTANCE_TAKEN', message: expect.stringContaining(made.dataDir), hint: expect.stringContaining('--adopt') })
    expect((await readRecoveryPoints(store, 'prom-a')).points).toHaveLength(1)
    const adopted = await stranger.backup({ adopt: true })
    expect(adopted.repositories).toMatchObject([{ ok: true, uploadedBlocks: 0, reusedBlocks: made.blocks.length }])
    expect(await rejectionOf(on(store).backup())).toMatchObject({ code: 'INSTANCE_TAKEN', message: expect.stringContaining('another') })
    expect(await on(store, { instance: 'prom-b' }).backup()).toMatchObject({ repositories: [{ ok: true, uploadedBlocks: 0 }] })
  })

  it('go on where the store lets nobody delete', async () => {
    const plain = createMemoryStore()
    const keeping = { ...plain, delete: (keys: readonly string[]) => (keys.length === 0 ? Promise.resolve() : Promise.reject(new PromDrError('STORE_DENIED', 'no deleting here'))) }
    for (const count of [1, 2, 3]) {
      expect(await on(keeping).backup()).toMatchObject({ repositories: [{ ok: true }] })
      expect((await readRecoveryPoints(plain, 'prom-a')).points).toHaveLength(count)
    }
  })

  it('run one at a time: the second is told who is at work, and takes no snapshot', async () => {
    const plain = createMemoryStore()
    let release = () => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    const slow: ObjectStore = { ...plain, create: async (key, body, options) => (key.startsWith('blocks/') ? held : Promise.resolve()).then(() => plain.create(key, body, options)) }
    const first = on(slow).backup()
    await waitFor(async () => (await keysOf(plain)).some((key) => key.includes('/intents/')), { what: 'the first backup' })
    const snapshots = await listSnapshots(made.dataDir)
    expect(await rejectionOf(on(plain).backup())).toMatchObject({ code: 'LOCKED', message: expect.stringContaining(`process ${process.pid}`) })
    expect(await listSnapshots(made.dataDir)).toEqual(snapshots)
    release()
    expect(await first).toMatchObject({ repositories: [{ ok: true }] })
    expect(await on(plain).backup()).toMatchObject({ repositories: [{ ok: true }] })
  })

  it('ask the server while repositories are opened, and end that when they refuse', async () => {
    const plain = createMemoryStore()
    await on(plain).backup()
    let asking = false
    let ended = false
    const silent = { ...server.api, async labelValues(_: string, { signal }: Parameters<typeof server.api.labelValues>[1]) {
      asking = true
      await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()))
      ended = true
      throw new PromDrError('INTERRUPTED', 'nobody waits for it')
    } }
    const patient: ObjectStore = { ...plain, async get(key, options) {
      await waitFor(async () => asking, { what: 'the server being asked' })
      return plain.get(key, options)
    } }
    const stranger = operationsOn(silent, patient, { settings: { knownAnswers: { series: 5, samplesPerSeries: 5, queries: [] } }, self: { ...thisProcess(), machineId: 'f'.repeat(32) } })
    expect(await rejectionOf(stranger.backup())).toMatchObject({ code: 'INSTANCE_TAKEN' })
    expect(ended).toBe(true)
  })

  it('read what is stored while the server writes its snapshot', async () => {
    const plain = createMemoryStore()
    await on(plain).backup()
    const store = createFaultyStore(plain, [])
    const asked = (what: string) => store.calls.some(({ key }) => key.includes(what))
    const patient = { ...server.api, takeSnapshot: async (options: Parameters<typeof server.api.takeSnapshot>[0]) => {
      await waitFor(async () => asked('/recovery-points/2') && asked('blocks/'), { what: 'the manifest and the blocks being looked at' })
      return server.api.takeSnapshot(options)
    } }
    expect(await operationsOn(patient, store, { settings }).backup({ head: 'always' })).toMatchObject({ repositories: [{ ok: true, uploadedBlocks: 0, reusedBlocks: made.blocks.length }] })
  })

  it('end with the server\'s own refusal of a snapshot, whatever the repository that is read meanwhile does', async () => {
    const plain = createMemoryStore()
    await on(plain).backup()
    const silent: ObjectStore = { ...plain, listFolders: (prefix, options) => (prefix === 'blocks/' ? untilAborted(options?.signal) : plain.listFolders(prefix, options)) }
    const refusing = { ...server.api, takeSnapshot: () => Promise.reject(new PromDrError('PROMETHEUS_UNREACHABLE', 'gone')) }
    expect(await rejectionOf(operationsOn(refusing, silent, { settings }).backup({ head: 'always' }))).toMatchObject({ code: 'PROMETHEUS_UNREACHABLE', message: 'gone' })
    expect(await on(plain).backup()).toMatchObject({ repositories: [{ ok: true }] })
  })

  it('look again at what they committed when another run took over meanwhile, and take it back where it lost something', async () => {
    for (const removed of [false, true]) {
      const plain = createMemoryStore()
      const paused: ObjectStore = {
        ...plain,
        async create(key, body, options) {
          if (key.includes('/recovery-points/')) {
            const [lease] = (await keysOf(plain)).filter((candidate) => candidate.includes('/leases/backup/'))
            await plain.put((lease as string).replace(/\d+\.json$/, '00000099.json'), bytesBody(Buffer.from('another run')))
            if (removed) await plain.delete((await keysOf(plain)).filter((candidate) => candidate.endsWith('/index')).slice(0, 1))
          }
          return plain.create(key, body, options)
        },
      }
      const outcome = await rejectionOf(on(paused).backup()).catch(() => 'made')
      expect(outcome).toEqual(removed ? expect.objectContaining({ code: 'CONTENTION' }) : 'made')
      expect((await readRecoveryPoints(plain, 'prom-a')).points).toHaveLength(removed ? 0 : 1)
    }
  })

  it('reach the repositories that are up when one is down, and fail when all are', async () => {
    const up = createMemoryStore({ name: 'up' })
    const gone = createFaultyStore(createMemoryStore(), Array.from({ length: 100 }, (_, n) => ({ verb: 'any' as const, call: n + 1, at: 'before' as const })))
    const lost = createFaultyStore(createMemoryStore(), [{ verb: 'create', call: 1, key: /^blocks\/.*index$/, at: 'before' }])
    const stores = [{ name: 'gone', store: gone }, { name: 'up', store: up }, { name: 'lost', store: lost }]
    const report = await operationsOn(server.api, stores, { settings }).backup()
    expect(report.repositories).toMatchObject([{ name: 'gone', ok: false, error: { code: 'STORE_UNREACHABLE' } }, { name: 'up', ok: true }, { name: 'lost', ok: false, error: { code: 'STORE_UNREACHABLE' } }])
    expect(backupExitCode(report)).toBe(3)
    expect(await on(up).verify({ readData: true })).toMatchObject({ ok: true, checkedRecoveryPoints: 1 })
    expect(await rejectionOf(operationsOn(server.api, stores, { settings }).backup({ repositories: ['gone'] }))).toMatchObject({ code: 'STORE_UNREACHABLE' })
    expect(await rejectionOf(operationsOn(server.api, stores, { settings }).backup({ repositories: ['typo'] }))).toMatchObject({ code: 'USAGE', hint: expect.stringContaining('gone, up, lost') })
    expect(await operationsOn(server.api, stores, { settings }).backup({ repositories: ['lost'] })).toMatchObject({ repositories: [{ name: 'lost', ok: true }] })
  })

  it.each([
    ['whole and marked a while ago: the mark is taken back', { ageMs: 3_600_000, broken: false }, { reusedBlocks: 1 }],
    ['marked a while ago and not whole: the mark is taken back and the block completed', { ageMs: 3_600_000, broken: true }, { reusedBlocks: 0 }],
    ['marked too long ago to be taken back: the block is removed and stored anew', { ageMs: deletionDelayMs - deletionMarginMs + 60_000, broken: false }, { reusedBlocks: 0 }],
  ])('name a block again that is %s', async (_, { ageMs, broken }, expected) => {
    const store = createMemoryStore()
    await on(store).backup()
    const others = made.blocks.length - 1
    const ulid = made.blocks[0]?.ulid ?? ''
    const mark = { id: ulid, version: 1, details: '', deletion_time: Math.floor((Date.now() - ageMs) / 1000) }
    await store.put(`blocks/${ulid}/deletion-mark.json`, bytesBody(Buffer.from(JSON.stringify(mark))))
    if (broken) await store.delete([`blocks/${ulid}/index`])
    expect((await on(store).backup()).repositories).toMatchObject([{ ok: true, reusedBlocks: others + expected.reusedBlocks, uploadedBlocks: 1 - expected.reusedBlocks }])
    expect(await keysOf(store, `blocks/${ulid}/`)).toEqual(['chunks/000001', 'index', 'meta.json'].map((file) => `blocks/${ulid}/${file}`))
    expect(await on(store).verify({ readData: true })).toMatchObject({ ok: true, damaged: [] })
  })

  it('store a block anew that is whole in the repository but not the server\'s', async () => {
    const store = createMemoryStore()
    await on(store).backup()
    const ulid = made.blocks[0]?.ulid ?? ''
    for (const id of await keysOf(store, 'instances/prom-a/recovery-points/')) await store.delete([id])
    await putPretender(store, ulid)
    const report = await on(store).backup()
    expect(report.repositories).toMatchObject([{ ok: true, uploadedBlocks: 1 }])
    expect(report.warnings.some((warning) => warning.includes(`blocks/${ulid}/index held other bytes`))).toBe(true)
    expect(await on(store).verify({ readData: true })).toMatchObject({ ok: true, damaged: [] })
  })

  it('say that a block lies beside the others which the server has not loaded', async () => {
    const other = await makeBlocks({ series: 1, samples: 10, startMs: startMs - 864e5 })
    const ulid = other.blocks[0]?.ulid ?? ''
    await cp(other.blocks[0]?.path ?? '', join(made.dataDir, ulid), { recursive: true })
    const { warnings, recoveryPoint } = await on(createMemoryStore()).backup()
    await other.remove()
    if (recoveryPoint.blocks === made.blocks.length) expect(warnings).toEqual([expect.stringMatching(new RegExp(`^block ${ulid} lies in .* but the server has not loaded it`))])
  })

  it.each(['chunks/000001', 'index'])('go without a block whose %s the disk does not give, name it, and store it once it can be read', async (file) => {
    const ulid = made.blocks[0]?.ulid ?? ''
    const [one, two] = [createMemoryStore({ name: 'one' }), createMemoryStore({ name: 'two' })]
    const operations = operationsOn(server.api, [{ name: 'one', store: one }, { name: 'two', store: two }], { settings })
    const sector = await badSector(join(made.blocks[0]?.path ?? '', file))
    try {
      const report = await operations.backup()
      expect(report.damagedAtSource).toEqual([{ ulid, reason: expect.stringMatching(/^it could not be stored: .*EIO/) }])
      expect(backupExitCode(report)).toBe(5)
      expect(report.repositories).toMatchObject([{ ok: true, uploadedBlocks: made.blocks.length - 1 }, { ok: true }])
      expect(sector.hits).toBeGreaterThan(0)
    } finally {
      sector.mend()
    }
    for (const store of [one, two]) {
      const [point] = (await readRecoveryPoints(store, 'prom-a')).points
      expect(point?.blocks.map((block) => block.ulid)).toEqual(made.blocks.map((block) => block.ulid).filter((other) => other !== ulid))
      expect(await keysOf(store, `blocks/${ulid}/meta.json`)).toEqual([])
      expect(point?.damagedAtSource).toEqual([{ ulid, reason: expect.stringContaining('EIO') }])
    }
    expect(await operations.verify({ readData: true })).toMatchObject({ ok: true, damaged: [] })
    expect(await operations.backup()).toMatchObject({ damagedAtSource: [], repositories: [{ ok: true, uploadedBlocks: 1 }, { ok: true, uploadedBlocks: 1 }] })
    expect(await operations.verify({ readData: true })).toMatchObject({ ok: true, damaged: [] })
  })

  it('find what is damaged on the server\'s own disk while they store it as it is', async () => {
    const [chunks, index] = [made.blocks[0], made.blocks[1]]
    await flip(join(chunks?.path ?? '', 'chunks', '000001'), 3000)
    await flip(join(index?.path ?? '', 'index'), 200)
    const [one, two] = [createMemoryStore({ name: 'one' }), createMemoryStore({ name: 'two' })]
    const report = await operationsOn(server.api, [{ name: 'one', store: one }, { name: 'two', store: two }], { settings }).backup()
    expect(report.damagedAtSource).toHaveLength(2)
    expect(report.damagedAtSource).toEqual(expect.arrayContaining([
      { ulid: chunks?.ulid, reason: expect.stringContaining(`${chunks?.ulid}/chunks/000001 is damaged at byte`) },
      { ulid: index?.ulid, reason: expect.stringContaining(`${index?.ulid}/index is damaged at byte`) },
    ]))
    expect(backupExitCode(report)).toBe(5)
    for (const store of [one, two]) {
      const stored = await buffer((await store.get(`blocks/${chunks?.ulid}/chunks/000001`)).body)
      expect(stored.equals(await readFile(join(chunks?.path ?? '', 'chunks', '000001')))).toBe(true)
    }
    expect((await on(one).verify({ readData: true })).damaged.map(({ key }) => key).sort()).toEqual([`blocks/${chunks?.ulid}/chunks/000001`, `blocks/${index?.ulid}/index`].sort())
    // The next backup does not read them again, but its recovery point says so too, and whoever restores it is told.
    const next = await on(one).backup()
    expect(next.damagedAtSource).toEqual([])
    const { plan } = await on(one).restore('/nowhere', { at: { kind: 'recovery-point', id: next.recoveryPoint.id }, dryRun: true })
    for (const { ulid, reason } of report.damagedAtSource) expect(plan.warnings).toContainEqual(expect.stringContaining(`block ${ulid} was damaged on the server's own disk when ${next.recoveryPoint.id} was made: ${reason}`))
  })

  /** A block of the same name with other files, complete in itself. */
  async function putPretender(store: MemoryStore, ulid: string): Promise<void> {
    const meta = JSON.parse(Buffer.from(store.objects.get(`blocks/${ulid}/meta.json`)?.bytes ?? []).toString()) as { thanos: { files: { rel_path: string; size_bytes?: number; hash?: { value: string } }[] } }
    const index = meta.thanos.files.find((file) => file.rel_path === 'index')
    if (index !== undefined) index.size_bytes = 5
    await store.put(`blocks/${ulid}/index`, bytesBody(Buffer.from('other')))
    await store.put(`blocks/${ulid}/meta.json`, bytesBody(Buffer.from(JSON.stringify(meta))))
  }
})

async function flip(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+')
  const { buffer: byte } = await file.read(Buffer.alloc(1), 0, 1, at)
  await file.write(Buffer.of((byte[0] ?? 0) ^ 0xff), 0, 1, at)
  await file.close()
}
