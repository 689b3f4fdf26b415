import { describe, expect, it } from 'vitest'
import { startExporter } from '../support/exporter.ts'
import { missingPrograms, waitFor } from '../support/prometheus.ts'
import { type ShippedServer, differences, fastBlocks, restored, samplesOf, samplesUntil, startShippedServer } from '../support/shipped-server.ts'
import { deleteSeries } from '../support/wal-traffic.ts'

const precious = '{__name__="precious"}'

/** A server that is shipped every 300 ms, with `precious` and `other` and blocks of 10 s if `compacts`. */
async function startScene(compacts: boolean): Promise<ShippedServer & { blockCount(): Promise<number> }> {
  const exporter = await startExporter([{ name: 'precious', valueAt: (ms) => ms }, { name: 'other', valueAt: (ms) => -ms }], { timestamps: 'scrape' })
  const shipped = await startShippedServer({ targets: [exporter.target], scrapeItself: false, scrapeInterval: '500ms', retention: '10y', ...(compacts && { minBlockDuration: '10s', flags: fastBlocks }) })
  shipped.startShipping(300)
  await waitFor(() => exporter.served.length >= 3, { what: 'three scrapes' })
  await shipped.operations.backup()
  const blockCount = async () => Number((await (await fetch(`${shipped.server.url}/metrics`)).text()).match(/^prometheus_tsdb_blocks_loaded (\d+)/m)?.[1] ?? 0)
  return { ...shipped, blockCount }
}

/** Waits until everything that the server has now is in the repository. */
async function shippedPast(shipped: ShippedServer, atMs: number): Promise<void> {
  await waitFor(async () => {
    for await (const object of shipped.store.list('instances/prom-a/wal/')) {
      const seenAt = Number(/-(?:\d{13}|none)-(\d{13})-/.exec(object.key)?.[1] ?? 0)
      if (seenAt > atMs) return true
    }
    return false
  }, { what: 'the shipper' })
}

/** Between two cuts of a block: a backup, a look at everything, and the deletion. Tried again when a block was cut meanwhile. */
async function deleteWithinBlock(shipped: Awaited<ReturnType<typeof startScene>>) {
  for (;;) {
    const cut = await shipped.blockCount()
    await waitFor(async () => (await shipped.blockCount()) > cut, { what: 'a block', timeoutMs: 40_000, intervalMs: 20 })
    const blocks = await shipped.blockCount()
    await shipped.operations.backup()
    const before = await samplesOf(shipped.server.api, { endMs: Date.now() })
    if ((await shipped.blockCount()) !== blocks) continue
    await deleteSeries(shipped.server.url, precious, { startMs: 0, endMs: Date.now() })
    const deletedMs = Date.now()
    return { before, beforeMs: Math.max(...[...before.values()].flatMap((values) => [...values.keys()])), deletedMs, blocks }
  }
}

describe.skipIf(missingPrograms('prometheus'))('a deletion by mistake', () => {
  it('is undone for samples in the head by the moment before it, and stays in later moments', async () => {
    const shipped = await startScene(false)
    await waitFor(async () => (await samplesOf(shipped.server.api, { endMs: Date.now() })).size >= 4)
    const before = await samplesOf(shipped.server.api, { endMs: Date.now() })
    const beforeMs = Math.max(...[...before.values()].flatMap((values) => [...values.keys()]))
    await shippedPast(shipped, Date.now() + 300)
    await deleteSeries(shipped.server.url, precious, { startMs: 0, endMs: Date.now() })
    const deletedMs = Date.now()
    await shippedPast(shipped, deletedMs + 1000)
    await shipped.stopShipping()
    await shipped.server.kill()
    await restored(shipped.operations, { at: { kind: 'time', ms: beforeMs } }, async (api, report) => {
      expect(differences(samplesUntil(before, beforeMs), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
      expect(report.warnings.filter((warning) => warning.includes('left out'))).toEqual([])
    })
    await restored(shipped.operations, { at: { kind: 'time', ms: deletedMs + 900 } }, async (api) => {
      const found = await samplesOf(api, { endMs: Date.now() })
      const times = [...found].flatMap(([name, values]) => (name.includes('precious') ? [...values.keys()] : []))
      expect(times.filter((time) => time <= beforeMs)).toEqual([])
    })
  })

  it('is undone for samples in blocks, in one that was cut after the deletion and in one that was merged since', async () => {
    const shipped = await startScene(true)
    const { before, beforeMs, deletedMs, blocks } = await deleteWithinBlock(shipped)
    await waitFor(async () => (await shipped.blockCount()) < blocks || (await shipped.blockCount()) > blocks + 1, { what: 'another block', timeoutMs: 40_000 })
    await shipped.operations.backup()
    const after = await samplesOf(shipped.server.api, { endMs: Date.now() })
    const afterMs = Math.max(...[...after.values()].flatMap((values) => [...values.keys()]))
    await shippedPast(shipped, Date.now() + 1000)
    await shipped.stopShipping()
    await shipped.server.kill()
    await restored(shipped.operations, { at: { kind: 'time', ms: beforeMs } }, async (api) => {
      expect(differences(samplesUntil(before, beforeMs), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
    // Before the next backup the deletion is known from the stream alone.
    await restored(shipped.operations, { at: { kind: 'time', ms: deletedMs + 900 } }, async (api) => {
      expect(differences(samplesUntil(after, deletedMs + 900), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
    await restored(shipped.operations, { at: { kind: 'time', ms: afterMs } }, async (api) => {
      expect(differences(samplesUntil(after, afterMs), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
  }, 120_000)
})
