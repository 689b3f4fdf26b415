import { describe, expect, it } from 'vitest'
import type { RestoreReport } from '../../src/operations/restore/restore-report.ts'
import { readBlockMeta } from '../../src/tsdb/block-directory.ts'
import { listBlocks } from '../../src/tsdb/data-directory.ts'
import { missingPrograms, waitFor } from '../support/prometheus.ts'
import { type Samples, differences, restored, samplesOf, samplesUntil } from '../support/shipped-server.ts'
import { type SimulatedServer, hourMs, startSimulatedServer } from '../support/simulated-server.ts'
import { deleteSeries } from '../support/wal-traffic.ts'

const series = ['precious', 'steady', 'wild']

describe.skipIf(missingPrograms('prometheus'))('a deletion in a block that was cut since the recovery point', () => {
  it('is in force from the look that found it on, where a later recovery point has the block', async () => {
    const source = await startSimulatedServer()
    const { hours, liveTo, expectAt } = story(source)
    await liveTo(5.25)
    await source.backup()
    await liveTo(7.25)
    const whole = await samplesOf(source.server.api, { endMs: Date.now() })
    await deleteSeries(source.server.url, '{__name__="precious"}', { startMs: hours(4.5), endMs: hours(5.5) })
    await liveTo(7.3)
    await liveTo(7.5)
    const left = await samplesOf(source.server.api, { endMs: Date.now() })
    expect(differences(whole, samplesUntil(left, hours(7.25) - 1))).toHaveLength(1)

    // Nobody has the block: which series were meant is not known.
    const unapplied = await expectAt(hours(7.4), whole, left)
    expect(unapplied.warnings).toContainEqual(expect.stringMatching(/deletions in block \w{26} could not be applied.*the block is not in the repository; delete them again/))

    await source.backup()
    await liveTo(7.75)
    const applied = await expectAt(hours(7.4), left, left)
    expect(applied.plan.blocks).toHaveLength(2)
    expect(applied.warnings.join()).not.toContain('deletions')
    // Before the look that found it, and about that.
    const doubtful = await expectAt(hours(7.25) + 60_000, whole, left)
    expect(doubtful.warnings).toContainEqual(expect.stringContaining('--include-deletes takes them in'))
    await expectAt(hours(7.25) + 60_000, left, left, { includeDeletes: true })
    expect((await expectAt(hours(7.2), whole, left)).warnings.join()).not.toContain('deletions')
  })

  it('is in force in the blocks of the recovery point too that were merged with what came after', async () => {
    const source = await startSimulatedServer({ flags: ['--storage.tsdb.max-block-duration=6h'], alignMs: 6 * hourMs })
    const { hours, liveTo, expectAt } = story(source)
    await liveTo(5.25)
    await source.backup()
    await liveTo(9.25)
    const whole = await samplesOf(source.server.api, { endMs: Date.now() })
    const ranges = await waitFor(async () => {
      const merged = (await rangesOf(source.server.dataDir)).filter(({ hours: span }) => span > 2)
      return merged.length > 0 && merged
    }, { what: 'blocks to be merged' })
    expect(ranges).toMatchObject([{ minTime: hours(0), hours: 6 }])
    await deleteSeries(source.server.url, '{__name__="precious"}', { startMs: hours(1), endMs: hours(5) })
    await liveTo(9.3)
    await liveTo(9.5)
    const left = await samplesOf(source.server.api, { endMs: Date.now() })
    expect(differences(whole, samplesUntil(left, hours(9.25) - 1))).toHaveLength(1)
    // The merged block is in the repository; no recovery point names it any more.
    const { id } = await source.backup({ head: 'never' })
    await source.store.delete([`instances/prom-a/recovery-points/${id}.json`])
    const report = await expectAt(hours(9.4), left, left)
    expect(report.plan.blocks.map(({ maxTime }) => Date.parse(maxTime))).toEqual([hours(4), hours(2)])
    expect(report.warnings.join()).not.toContain('deletions')
    await expectAt(hours(9.2), whole, left)
  })
})

async function rangesOf(dataDir: string): Promise<{ minTime: number; hours: number }[]> {
  const { blocks } = await listBlocks(dataDir)
  const metas = await Promise.all(blocks.map(({ path }) => readBlockMeta(path)))
  return metas.map(({ meta }) => ({ minTime: meta.minTime, hours: (meta.maxTime - meta.minTime) / hourMs }))
}

/** Ships a quarter of an hour after a quarter of an hour, and compares what is restored. */
function story(source: SimulatedServer & { startMs: number }) {
  const hours = (count: number) => source.startMs + count * hourMs
  const liveTo = async (until: number) => {
    while (source.nowMs() < hours(until)) {
      await source.live(Math.min(hours(until), source.nowMs() + hourMs / 4), series)
      await source.ship()
    }
  }
  /** `before` has the samples of before a deletion, `now` those since. */
  const expectAt = (atMs: number, before: Samples, now: Samples, options: { includeDeletes?: boolean } = {}): Promise<RestoreReport> => {
    const expected = new Map([...now].map(([name, values]) => [name, new Map([...(before.get(name) ?? []), ...values])]))
    return restored(source.operations, { at: { kind: 'time', ms: atMs }, ...options }, async (api, report) => {
      expect(differences(samplesUntil(expected, atMs), await samplesOf(api, { endMs: Date.now() })), new Date(atMs).toISOString()).toEqual([])
      expect(report.stoppedBy).toBe('moment')
      return report
    })
  }
  return { hours, liveTo, expectAt }
}
