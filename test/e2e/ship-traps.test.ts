import { describe, expect, it } from 'vitest'
import { list } from '../../src/operations/report/list.ts'
import { status } from '../../src/operations/report/status.ts'
import { PromDrError } from '../../src/errors.ts'
import { readCheckpoints, readGenerations } from '../../src/repository/wal-stream.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { createManualClock } from '../fakes/manual-clock.ts'
import { startExporter } from '../support/exporter.ts'
import { missingPrograms, waitFor, waitForSamples } from '../support/prometheus.ts'
import { type Samples, differences, restored, samplesOf, samplesUntil, startShippedServer } from '../support/shipped-server.ts'
import { startShipping } from '../support/shipping.ts'
import { startWrittenServer } from '../support/written-server.ts'

const { signal } = new AbortController()
const aheadMs = 9 * 60_000

/** A store that can be taken away: then nothing answers. */
function absentable(store: ObjectStore): ObjectStore & { away: boolean; refused: number } {
  const wrapped = { ...store, away: false, refused: 0 }
  const refuse = () => {
    if (!wrapped.away) return
    wrapped.refused += 1
    throw new PromDrError('STORE_UNREACHABLE', 'the store is away')
  }
  const guarded = <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) => async (...args: Args): Promise<Result> => {
    refuse()
    return call(...args)
  }
  async function* listing<Item>(items: () => AsyncIterable<Item>): AsyncGenerator<Item> {
    refuse()
    yield* items()
  }
  return Object.assign(wrapped, {
    create: guarded(store.create), put: guarded(store.put), get: guarded(store.get), head: guarded(store.head), delete: guarded(store.delete), now: guarded(store.now),
    list: (...args: Parameters<ObjectStore['list']>) => listing(() => store.list(...args)),
    listFolders: (...args: Parameters<ObjectStore['listFolders']>) => listing(() => store.listFolders(...args)),
  })
}

/** Of those that were there, what did not come back, or as others. */
function missing(expected: Samples, found: Samples): string[] {
  return differences(expected, new Map([...found].map(([name, values]) => [name, new Map([...values].filter(([time]) => expected.get(name)?.has(time)))])))
}

describe.skipIf(missingPrograms('prometheus'))('a target whose clock is nine minutes ahead', () => {
  it('hides neither what would be lost nor a dead shipper, and is cut where a moment is asked for', async () => {
    const exporter = await startExporter([{ name: 'ahead', valueAt: (ms) => ms % 1000, lateMs: -aheadMs }])
    const shipped = await startShippedServer({ scrapeInterval: '500ms', retention: '10y', targets: [exporter.target] })
    const { operations, server, store } = shipped
    await waitForSamples(server, 'up', 4)
    await shipped.shipOnce()
    const { recoveryPoint } = await operations.backup()
    // The moment asked for below lies well after the recovery point.
    await waitFor(() => Date.now() > Date.parse(recoveryPoint.createdAt) + 2000, { what: 'the time after the recovery point' })
    // It is there, and ahead.
    await waitFor(async () => Math.max(...[...(await samplesOf(server.api, { endMs: Date.now() + 2 * aheadMs })).values()].flatMap((values) => [...values.keys()])) > Date.now() + aheadMs / 2, { what: 'samples ahead' })
    await shipped.shipOnce()
    const shippedMs = Date.now()
    const statusAt = async (ms: number) => (await status({ repositories: [{ name: 'primary', store }], shipIntervalMs: 10_000, clock: createManualClock(new Date(ms)), signal }, { repositories: [] })).instances[0]
    expect(Date.parse((await statusAt(shippedMs))?.newestSample ?? '')).toBeLessThanOrEqual(shippedMs)
    const later = await statusAt(shippedMs + 120_000)
    expect(later).toMatchObject({ health: 'shipper-dead' })
    expect(later?.rpoSeconds).toBeGreaterThanOrEqual(120)

    const source = await samplesOf(server.api, { endMs: shippedMs })
    await waitForSamples(server, 'up', 16)
    await shipped.shipOnce()
    await server.kill()
    await restored(operations, { at: { kind: 'time', ms: shippedMs - 500 } }, async (api) => {
      const found = await samplesOf(api, { endMs: Date.now() + 2 * aheadMs })
      expect(Math.max(...[...found.values()].flatMap((values) => [...values.keys()]))).toBeLessThanOrEqual(shippedMs - 500)
      expect(missing(samplesUntil(source, shippedMs - 500), found)).toEqual([])
    })
  })
})

describe.skipIf(missingPrograms('prometheus'))('a store that is away while the server cuts blocks and removes its log', () => {
  it('has everything when it is back: the log is held meanwhile, without a gap, and every moment of the outage can be restored', async () => {
    const { server, store, operations, write, writeUntilGone, settle, samples } = await startWrittenServer()
    await write(5)
    const remote = absentable(store)
    const shipping = startShipping(server.api, remote, { settings: { intervalMs: 1000 } })
    const generationOf = async () => (await readGenerations(store, 'prom-a')).at(-1)?.id ?? ''
    await waitFor(async () => (await generationOf()) !== '', { what: 'the first pass' })
    await operations.backup()
    await write(3)
    remote.away = true
    await writeUntilGone(0, { held: true })
    const inOutage = await samples()
    const inOutageMs = Date.now()
    await writeUntilGone(2, { held: true })
    await settle()
    await waitFor(() => remote.refused > 1, { what: 'a pass that fails' })
    expect(await readCheckpoints(store, 'prom-a', { generation: await generationOf() })).toEqual([])

    remote.away = false
    await write(3)
    const source = await samples()
    await waitFor(async () => (await readCheckpoints(store, 'prom-a', { generation: await generationOf() })).length > 0, { what: 'the checkpoint' })
    const report = await shipping.stop()
    await server.kill()
    expect(report.repositories).toMatchObject([{ ok: true, gaps: [] }])
    expect(await readGenerations(store, 'prom-a')).toHaveLength(1)
    const reach = await list({ repositories: [{ name: 'primary', store }], signal }, { repositories: [] })
    expect(reach.instances[0]?.gaps).toEqual([])
    await restored(operations, {}, async (api, { stoppedBy }) => {
      expect(stoppedBy).toBe('end')
      expect(differences(source, await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
    await restored(operations, { at: { kind: 'time', ms: inOutageMs } }, async (api) => expect(missing(inOutage, await samplesOf(api, { endMs: Date.now() }))).toEqual([]))
  }, 400_000)
})
