import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { list } from '../../src/operations/report/list.ts'
import { readRecoveryPoints } from '../../src/repository/recovery-points.ts'
import { listPieces, readCheckpoints, readGenerations } from '../../src/repository/wal-stream.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createFaultyStore } from '../fakes/faulty-store.ts'
import { contentOf } from '../support/both-stores.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { missingPrograms } from '../support/prometheus.ts'
import { type Samples, differences, restored, samplesOf } from '../support/shipped-server.ts'
import { shipOnce } from '../support/shipping.ts'
import { startWrittenServer } from '../support/written-server.ts'

const hourMs = 3_600_000
const { signal } = new AbortController()

/** What the window of 72 h no longer holds: everything that was shipped until now. */
const laterMs = Date.now() + 80 * hourMs
const later = { ...systemClock, now: () => new Date(laterMs) }

interface Made {
  id: string
  head: string
  /** What the server had just before. */
  samples: Samples
}

async function walOf(store: ObjectStore) {
  const [generation, ...others] = await readGenerations(store, 'prom-a')
  expect(others).toEqual([])
  const of = { generation: generation?.id ?? '' }
  return { pieces: await listPieces(store, 'prom-a', { ...of, log: 'wal' }), checkpoints: (await readCheckpoints(store, 'prom-a', of)).map(({ segment }) => segment) }
}

/** Expected samples that did not come back, or as others. */
function missing(expected: Samples, found: Samples): string[] {
  const kept: Samples = new Map([...found].map(([name, values]) => [name, new Map([...values].filter(([time]) => expected.get(name)?.has(time)))]))
  return differences(expected, kept)
}

describe.skipIf(missingPrograms('prometheus'))('WAL that is older than the window', () => {
  let source: Awaited<ReturnType<typeof startWrittenServer>>
  const made: Made[] = []
  let last: Samples

  beforeAll(async () => {
    source = await startWrittenServer()
    await source.write(5)
    await source.ship()
    for (let round = 0; round < 6; round += 1) {
      const samples = await source.samples()
      const { recoveryPoint } = await source.operations.backup()
      made.push({ id: recoveryPoint.id, head: recoveryPoint.head, samples })
      // A checkpoint comes with every other round or so, and each is shipped.
      for (let part = 0; part < 3; part += 1) {
        await source.write(12)
        await source.ship()
      }
    }
    last = await source.samples()
    await source.server.kill()
    expect(made.map(({ head }) => head)).toEqual(['stored', 'wal', 'wal', 'wal', 'wal', 'wal'])
    expect((await walOf(source.store)).checkpoints.length).toBeGreaterThan(2)
  })

  /** The same repository, whose recovery points but those are gone. */
  async function copyWith(kept: readonly Made[]) {
    const root = join(await temporaryDirectory('copy'), 'repository')
    await cp(source.root, root, { recursive: true })
    for (const { id } of made) if (!kept.some((point) => point.id === id)) await rm(join(root, 'instances', 'prom-a', 'recovery-points', `${id}.json`))
    const store = createFileStore({ root })
    return { root, store, operations: operationsOn(source.server.api, store) }
  }

  const shipLater = (store: ObjectStore) => shipOnce(source.server.api, store, { dataDir: source.server.dataDir, clock: later })

  async function expectAllOf(operations: ReturnType<typeof operationsOn>, point: Made) {
    await restored(operations, { at: { kind: 'recovery-point', id: point.id } }, async (api, { warnings }) => {
      expect(missing(point.samples, await samplesOf(api, { endMs: Date.now() }))).toEqual([])
      expect(warnings.filter((warning) => warning.includes('head'))).toEqual([])
    })
  }

  it('stays as long as the oldest recovery point without a head of its own, and goes on bringing it back', async () => {
    const { store, operations } = await copyWith(made)
    const before = await walOf(store)
    await shipLater(store)
    const { pieces, checkpoints } = await walOf(store)
    const [, oldest] = made as [Made, Made]
    // What comes before the place that it goes on from may go, no more.
    expect(pieces.at(-1)?.end).toBeGreaterThan(0)
    expect(checkpoints.at(-1)).toBe(before.checkpoints.at(-1))
    await expectAllOf(operations, oldest)
    await expectAllOf(operations, made.at(-1) as Made)
  })

  it('goes up to a checkpoint when that recovery point is gone, and nothing that others need', async () => {
    const kept = made.slice(-2)
    const { store, operations } = await copyWith(kept)
    const before = await walOf(store)
    await shipLater(store)
    const { pieces, checkpoints } = await walOf(store)
    const first = Math.min(...pieces.map(({ segment }) => segment))
    expect(first).toBeGreaterThan(Math.min(...before.pieces.map(({ segment }) => segment)))
    expect(checkpoints).toContain(first - 1)
    expect(checkpoints.length).toBeLessThan(before.checkpoints.length)
    for (const point of kept) await expectAllOf(operations, point)
    await restored(operations, {}, async (api, { stoppedBy }) => {
      expect(stoppedBy).toBe('end')
      expect(missing(last, await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
    expect((await operations.verify({ readData: true })).damaged).toEqual([])
  })

  it('stays where the repository has no recovery point whose blocks replace it', async () => {
    const { store } = await copyWith([])
    const before = await walOf(store)
    await shipLater(store)
    const after = await walOf(store)
    expect(after.checkpoints).toEqual(before.checkpoints)
    expect(after.pieces.map(({ segment }) => segment)[0]).toBe(before.pieces[0]?.segment)
  })

  it('stays while a manifest cannot be read: it may be the one that needs it', async () => {
    const { root, store } = await copyWith(made.slice(-2))
    await cp(join(root, 'prom-dr.json'), join(root, 'instances', 'prom-a', 'recovery-points', `${made[1]?.id}.json`))
    const before = await walOf(store)
    await shipLater(store)
    expect((await walOf(store)).checkpoints).toEqual(before.checkpoints)
  })

  it('goes completely in the end, and what is kept can be restored all the time, whichever removal is the last before a crash', async () => {
    const kept = made.slice(-2)
    const clean = await copyWith(kept)
    await shipLater(clean.store)
    const names = async (store: ObjectStore) => Object.keys(await contentOf(store, 'instances/prom-a/wal/')).filter((key) => !key.endsWith('heartbeat.json')).sort()
    const expected = await names(clean.store)
    let faults = 0
    for (let call = 1; ; call += 1) {
      const { store, operations } = await copyWith(kept)
      const faulty = createFaultyStore(store, [{ verb: 'delete', key: /\/wal\/\d{8}T/, call, at: call % 2 === 0 ? 'before' : 'after' }])
      await shipLater(faulty)
      if (faulty.fired.length === 0) break
      faults += 1
      const reach = await list({ repositories: [{ name: 'primary', store }], signal }, { repositories: [] })
      expect(reach.instances[0]?.gaps).toEqual([])
      expect((await operations.verify()).damaged).toEqual([])
      if (call === 2) await expectAllOf(operations, kept[0] as Made)
      await shipLater(store)
      expect(await names(store), `after a crash at removal ${call}`).toEqual(expected)
      expect((await readRecoveryPoints(store, 'prom-a')).points).toHaveLength(2)
    }
    expect(faults).toBeGreaterThan(3)
  }, 400_000)
})
