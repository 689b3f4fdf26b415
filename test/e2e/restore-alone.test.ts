import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { list } from '../../src/operations/report/list.ts'
import { status } from '../../src/operations/report/status.ts'
import { readGenerations } from '../../src/repository/wal-stream.ts'
import { createManualClock } from '../fakes/manual-clock.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { missingPrograms } from '../support/prometheus.ts'
import { type Samples, differences, restored, samplesOf, samplesUntil } from '../support/shipped-server.ts'
import { type SimulatedServer, hourMs, startSimulatedServer } from '../support/simulated-server.ts'

const { signal } = new AbortController()
const series = ['steady', 'wild']

function statusAt({ store }: SimulatedServer, ms: number) {
  return status({ repositories: [{ name: 'primary', store }], shipIntervalMs: 10_000, clock: createManualClock(new Date(ms)), signal }, { repositories: [] })
}

describe.skipIf(missingPrograms('prometheus'))('a log that was shipped from the server\'s first moment', () => {
  let source: SimulatedServer & { startMs: number }
  let held: Samples
  const hours = (count: number) => source.startMs + count * hourMs

  beforeAll(async () => {
    source = await startSimulatedServer()
    await source.ship()
    // Blocks are cut and the beginning of the server's own log goes meanwhile.
    for (let half = 1; half <= 15; half += 1) {
      await source.live(hours(half / 2), series)
      await source.ship()
    }
    held = await samplesOf(source.server.api, { endMs: Date.now() })
  })

  it('is restored without any recovery point: all of it, and to any moment', async () => {
    await restored(source.operations, {}, async (api, report) => {
      expect(report).toMatchObject({ stoppedBy: 'end', plan: { recoveryPoint: null, generation: expect.stringMatching(/Z-/), blocks: [] } })
      expect(differences(held, await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
    for (const atMs of [hours(1.75), hours(5.2) + 333]) {
      await restored(source.operations, { at: { kind: 'time', ms: atMs } }, async (api, report) => {
        expect(report).toMatchObject({ stoppedBy: 'moment', recoverableAt: new Date(atMs - ((atMs - source.startMs) % 30_000)).toISOString() })
        expect(differences(samplesUntil(held, atMs), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
      })
    }
  })

  it('is what list, status and verify know it as', async () => {
    const { instances } = await list({ repositories: [{ name: 'primary', store: source.store }], signal }, { repositories: [] })
    expect(instances[0]).toMatchObject({ recoveryPoints: [], gaps: [], recoverable: [{ from: new Date(source.startMs).toISOString(), to: new Date(source.nowMs()).toISOString(), exact: true, by: 'log' }] })
    const [now] = (await statusAt(source, source.nowMs() + 5000)).instances
    expect(now).toMatchObject({ health: 'ok', lastRecoveryPointAt: null, rpoSeconds: 35 })
    expect((await source.operations.verify({ readData: true })).damaged).toEqual([])
  })

  it('is not restored on a server that cannot read it: its generation says of which version it is', async () => {
    const target = join(await temporaryDirectory('target'), 'data')
    const older = operationsOn(source.server.api, source.store, { localVersion: { major: 1, minor: 8, patch: 2 } })
    expect(await rejectionOf(older.restore(target, { start: false }))).toMatchObject({ code: 'PREFLIGHT_REFUSED', message: expect.stringMatching(/data of Prometheus \d+\.\d+\.\d+.*read by 1\.8\.2/) })
  })

  it('is not any more when its first piece is lost, and that is found', async () => {
    const copy = await startSimulatedServer()
    for (const part of [0, 0.5, 1]) {
      await copy.live(copy.startMs + part * hourMs, series)
      await copy.ship()
    }
    const keys: string[] = []
    for await (const { key } of copy.store.list('instances/prom-a/wal/')) if (/\/wal\/00000000\//.test(key)) keys.push(key)
    await copy.store.delete(keys.slice(0, 1))
    expect((await copy.operations.verify()).damaged.map(({ reason }) => reason)).toContainEqual(expect.stringContaining('it restores nothing'))
    expect((await statusAt(copy, copy.nowMs())).instances[0]).toMatchObject({ health: 'no-recovery-point', rpoSeconds: null })
  })

  it('goes on with the recovery point as soon as there is one, and reaches back before it all the same', async () => {
    const point = await source.backup()
    await source.live(hours(8), series)
    await source.ship()
    const now = await samplesOf(source.server.api, { endMs: Date.now() })
    await restored(source.operations, {}, async (api, report) => {
      expect(report.plan.recoveryPoint).toBe(point.id)
      expect(differences(now, await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
    await restored(source.operations, { at: { kind: 'time', ms: hours(6.1) } }, async (api, report) => {
      expect(report.plan.recoveryPoint).toBeNull()
      expect(differences(samplesUntil(held, hours(6.1)), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
  })
})

describe.skipIf(missingPrograms('prometheus'))('a log that goes on from blocks', () => {
  it('is nothing without a recovery point that has them', async () => {
    const source = await startSimulatedServer()
    await source.live(source.startMs + 5 * hourMs, series)
    await source.ship()
    const [generation] = await readGenerations(source.store, 'prom-a')
    expect(generation).toMatchObject({ version: 2, blocks: 1, source: { owner: { uid: process.getuid?.() }, prometheusVersion: expect.stringMatching(/^\d/) } })
    const target = join(await temporaryDirectory('target'), 'data')
    expect(await rejectionOf(source.operations.restore(target, { start: false }))).toMatchObject({ code: 'INSTANCE_NOT_FOUND' })
    expect((await statusAt(source, source.nowMs())).instances[0]).toMatchObject({ health: 'no-recovery-point', rpoSeconds: null })
  })

  it('is nothing either where nobody could say whose it is', async () => {
    const source = await startSimulatedServer()
    await source.live(source.startMs + hourMs, series)
    await source.server.kill()
    await source.ship({ dataDir: source.server.dataDir })
    const [generation] = await readGenerations(source.store, 'prom-a')
    expect(generation).toMatchObject({ blocks: 0, bound: null })
    expect(generation).not.toHaveProperty('source')
    expect((await statusAt(source, source.nowMs())).instances[0]).toMatchObject({ health: 'no-recovery-point', rpoSeconds: null })
  })
})
