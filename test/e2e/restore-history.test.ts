import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { list } from '../../src/operations/report/list.ts'
import type { RestoreRequest } from '../../src/operations/restore/restore-report.ts'
import { type Checkpoint, readCheckpoints, readGenerations } from '../../src/repository/wal-stream.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { thisProcess } from '../../src/system/machine.ts'
import { createManualClock } from '../fakes/manual-clock.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { missingPrograms, startTestPrometheus } from '../support/prometheus.ts'
import { remoteWrite } from '../support/remote-write.ts'
import { type Samples, differences, restored, samplesOf, samplesUntil } from '../support/shipped-server.ts'
import { shipOnce } from '../support/shipping.ts'
import { type SimulatedServer, hourMs, startSimulatedServer } from '../support/simulated-server.ts'
import { deleteSeries } from '../support/wal-traffic.ts'

const { signal } = new AbortController()
const series = ['precious', 'steady']
const at = (ms: number): Partial<RestoreRequest> => ({ at: { kind: 'time', ms }, start: false })
const late = Date.now() + hourMs

describe.skipIf(missingPrograms('prometheus'))('a long history in the repository', () => {
  let source: SimulatedServer & { startMs: number }
  let whole: Samples
  let held: Samples
  let point: { id: string; createdAtMs: number }
  let newest: { id: string; createdAtMs: number }
  let generation: string
  let checkpoints: Checkpoint[]
  const hours = (count: number) => source.startMs + count * hourMs

  beforeAll(async () => {
    source = await startSimulatedServer()
    const liveTo = async (until: number, step = 0.25) => {
      while (source.nowMs() < hours(until)) {
        await source.live(source.nowMs() + step * hourMs, series)
        await source.ship()
      }
    }
    await liveTo(1)
    // Between the looks at 1 h and at 1.25 h.
    await source.live(hours(1.1), series)
    whole = await samplesOf(source.server.api, { endMs: late })
    await deleteSeries(source.server.url, '{__name__="precious"}', { startMs: hours(0.25), endMs: hours(0.75) })
    source.rest(hours(1.25))
    await source.ship()
    await liveTo(3)
    point = await source.backup({ head: 'always' })
    await liveTo(18, 0.5)
    newest = await source.backup({ head: 'never' })
    await liveTo(18.5)
    held = await samplesOf(source.server.api, { endMs: late })
    await source.server.kill()
    generation = (await readGenerations(source.store, 'prom-a'))[0]?.id ?? ''
    checkpoints = await readCheckpoints(source.store, 'prom-a', { generation })
  })

  async function copyOf() {
    const root = join(await temporaryDirectory('copy'), 'repository')
    await cp(source.root, root, { recursive: true })
    const store = createFileStore({ root })
    const keys: string[] = []
    for await (const { key } of store.list(`instances/prom-a/wal/${generation}/`)) keys.push(key)
    const damage = async (key: string) => writeFile(join(root, key), (await readFile(join(root, key))).map((byte, place) => (place === 12 ? byte ^ 0xff : byte)))
    return { root, store, keys, damage, operations: operationsOn(source.server.api, store) }
  }

  const filesOf = (keys: readonly string[], { segment }: Checkpoint) => keys.filter((key) => key.includes(`/checkpoints/${String(segment).padStart(8, '0')}/`) && key.endsWith('.br'))
  const seenAt = (key: string) => Number(/-(?:\d{13}|none)-(\d{13})-/.exec(key)?.[1])

  /** The deleted samples are there until the deletion. */
  async function expectAt(operations: SimulatedServer['operations'], atMs: number, request: Partial<RestoreRequest> & { deleted: boolean }) {
    const { deleted, ...others } = request
    const expected = deleted ? held : new Map([...held].map(([name, values]) => [name, new Map([...(whole.get(name) ?? []), ...values])]))
    return restored(operations, { ...at(atMs), ...others }, async (api, report) => {
      expect(differences(samplesUntil(expected, atMs), await samplesOf(api, { endMs: late }))).toEqual([])
      return report
    })
  }

  it('goes on from the newest checkpoint, from an older one where that is damaged, and from the first segment where all are', async () => {
    expect(checkpoints.length).toBeGreaterThan(1)
    const { keys, damage, operations } = await copyOf()
    const bytes: number[] = []
    expect((await expectAt(operations, hours(18.3), { deleted: true })).plan.recoveryPoint).toBe(newest.id)
    for (const checkpoint of [undefined, ...[...checkpoints].reverse()]) {
      const files = checkpoint === undefined ? [] : filesOf(keys, checkpoint)
      for (const key of files) await damage(key)
      const report = await expectAt(operations, hours(18.3), { deleted: true })
      expect(report).toMatchObject({ stoppedBy: 'moment', plan: { recoveryPoint: newest.id } })
      for (const key of files) expect(report.warnings).toContainEqual(expect.stringContaining(`the log was taken without a damaged object: ${key}`))
      bytes.push(report.bytes)
    }
    // Each goes back further.
    expect(bytes).toEqual([...bytes].sort((a, b) => a - b))
    expect(new Set(bytes).size).toBe(bytes.length)
  })

  it('comes from another repository where the checkpoint that the rest goes on from is damaged', async () => {
    const { store, keys, damage } = await copyOf()
    const last = checkpoints.at(-1) as Checkpoint
    // What the window removes.
    const older = keys.filter((key) => Number(/\/wal\/(\d{8})\//.exec(key)?.[1] ?? Infinity) <= last.segment || checkpoints.some((checkpoint) => checkpoint !== last && key.includes(`/checkpoints/${String(checkpoint.segment).padStart(8, '0')}/`)))
    await store.delete(older)
    await expectAt(operationsOn(source.server.api, store), hours(18.3), { deleted: true })
    const [file = ''] = filesOf(keys, last)
    await damage(file)
    const target = join(await temporaryDirectory('target'), 'data')
    expect(await rejectionOf(operationsOn(source.server.api, store).restore(target, at(hours(18.3))))).toMatchObject({ code: 'MOMENT_UNREACHABLE', message: expect.stringContaining(file) })
    const both = operationsOn(source.server.api, [{ name: 'primary', store }, { name: 'second', store: source.store }])
    const report = await expectAt(both, hours(18.3), { deleted: true })
    expect(report.repaired).toEqual([{ key: file, from: 'second', reason: expect.stringContaining('is damaged') }])
  })

  it('tells within a sealed segment what was logged before a moment: a deletion is in force only from the look that found it on', async () => {
    const { keys, operations } = await copyOf()
    const first = keys.filter((key) => key.includes('/wal/00000000/'))
    expect(first.filter((key) => key.endsWith('.sealed.br'))).toHaveLength(1)
    expect(first.filter((key) => key.endsWith('.times.json'))).toHaveLength(1)
    expect(seenAt(first.find((key) => key.endsWith('.sealed.br')) ?? '')).toBeGreaterThan(hours(1.5))
    // Two looks before it is the safe bound.
    const before = await expectAt(operations, hours(0.7), { deleted: false })
    expect(before.warnings.join()).not.toContain('left out')
    const after = await expectAt(operations, hours(1.3), { deleted: true })
    expect(after.warnings.join()).not.toContain('left out')
  })

  it('does not know that where the times of the segment are damaged, and says so', async () => {
    const { keys, damage, operations } = await copyOf()
    await damage(keys.find((key) => /\/wal\/00000000\/.*\.times\.json$/.test(key)) ?? '')
    const report = await expectAt(operations, hours(1.3), { deleted: false })
    expect(report.warnings).toContainEqual(expect.stringMatching(/^1 deletions were left out/))
    expect((await operations.verify({ readData: true })).damaged).toEqual([expect.objectContaining({ key: expect.stringContaining('times.json') })])
  })

  it('leaves a deletion out that may have been made after the moment, or takes it in with includeDeletes', async () => {
    const { operations } = await copyOf()
    const left = await expectAt(operations, hours(1.15), { deleted: false })
    expect(left.warnings).toContainEqual(expect.stringMatching(/^1 deletions were left out.*--include-deletes/))
    const taken = await expectAt(operations, hours(1.15), { deleted: true, includeDeletes: true })
    expect(taken.warnings.join()).not.toContain('left out')
  })

  it('has a gap where a part is lost: a moment in it is refused with its neighbours, and taken back to with nearest, or from later blocks', async () => {
    const { store, keys, operations } = await copyOf()
    // The log of the first hours in parts again, as it was before it was sealed; one of them lost.
    const sealed = keys.filter((key) => /\/wal\/0000000\d\//.test(key) && key.endsWith('.br') && seenAt(key) > hours(1.5)).sort((a, b) => seenAt(a) - seenAt(b))[0] ?? ''
    await store.delete([sealed, ...checkpoints.flatMap((checkpoint) => [...filesOf(keys, checkpoint), `${filesOf(keys, checkpoint)[0]?.replace(/[^/]+$/, '')}checkpoint.json`])])
    const { instances } = await list({ repositories: [{ name: 'primary', store }], signal }, { repositories: [] })
    expect(instances[0]?.gaps).toEqual([expect.objectContaining({ repository: 'primary', reason: expect.stringContaining('is missing in the repository') })])
    const target = join(await temporaryDirectory('target'), 'data')
    const refused = await rejectionOf(operations.restore(target, at(hours(2.6))))
    expect(refused).toMatchObject({ code: 'MOMENT_UNREACHABLE', details: { after: new Date(point.createdAtMs).toISOString(), laterBlocks: point.id }, hint: expect.stringContaining('--later-blocks') })
    await restored(operations, { ...at(point.createdAtMs + hourMs), nearest: true }, async (api, report) => {
      expect(report).toMatchObject({ stoppedBy: 'nearest', plan: { recoveryPoint: point.id } })
      expect(differences(samplesUntil(held, point.createdAtMs - 1), await samplesOf(api, { endMs: late }))).toEqual([])
    })
    await expectAt(operations, hours(2.6), { deleted: true, laterBlocks: true })
  })
})

describe.skipIf(missingPrograms('prometheus'))('a history that a restore left behind', () => {
  it('is reached with its generation, and the one that goes on without', async () => {
    const old = await startSimulatedServer()
    const hours = (count: number) => old.startMs + count * hourMs
    for (const part of [0.25, 0.5, 0.75, 1, 1.25, 1.5]) {
      await old.live(hours(part), series)
      await old.ship()
    }
    const left = await samplesOf(old.server.api, { endMs: late })
    await old.server.kill()
    const target = join(await temporaryDirectory('target'), 'data')
    await old.operations.restore(target, at(hours(0.8)))

    const next = await startTestPrometheus({ dataDir: target, scrapeItself: false, retention: '100y' })
    const clock = createManualClock(new Date(old.nowMs()))
    const host = { ...thisProcess(), machineId: 'b'.repeat(32), hostname: 'host-b' }
    for (const part of [1.6, 1.7, 1.8]) {
      await remoteWrite(next.url, [{ labels: { __name__: 'branch' }, samples: [{ timestampMs: hours(part), value: part }] }])
      clock.advance(hours(part) - clock.now().getTime())
      await shipOnce(next.api, old.store, { clock, self: host, dataDir: target, request: { adopt: true } })
    }
    const goesOn = await samplesOf(next.api, { endMs: late })
    await next.kill()

    const [first, second] = await readGenerations(old.store, 'prom-a')
    expect(second?.parent).toMatchObject({ generation: first?.id })
    const expectAt = (atMs: number, expected: Samples, request: Partial<RestoreRequest> = {}) => restored(old.operations, { ...at(atMs), ...request }, async (api, report) => {
      expect(differences(samplesUntil(expected, atMs), await samplesOf(api, { endMs: late }))).toEqual([])
      return report
    })
    expect((await expectAt(hours(1.75), goesOn)).plan.generation).toBe(second?.id)
    expect((await expectAt(hours(1.2), left, { generation: first?.id as string })).plan.generation).toBe(first?.id)
    // Both have what was before they parted.
    await expectAt(hours(0.6), left)
    await expectAt(hours(0.6), left, { generation: first?.id as string })
    // What the old host logged after the moment of the restore is not of the new history, which had nothing then.
    const between = await expectAt(hours(1.2), goesOn)
    expect(between).toMatchObject({ recoverableAt: new Date(hours(0.8)).toISOString(), plan: { generation: second?.id } })
    await restored(old.operations, { generation: first?.id as string, start: false }, async (api) => {
      expect(differences(left, await samplesOf(api, { endMs: late }))).toEqual([])
    })
    const unknown = '20200101T000000Z-aaaaaaaa'
    expect(await rejectionOf(old.operations.restore(target, { generation: unknown, start: false }))).toMatchObject({ code: 'MOMENT_UNREACHABLE', hint: expect.stringContaining(first?.id as string) })
  })
})
