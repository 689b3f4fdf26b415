import { describe, expect, it } from 'vitest'
import { readBlockMeta } from '../../src/tsdb/block-directory.ts'
import { listBlocks } from '../../src/tsdb/data-directory.ts'
import { missingPrograms, waitFor } from '../support/prometheus.ts'
import { type Samples, differences, restored, samplesOf, samplesUntil } from '../support/shipped-server.ts'
import { type SimulatedServer, hourMs, startSimulatedServer } from '../support/simulated-server.ts'
import { deleteSeries } from '../support/wal-traffic.ts'

const series = ['precious', 'other']
const precious = '{__name__="precious"}'

function story(source: SimulatedServer & { startMs: number }) {
  const hours = (count: number) => source.startMs + count * hourMs
  return {
    hours,
    /** Ships whenever `step` hours have passed. */
    async liveTo(until: number, step = 0.5) {
      while (source.nowMs() < hours(until)) {
        await source.live(Math.min(hours(until), source.nowMs() + step * hourMs), series)
        await source.ship()
      }
    },
    held: () => samplesOf(source.server.api, { endMs: Date.now() }),
    async expectAt(atMs: number, expected: Samples) {
      await restored(source.operations, { at: { kind: 'time', ms: atMs } }, async (api, report) => {
        expect(differences(samplesUntil(expected, atMs), await samplesOf(api, { endMs: Date.now() })), new Date(atMs).toISOString()).toEqual([])
        expect(report.stoppedBy).toBe('moment')
        expect(report.warnings.join()).not.toMatch(/left out|could not be applied/)
      })
    },
  }
}

/** Half-open, in hours. */
async function rangesOf({ server, startMs }: SimulatedServer & { startMs: number }): Promise<string[]> {
  const metas = await Promise.all((await listBlocks(server.dataDir)).blocks.map(({ path }) => readBlockMeta(path)))
  return metas.map(({ meta }) => `${(meta.minTime - startMs) / hourMs}-${(meta.maxTime - startMs) / hourMs}`).sort()
}

describe.skipIf(missingPrograms('prometheus'))('a deletion by mistake', () => {
  it('is undone for samples in the head by the moment before it, and stays in later moments', async () => {
    const source = await startSimulatedServer()
    const { hours, liveTo, held, expectAt } = story(source)
    await liveTo(0.5)
    await source.backup()
    await liveTo(1)
    // The deletion counts from two looks before the one that finds it.
    await liveTo(1.1, 0.05)
    const before = await held()
    await deleteSeries(source.server.url, precious, { startMs: 0, endMs: hours(1.1) })
    await liveTo(1.3, 0.1)
    const after = await held()
    expect(differences(before, samplesUntil(after, hours(1.1) - 1))).toHaveLength(1)
    await source.server.kill()
    await expectAt(hours(1), before)
    await expectAt(hours(1.25), after)
  })

  it('is undone for samples in blocks, in one that was cut after the deletion and in one that was merged since', async () => {
    const source = await startSimulatedServer({ flags: ['--storage.tsdb.max-block-duration=6h'], alignMs: 6 * hourMs })
    const { hours, liveTo, held, expectAt } = story(source)
    await liveTo(6.75)
    await source.backup()
    expect(await rangesOf(source)).toEqual(['0-2', '2-4'])
    await liveTo(6.85, 0.05)
    const before = await held()
    // In both blocks and in the head, of which a block is cut soon.
    await deleteSeries(source.server.url, precious, { startMs: hours(1), endMs: hours(5) })
    await liveTo(6.95, 0.05)
    const soonAfter = await held()
    expect(differences(before, samplesUntil(soonAfter, hours(6.85) - 1))).toHaveLength(1)
    await expectAt(hours(6.75), before)

    await liveTo(9.25)
    await waitFor(async () => (await rangesOf(source)).join() === '0-6,6-8', { what: 'the blocks to be merged' })
    await source.backup()
    await liveTo(9.5, 0.25)
    const longAfter = await held()
    await source.server.kill()
    await expectAt(hours(6.75), before)
    // Before the second backup the deletion is known from the stream alone.
    await expectAt(hours(6.92), soonAfter)
    await expectAt(hours(8.9), longAfter)
    await expectAt(hours(9.4), longAfter)
  })
})
