import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { messageOf } from '../../src/errors.ts'
import { list } from '../../src/operations/report/list.ts'
import type { RestoreRequest } from '../../src/operations/restore/restore-report.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { rejectionOf } from '../support/operations.ts'
import { missingPrograms, startTestPrometheus, waitFor } from '../support/prometheus.ts'
import { type Samples, differences, restored, samplesOf, samplesUntil } from '../support/shipped-server.ts'
import { type SimulatedServer, hourMs, startSimulatedServer } from '../support/simulated-server.ts'
import { deleteSeries } from '../support/wal-traffic.ts'

const { signal } = new AbortController()
const series = ['precious', 'steady', 'wild']
const at = (ms: number): Partial<RestoreRequest> => ({ at: { kind: 'time', ms }, start: false })

describe.skipIf(missingPrograms('prometheus'))('a moment that is older than the log', () => {
  let source: SimulatedServer & { startMs: number }
  /** Everything that was ever written. */
  const written: Samples = new Map()
  let first: { id: string; createdAtMs: number }
  let second: typeof first
  let third: typeof first
  let deletedAtMs: number

  const hours = (count: number) => source.startMs + count * hourMs
  const note = async () => {
    for (const [name, values] of await samplesOf(source.server.api, { endMs: Date.now() })) written.set(name, new Map([...(written.get(name) ?? []), ...values]))
  }

  beforeAll(async () => {
    source = await startSimulatedServer()
    await source.live(hours(5.25), series)
    await note()
    first = await source.backup()
    await source.live(hours(6.5), series)
    await note()
    // In the block that the first recovery point has, and in the head.
    deletedAtMs = source.nowMs()
    await deleteSeries(source.server.url, '{__name__="precious"}', { startMs: hours(0.5), endMs: hours(6) })
    await source.live(hours(9), series)
    await note()
    second = await source.backup()
    await source.live(hours(9.5), series)
    await source.ship()
    third = await source.backup()
    await source.live(hours(9.75), series)
    await source.ship()
    await note()
  })

  /** Without what was deleted between two moments of the deleted series. */
  function without(samples: Samples, fromMs: number, toMs: number): Samples {
    return new Map([...samples].map(([name, values]) => [name, name.includes('precious') ? new Map([...values].filter(([time]) => time < fromMs || time > toMs)) : values]))
  }

  it('comes from blocks made later, to the millisecond, and the report says so', async () => {
    for (const atMs of [hours(5.7) + 12_345, hours(6.4), hours(8.25) - 1]) {
      await restored(source.operations, at(atMs), async (api, report) => {
        const blockEnd = hours(4)
        expect(report).toMatchObject({ stoppedBy: 'moment', plan: { recoveryPoint: second.id } })
        expect(report.plan.blocks.some(({ cutAt }) => cutAt === new Date(atMs).toISOString())).toBe(true)
        expect(report.warnings).toContainEqual(expect.stringMatching(new RegExp(`comes from blocks of the recovery point made at .*${second.id}.*cut at the moment by tombstones`)))
        // What the first recovery point has in blocks was not deleted by then; of what came after it, the deletion went into the block.
        expect(differences(samplesUntil(without(written, blockEnd, hours(6)), atMs), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
        // Measured, in the chunks that were cut: samples are half a minute apart.
        expect(report.recoverableAt).toBe(new Date(atMs - ((atMs - source.startMs) % 30_000)).toISOString())
      })
    }
  })

  it('answers every query once the server has removed what is below tombstones, as the report advises', async () => {
    const target = join(await temporaryDirectory('target'), 'data')
    const atMs = hours(8.25) - 1
    const { warnings } = await source.operations.restore(target, at(atMs))
    expect(warnings).toContainEqual(expect.stringContaining('/api/v1/admin/tsdb/clean_tombstones'))
    const server = await startTestPrometheus({ dataDir: target, scrapeItself: false, retention: '100y' })
    // A minute before the moment: then the chunk is cut at both ends, before its tombstone.
    const answer = () => server.api.query('steady', atMs - 60_000).then((text) => JSON.stringify(text), messageOf)
    const before = await answer()
    expect(before).toMatch(/"value|index out of range|closed/)
    expect((await fetch(`${server.url}/api/v1/admin/tsdb/clean_tombstones`, { method: 'POST' })).status).toBe(204)
    await waitFor(async () => (await answer()).includes('value'), { what: 'an answer' })
    expect(differences(samplesUntil(without(written, hours(4), hours(6)), atMs), await samplesOf(server.api, { endMs: Date.now() }))).toEqual([])
    await server.kill()
  })

  it('leaves deletions out that may have come later, or takes them in when asked', async () => {
    await restored(source.operations, at(deletedAtMs + 1), async (_, report) => {
      expect(report.warnings).toContainEqual(expect.stringContaining('--include-deletes takes them in'))
    })
    await restored(source.operations, { ...at(deletedAtMs + 1), includeDeletes: true }, async (api, report) => {
      expect(report.warnings.join()).not.toContain('were left out')
      expect(differences(samplesUntil(without(written, hours(0.5), hours(6)), deletedAtMs + 1), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
  })

  it('is shown by list apart from what the log reaches', async () => {
    const { instances } = await list({ repositories: [{ name: 'primary', store: source.store }], signal }, { repositories: [] })
    expect(instances[0]?.recoverable).toMatchObject([
      { from: new Date(first.createdAtMs).toISOString(), exact: true, by: 'later-blocks' },
      { exact: true, by: 'log', to: new Date(hours(9.75)).toISOString() },
    ])
  })

  it('is not one after all: the log and the recovery points themselves are preferred', async () => {
    await restored(source.operations, at(hours(9.6)), async (api, report) => {
      expect(report.plan.recoveryPoint).toBe(third.id)
      expect(report.warnings.join()).not.toContain('tombstones')
      expect(differences(samplesUntil(without(written, hours(0.5), hours(6)), hours(9.6)), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
    expect((await source.operations.restore('/nowhere', { ...at(first.createdAtMs), dryRun: true })).plan).toMatchObject({ recoveryPoint: first.id, stoppedBy: 'recovery-point', warnings: [] })
  })

  it('is refused before the first recovery point, unless blocks made later are asked for', async () => {
    const target = join(await temporaryDirectory('target'), 'data')
    const refused = await rejectionOf(source.operations.restore(target, at(hours(3.1))))
    expect(refused).toMatchObject({ code: 'MOMENT_UNREACHABLE', hint: expect.stringContaining('--later-blocks'), details: { laterBlocks: first.id } })
    await restored(source.operations, { ...at(hours(3.1)), laterBlocks: true }, async (api) => {
      expect(differences(samplesUntil(written, hours(3.1)), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
  })

  it('asks the known answers of what is left', async () => {
    const target = join(await temporaryDirectory('target'), 'data')
    const report = await source.operations.restore(target, { ...at(second.createdAtMs - 60_000), laterBlocks: true, start: true, includeDeletes: true })
    expect(report.answers).toMatchObject({ equal: true, differences: [] })
    expect(report.answers?.series).toBeGreaterThan(0)
  })
})

describe.skipIf(missingPrograms('prometheus'))('a moment whose log has expired', () => {
  it('was exact while it was there, and comes from later blocks since', async () => {
    const source = await startSimulatedServer()
    const hours = (count: number) => source.startMs + count * hourMs
    const points: { id: string; createdAtMs: number }[] = []
    for (let half = 1; half <= 40; half += 1) {
      await source.live(hours(half / 2), series)
      await source.ship()
      // With their heads: what a recovery point without one needs of the log does not expire.
      if (half % 5 === 0) points.push(await source.backup({ head: 'always' }))
    }
    const held = await samplesOf(source.server.api, { endMs: Date.now() })
    const windows = async () => (await list({ repositories: [{ name: 'primary', store: source.store }], signal }, { repositories: [] })).instances[0]?.recoverable ?? []
    expect((await windows()).map(({ by }) => by)).toEqual(['log'])
    const atMs = hours(8.3)
    const [before, after] = [points.filter((point) => point.createdAtMs <= atMs).at(-1), points.filter((point) => point.createdAtMs > atMs)]
    await restored(source.operations, at(atMs), async (_, report) => expect(report.plan.recoveryPoint).toBe(before?.id))

    // Each run looks after the window once.
    await source.ship({ settings: { windowMs: 2 * hourMs } })
    const [older, exact, ...others] = await windows()
    expect(others).toEqual([])
    expect(exact).toMatchObject({ by: 'log', exact: true, to: new Date(source.nowMs()).toISOString() })
    expect(older).toMatchObject({ by: 'later-blocks', exact: true })
    expect(Date.parse(older?.to ?? '')).toBeGreaterThan(atMs)
    await restored(source.operations, at(atMs), async (api, report) => {
      expect(after.map(({ id }) => id)).toContain(report.plan.recoveryPoint)
      expect(report).toMatchObject({ stoppedBy: 'moment', recoverableAt: new Date(hours(8.3)).toISOString() })
      expect(differences(samplesUntil(held, atMs), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
    // The command that an operator would type says the same, and the moment is not taken for another.
    const target = join(await temporaryDirectory('target'), 'data')
    const { plan } = await source.operations.restore(target, { ...at(atMs), dryRun: true })
    expect(plan.warnings.join()).toContain('in them deletions and samples that came late are as they were then')
  })
})

describe.skipIf(missingPrograms('prometheus'))('a recovery point whose head was in the log', () => {
  it('is what is asked for, not a later one, also when its log is lost', async () => {
    const source = await startSimulatedServer()
    const hours = (count: number) => source.startMs + count * hourMs
    for (const until of [4.5, 4.75, 5]) {
      await source.live(hours(until), series)
      await source.ship()
    }
    await source.backup({ head: 'always' })
    await source.live(hours(5.1), series)
    await source.ship()
    const point = await source.backup()
    // Made with nothing new in between: its newest sample is from before the other was made.
    source.rest(hours(5.2))
    await source.backup({ head: 'always' })
    for await (const { key } of source.store.list('instances/prom-a/wal/')) await source.store.delete([key])
    const target = join(await temporaryDirectory('target'), 'data')
    const { plan } = await source.operations.restore(target, { at: { kind: 'recovery-point', id: point.id }, dryRun: true })
    expect(plan).toMatchObject({ recoveryPoint: point.id, stoppedBy: 'recovery-point' })
    expect(plan.warnings.join()).toContain('its head in the shipped WAL')
  })
})
