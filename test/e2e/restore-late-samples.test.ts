import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { RestoreRequest } from '../../src/operations/restore/restore-report.ts'
import { readBlockMeta } from '../../src/tsdb/block-directory.ts'
import { listBlocks } from '../../src/tsdb/data-directory.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { missingPrograms } from '../support/prometheus.ts'
import { remoteWrite } from '../support/remote-write.ts'
import { type Samples, differences, restored, samplesOf, samplesUntil } from '../support/shipped-server.ts'
import { type SimulatedServer, hourMs, startSimulatedServer } from '../support/simulated-server.ts'

const outOfOrder = { config: { storage: { tsdb: { out_of_order_time_window: '2h' } } } }

/** A sample of a series that has newer ones. */
function writeLate(source: SimulatedServer, timestampMs: number): Promise<void> {
  return remoteWrite(source.server.url, [{ labels: { __name__: 'steady' }, samples: [{ timestampMs, value: timestampMs % 1000 }] }])
}

const at = (ms: number): Partial<RestoreRequest> => ({ at: { kind: 'time', ms }, start: false })

describe.skipIf(missingPrograms('prometheus'))('samples that came late', () => {
  let source: SimulatedServer & { startMs: number }
  let held: Samples
  const hours = (count: number) => source.startMs + count * hourMs
  const late: number[] = []

  beforeAll(async () => {
    source = await startSimulatedServer(outOfOrder)
    await source.ship()
    await source.backup()
    for (let round = 1; round <= 6; round += 1) {
      await source.live(hours(round / 4), ['steady', 'wild'])
      late.push(hours(round / 8) + 17 * round)
      await writeLate(source, late.at(-1) as number)
      await source.ship()
    }
    await source.live(hours(2), ['steady'])
    await source.ship()
    held = await samplesOf(source.server.api, { endMs: Date.now() })
    await source.server.kill()
  })

  async function copyOf() {
    const root = join(await temporaryDirectory('copy'), 'repository')
    await cp(source.root, root, { recursive: true })
    const store = createFileStore({ root })
    const pieces: string[] = []
    for await (const { key } of store.list('instances/prom-a/wal/')) if (/\/wbl\/\d{8}\/.*\.br$/.test(key)) pieces.push(join(root, key))
    return { store, pieces }
  }

  it('are restored with the others', async () => {
    await restored(source.operations, at(hours(1.8)), async (api, report) => {
      expect(report.stoppedBy).toBe('moment')
      expect(differences(samplesUntil(held, hours(1.8)), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
  })

  it.each([
    ['damaged', async (path: string) => writeFile(path, (await readFile(path)).map((byte, at) => (at === 20 ? byte ^ 0xff : byte)))],
    ['missing', (path: string) => rm(path)],
  ])('are not said to be there when a piece of their log is %s, and come from another repository', async (_, damage) => {
    const { store, pieces } = await copyOf()
    expect(pieces.length).toBeGreaterThan(3)
    await damage(pieces[2] as string)
    await restored(operationsOn(source.server.api, store), at(hours(1.8)), async (api, report) => {
      expect(report.stoppedBy).toBe('gap')
      expect(report.warnings).toContainEqual(expect.stringContaining('samples that came late are missing'))
      const [lost, ...others] = differences(samplesUntil(held, hours(1.8)), await samplesOf(api, { endMs: Date.now() }))
      expect(others).toEqual([])
      expect(lost).toMatch(/steady.*too many {2}\(0\)/)
    })
    await restored(operationsOn(source.server.api, [{ name: 'primary', store }, { name: 'second', store: source.store }]), at(hours(1.8)), async (api, report) => {
      expect(report.stoppedBy).toBe('moment')
      expect(differences(samplesUntil(held, hours(1.8)), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
  })
})

describe.skipIf(missingPrograms('prometheus'))('a block of out-of-order samples that reaches beyond the moment', () => {
  it('is cut at it', async () => {
    const source = await startSimulatedServer({ ...outOfOrder, flags: ['--storage.tsdb.max-block-duration=2h'] })
    const hours = (count: number) => source.startMs + count * hourMs
    await source.ship()
    const livedTo = async (until: number) => {
      while (source.nowMs() < hours(until)) {
        await source.live(Math.min(hours(until), source.nowMs() + hourMs / 2), ['steady', 'wild'])
        await source.ship()
      }
    }
    await livedTo(1.5)
    // Two hours without samples in order: their block is not merged with another.
    source.rest(hours(5))
    await livedTo(5.5)
    for (const minutes of [213, 219, 225, 235]) await writeLate(source, hours(0) + minutes * 60_000 + 7)
    await livedTo(9.5)
    const held = await samplesOf(source.server.api, { endMs: Date.now() })
    const metas = await Promise.all((await listBlocks(source.server.dataDir)).blocks.map(({ path }) => readBlockMeta(path)))
    const lateBlock = metas.find(({ meta }) => meta.compaction.hints?.includes('from-out-of-order'))?.meta
    expect(lateBlock).toMatchObject({ minTime: hours(2), maxTime: hours(4) })
    // As of a server whose targets were ahead: it was backed up before the times of the samples in the block.
    const early = operationsOn(source.server.api, source.store, { clock: { now: () => new Date(hours(3.6)), monotonicMs: () => performance.now(), sleep: async () => undefined } })
    await early.backup({ head: 'never' })
    await source.server.kill()
    await restored(source.operations, at(hours(3.7)), async (api, report) => {
      const found = await samplesOf(api, { endMs: Date.now() })
      expect(differences(samplesUntil(held, hours(3.7)), found)).toEqual([])
      expect(report.plan.blocks).toContainEqual(expect.objectContaining({ ulid: lateBlock?.ulid, cutAt: new Date(hours(3.7)).toISOString() }))
    })
  })
})
