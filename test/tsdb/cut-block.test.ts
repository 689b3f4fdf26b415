import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { cutBlock } from '../../src/tsdb/cut-block.ts'
import { encodeTombstones, parseTombstones } from '../../src/tsdb/tombstones.ts'
import { verifyLocalBlock } from '../../src/tsdb/verify-block.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { defaultStartMs, makeBlocks } from '../support/blocks.ts'
import { missingPrograms, startTestPrometheus } from '../support/prometheus.ts'
import { type Samples, differences, samplesOf, samplesUntil } from '../support/shipped-server.ts'

const stepMs = 15_000
const maxTime = defaultStartMs + 2 * 3_600_000

describe.skipIf(missingPrograms('promtool', 'prometheus'))('a block that is cut at a moment', () => {
  let dataDir: string
  let block: string
  let whole: Samples

  beforeAll(async () => {
    dataDir = await temporaryDirectory('cut')
    // 300 samples are three chunks of a series.
    const made = await makeBlocks({ series: 25, samples: 300, stepMs, dataDir })
    block = made.blocks[0]?.path ?? ''
    whole = await served(dataDir)
  })

  /** What a server answers that is started on the directory. */
  async function served(directory: string): Promise<Samples> {
    const server = await startTestPrometheus({ dataDir: directory, retention: '100y', scrapeItself: false })
    try {
      return await samplesOf(server.api, { endMs: maxTime })
    } finally {
      await server.kill()
    }
  }

  it.each([
    ['in the middle of a chunk', 50 * stepMs + 7],
    ['at a sample', 200 * stepMs],
    ['a millisecond before one', 200 * stepMs - 1],
    ['before all of them', -1],
    ['after all of them', 300 * stepMs],
  ])('has what was there up to it and nothing after: %s', async (_, offsetMs) => {
    const afterMs = defaultStartMs + offsetMs
    const { cutSeries, newestSampleMs } = await cutBlock(block, { afterMs, maxTime })
    const expected = samplesUntil(whole, afterMs)
    const newest = Math.max(...[...expected.values()].flatMap((values) => [...values.keys()]))
    expect(cutSeries).toBe(offsetMs >= 300 * stepMs ? 0 : 25)
    expect(newestSampleMs ?? Number.NEGATIVE_INFINITY).toBe(newest)
    expect(differences(expected, await served(dataDir))).toEqual([])
    await verifyLocalBlock(block)
    await writeFile(join(block, 'tombstones'), encodeTombstones([]))
  })

  it('keeps what was deleted in it before, and a server that applies its deletions agrees', async () => {
    const copy = await temporaryDirectory('compacted')
    await writeFile(join(block, 'tombstones'), encodeTombstones([]))
    const [name = '', values = new Map<number, bigint>()] = [...whole][3] ?? []
    const server = await startTestPrometheus({ dataDir, retention: '100y', scrapeItself: false })
    const series = Object.fromEntries(JSON.parse(name) as [string, string][])['series']
    const range = new URLSearchParams({ 'match[]': `prom_dr_test{series="${series}"}`, start: String(defaultStartMs / 1000), end: String((defaultStartMs + 20 * stepMs) / 1000) })
    expect((await fetch(`${server.url}/api/v1/admin/tsdb/delete_series?${range}`, { method: 'POST' })).ok).toBe(true)
    await server.kill()
    const afterMs = defaultStartMs + 40 * stepMs
    await cutBlock(block, { afterMs, maxTime })
    expect(parseTombstones(await readFile(join(block, 'tombstones')))).toHaveLength(26)
    const expected = samplesUntil(whole, afterMs)
    expected.set(name, new Map([...values].filter(([timeMs]) => timeMs > defaultStartMs + 20 * stepMs && timeMs <= afterMs)))
    expect(differences(expected, await served(dataDir))).toEqual([])
    await mkdir(copy, { recursive: true })
    await rename(block, join(copy, block.slice(-26)))
    const compacting = await startTestPrometheus({ dataDir: copy, retention: '100y', scrapeItself: false })
    expect((await fetch(`${compacting.url}/api/v1/admin/tsdb/clean_tombstones`, { method: 'POST' })).ok).toBe(true)
    expect(differences(expected, await samplesOf(compacting.api, { endMs: maxTime }))).toEqual([])
    await compacting.kill()
    await rm(copy, { recursive: true })
  })
})
