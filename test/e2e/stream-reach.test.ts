import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { list } from '../../src/operations/report/list.ts'
import type { RestoreRequest } from '../../src/operations/restore/restore-report.ts'
import { status } from '../../src/operations/report/status.ts'
import { readGenerations } from '../../src/repository/wal-stream.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { createManualClock } from '../fakes/manual-clock.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { type TestPrometheus, missingPrograms, startTestPrometheus, waitFor, waitForSamples } from '../support/prometheus.ts'
import { type Samples, differences, restored, samplesOf, samplesUntil } from '../support/shipped-server.ts'
import { shipOnce } from '../support/shipping.ts'

const { signal } = new AbortController()

async function flip(path: string, part: number): Promise<void> {
  const bytes = await readFile(path)
  const at = Math.floor(bytes.length * part)
  bytes[at] = (bytes[at] ?? 0) ^ 0x40
  await writeFile(path, bytes)
}

describe.skipIf(missingPrograms('prometheus'))('what a shipped stream reaches', () => {
  let server: TestPrometheus
  let root: string
  let source: Samples
  /** When each round had been shipped. */
  const rounds: number[] = []
  let pointMs: number
  /** When the log was first looked at: the server had no blocks, so that it needs no recovery point. */
  let firstMs: number

  beforeAll(async () => {
    server = await startTestPrometheus({ scrapeInterval: '500ms', retention: '10y' })
    root = join(await temporaryDirectory('repository'), 'repository')
    const store = createFileStore({ root })
    await waitForSamples(server, 'up', 2)
    await shipOnce(server.api, store)
    firstMs = (await readGenerations(store, 'prom-a'))[0]?.startedAt as number
    pointMs = Date.parse((await operationsOn(server.api, store).backup()).recoveryPoint.createdAt)
    for (let round = 0; round < 6; round += 1) {
      await waitForSamples(server, 'up', 4 + 2 * round)
      // A pass may take longer than the samples of a round: each round has one from after the round before.
      await waitFor(async () => (await newestSampleMs()) > (rounds.at(-1) ?? 0), { what: 'a sample of this round' })
      await shipOnce(server.api, store)
      rounds.push(Date.now())
    }
    source = await samplesOf(server.api, { endMs: Date.now() })
    await server.kill()
  })

  async function newestSampleMs(): Promise<number> {
    const { result } = JSON.parse(await server.api.query('max(timestamp(up))', Date.now())) as { result: { value: [number, string] }[] }
    return Number(result[0]?.value[1]) * 1000
  }

  async function copyOf(): Promise<{ root: string; pieces(): Promise<string[]>; operations: ReturnType<typeof operationsOn> }> {
    const own = join(await temporaryDirectory('copy'), 'repository')
    await cp(root, own, { recursive: true })
    const store = createFileStore({ root: own })
    const pieces = async () => {
      const keys: string[] = []
      for await (const { key } of store.list('instances/prom-a/wal/')) if (/\/wal\/\d{8}\//.test(key)) keys.push(key)
      return keys
    }
    return { root: own, pieces, operations: operationsOn(server.api, store) }
  }

  const at = (ms: number): Partial<RestoreRequest> => ({ at: { kind: 'time', ms } })

  it('is any moment from the first look at the log to the last sign of life', async () => {
    const report = await list({ repositories: [{ name: 'primary', store: createFileStore({ root }) }], signal }, { repositories: [] })
    const [window, ...others] = report.instances[0]?.recoverable ?? []
    expect(others).toEqual([])
    expect(window).toMatchObject({ from: new Date(firstMs).toISOString(), exact: true })
    expect(Date.parse(window?.to ?? '')).toBeGreaterThan(rounds.at(-2) as number)
    expect(report.instances[0]).toMatchObject({ gaps: [], branches: [] })
  })

  it('ends where nothing was shipped any more: a later moment is refused with the last one, or taken with --nearest', async () => {
    const { operations } = await copyOf()
    const refused = await rejectionOf(operations.restore(join(await temporaryDirectory('target'), 'data'), { ...at(Date.now()), start: false }))
    expect(refused).toMatchObject({ code: 'MOMENT_UNREACHABLE', details: { before: expect.stringMatching(/^20/), after: null } })
    await restored(operations, { ...at(Date.now()), nearest: true }, async (api, report) => {
      expect(report.stoppedBy).toBe('nearest')
      const found = await samplesOf(api, { endMs: Date.now() + 1000 })
      expect(differences(samplesUntil(source, Date.parse(report.recoverableAt ?? '')), found)).toEqual([])
    })
  })

  it('begins with that look: an earlier moment is refused with it', async () => {
    const { operations } = await copyOf()
    const refused = await rejectionOf(operations.restore(join(await temporaryDirectory('target'), 'data'), { ...at(firstMs - 3_600_000), start: false }))
    expect(refused).toMatchObject({ code: 'MOMENT_UNREACHABLE', details: { before: null, after: new Date(firstMs).toISOString() } })
  })

  it('is all of it with latest', async () => {
    await restored((await copyOf()).operations, {}, async (api, report) => {
      expect(report.stoppedBy).toBe('end')
      expect(differences(source, await samplesOf(api, { endMs: Date.now() + 1000 })).filter((line) => !line.includes('too many  (0)'))).toEqual([])
    })
  })

  describe.each([
    ['flipped at its start', (path: string) => flip(path, 0.02)],
    ['flipped in the middle', (path: string) => flip(path, 0.5)],
    ['flipped near its end', (path: string) => flip(path, 0.95)],
    ['cut short', async (path: string) => writeFile(path, (await readFile(path)).subarray(0, -9))],
    ['missing', (path: string) => rm(path)],
  ])('a part that is %s', (kind, damage) => {
    it('ends latest before it, leaves earlier moments alone and is named for later ones', async () => {
      const { root: own, pieces, operations } = await copyOf()
      const keys = await pieces()
      // Of the fourth round: the parts are in order of time.
      const broken = keys.find((key) => Number(/-(?:\d{13}|none)-(\d{13})-/.exec(key)?.[1]) > (rounds[2] as number)) as string
      await damage(join(own, broken))
      const report = await restored(operations, {}, async (api, done) => {
        const found = await samplesOf(api, { endMs: Date.now() + 1000 })
        expect(differences(samplesUntil(source, Date.parse(done.recoverableAt ?? '')), found).filter((line) => line.includes('too many') && !line.includes('too many  (0)'))).toEqual([])
        return done
      })
      expect(report).toMatchObject({ stoppedBy: 'gap' })
      expect(Date.parse(report.recoverableAt ?? '')).toBeLessThanOrEqual(rounds[2] as number)
      const earlierMs = (rounds[1] as number) - 100
      await restored(operations, at(earlierMs), async (api) => expect(differences(samplesUntil(source, earlierMs), await samplesOf(api, { endMs: Date.now() }))).toEqual([]))
      const target = join(await temporaryDirectory('target'), 'data')
      const refused = await rejectionOf(operations.restore(target, { ...at(rounds[4] as number), start: false }))
      expect(refused).toMatchObject({ code: 'MOMENT_UNREACHABLE', details: { before: expect.stringMatching(/^20/) } })
    })

    it('is found by verification', async () => {
      const { root: own, pieces, operations } = await copyOf()
      expect(await operations.verify({ readData: true })).toMatchObject({ ok: true, damaged: [] })
      const broken = (await pieces())[2] as string
      await damage(join(own, broken))
      const { damaged: found } = await operations.verify({ readData: true })
      expect(found.length).toBeGreaterThan(0)
      if (kind === 'missing') expect(await operations.verify()).toMatchObject({ ok: false })
      else expect(found).toEqual([expect.objectContaining({ repository: 'primary', key: broken })])
    })

    it('is taken from another repository', async () => {
      const { root: own, pieces } = await copyOf()
      const other = await copyOf()
      await damage(join(own, (await pieces())[3] as string))
      const operations = operationsOn(server.api, [{ name: 'primary', store: createFileStore({ root: own }) }, { name: 'second', store: createFileStore({ root: other.root }) }])
      const whenMs = rounds[4] as number
      await restored(operations, at(whenMs - 100), async (api, report) => {
        expect(report.stoppedBy).toBe('moment')
        expect(differences(samplesUntil(source, whenMs - 100), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
      })
    })
  })

  it('is damaged where its last piece, its documents or what it goes on from are lost, and that is found by listing', async () => {
    const lost = await copyOf()
    await rm(join(lost.root, (await lost.pieces()).at(-1) as string))
    expect((await lost.operations.verify()).damaged).toEqual([expect.objectContaining({ reason: expect.stringContaining('ends before it') })])
    const halfway = (path: string) => flip(path, 0.5)
    for (const [name, harm] of [['heartbeat.json', halfway], ['generation.json', halfway], ['generation.json', rm]] as const) {
      const hit = await copyOf()
      const [, generation] = /wal\/([^/]+)\//.exec((await hit.pieces())[0] as string) ?? []
      const key = `instances/prom-a/wal/${generation}/${name}`
      await harm(join(hit.root, key))
      expect((await hit.operations.verify()).damaged).toEqual([expect.objectContaining({ key })])
      // A damaged sign of life costs nothing but itself.
      if (name === 'heartbeat.json') await restored(hit.operations, at(rounds[2] as number), async (_, report) => expect(report.warnings.join()).toContain(key))
      else {
        // The whole generation is not seen then: that the recovery point is all there is has to be said.
        const target = join(await temporaryDirectory('target'), 'data')
        const planned = await hit.operations.restore(target, { start: false, dryRun: true })
        expect(planned).toMatchObject({ stoppedBy: 'damaged', plan: { warnings: expect.arrayContaining([expect.stringContaining(key)]) } })
        expect(await rejectionOf(hit.operations.restore(target, { ...at(rounds[2] as number), start: false }))).toMatchObject({ code: 'MOMENT_UNREACHABLE', message: expect.stringContaining(key) })
      }
    }
    const first = await copyOf()
    await rm(join(first.root, (await first.pieces())[0] as string))
    const { damaged: found } = await first.operations.verify()
    expect(found.map(({ reason }) => reason)).toContainEqual(expect.stringContaining('it restores nothing'))
  })

  it('is measured from the repository alone: a dead shipper and an idle server look different', async () => {
    const { root: own } = await copyOf()
    const store = createFileStore({ root: own })
    const ask = (ms: number) => status({ repositories: [{ name: 'primary', store }], shipIntervalMs: 10_000, clock: createManualClock(new Date(ms)), signal }, { repositories: [] })
    const newest = Math.max(...[...source.values()].flatMap((values) => [...values.keys()]))
    const now = (rounds.at(-1) as number) + 5000
    const [fresh] = (await ask(now)).instances
    expect(fresh).toMatchObject({ name: 'prom-a', health: 'ok', lastRecoveryPointAt: new Date(pointMs).toISOString(), lastVerifiedAt: null, lastDrill: null })
    expect(fresh?.rpoSeconds).toBeGreaterThanOrEqual((now - newest) / 1000)
    expect(fresh?.rpoSeconds).toBeLessThan((now - newest) / 1000 + 2)
    expect((await ask(now + 1_800_000)).instances[0]).toMatchObject({ health: 'shipper-dead' })
    // The server is dead and its log does not grow, but the shipper lives.
    await shipOnce(server.api, store, { dataDir: server.dataDir, clock: createManualClock(new Date(now + 1_800_000)) })
    const [idle] = (await ask(now + 1_801_000)).instances
    expect(idle).toMatchObject({ health: 'idle' })
    expect(idle?.rpoSeconds).toBeGreaterThan(1790)
  })
})
