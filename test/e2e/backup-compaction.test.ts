import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { BlockMeta } from '../../src/domain/block.ts'
import { backupExitCode } from '../../src/cli/commands/backup.ts'
import type { BackupReport } from '../../src/operations/backup/backup-report.ts'
import { readRecoveryPoints } from '../../src/repository/recovery-points.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { listBlocks } from '../../src/tsdb/data-directory.ts'
import { readBlockMeta } from '../../src/tsdb/block-directory.ts'
import { badSector } from '../fakes/bad-sector.ts'
import { makeBlocks } from '../support/blocks.ts'
import { keysOf } from '../support/bodies.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { type TestPrometheus, missingPrograms, remoteWrite, startTestPrometheus, waitFor } from '../support/prometheus.ts'

const minuteMs = 60_000

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a backup after a compaction', () => {
  it('names the stored blocks instead of the compacted one, and they restore to the same answers', async () => {
    const { server, store, operations, firstMs } = await serverWithStoredBlock()
    let covered = 0
    for (let minute = 2.6; minute < 8; minute += 1) {
      await write(server, firstMs + minute * minuteMs, 1)
      await waitForQuiet(server)
      const report = await operations.backup()
      covered = Math.max(covered, report.repositories[0]?.coveredBlocks ?? 0)
      expect(report.warnings).toEqual([])
    }
    expect((await metasOf(server)).some(({ compaction }) => compaction.level > 1)).toBe(true)
    expect(covered).toBeGreaterThan(0)
    const blockKeys = await keysOf(store, 'blocks/')
    const stored = await Promise.all([...new Set(blockKeys.map((key) => key.slice(7, 33)))].map(async (ulid) => JSON.parse(Buffer.from(store.objects.get(`blocks/${ulid}/meta.json`)!.bytes).toString()) as { compaction: { level: number; sources: string[] }; stats: { numSamples: number } }))
    const counted = new Map<string, number>()
    for (const { compaction } of stored) for (const source of compaction.sources) counted.set(source, (counted.get(source) ?? 0) + 1)
    expect([...counted.values()].every((times) => times === 1)).toBe(true)

    const target = join(await temporaryDirectory('restored'), 'data')
    const { answers } = await operations.restore(target)
    expect(answers).toMatchObject({ equal: true })
    const restored = await startTestPrometheus({ dataDir: target, retention: '10y', scrapeItself: false })
    const everything = ['count_over_time(wave[1h])', 'sum_over_time(wave[1h])']
    const nowMs = Date.now()
    for (const query of everything) expect(await restored.api.query(query, nowMs)).toBe(await server.api.query(query, nowMs))
  })

  it('is whole although the disk does not give the compacted block: the blocks that it was made of are stored', async () => {
    const { server, store, operations, firstMs } = await serverWithStoredBlock()
    let covered: number | undefined = 0
    for (let minute = 2.6; minute < 12 && covered === 0; minute += 1) {
      await write(server, firstMs + minute * minuteMs, 1)
      await waitForQuiet(server)
      covered = (await operations.backup()).repositories[0]?.coveredBlocks
    }
    const compacted = (await metasOf(server)).find(({ compaction }) => compaction.level > 1)
    const { points: [...before] } = await readRecoveryPoints(store, 'prom-a')

    // From now on compacted blocks are to be stored themselves; this one cannot be read.
    const replacing = operationsOn(server.api, store, { settings: { compactedSpanMs: minuteMs } })
    const sector = await badSector(join(server.dataDir, compacted?.ulid ?? '', 'chunks', '000001'))
    let damaged: BackupReport
    try {
      damaged = await replacing.backup()
    } finally {
      sector.mend()
    }
    expect(sector.hits).toBeGreaterThan(0)
    expect(backupExitCode(damaged)).toBe(5)
    expect(damaged.damagedAtSource).toEqual([{ ulid: compacted?.ulid, reason: expect.stringContaining('EIO') }])
    expect(damaged.warnings).toEqual([expect.stringMatching(new RegExp(`^block ${compacted?.ulid} cannot be read, but the recovery point in .* lacks nothing: it has ${compacted?.compaction.sources.join(', ')} in its place`))])
    const { points } = await readRecoveryPoints(store, 'prom-a')
    expect(points.at(-1)?.blocks.map(({ ulid }) => ulid)).toEqual(before.at(-1)?.blocks.map(({ ulid }) => ulid))
    expect(points.at(-1)?.damagedAtSource).toBeUndefined()
    expect(await replacing.restore(join(await temporaryDirectory('restored'), 'data'))).toMatchObject({ answers: { equal: true } })

    // Read again, it replaces them.
    expect(await replacing.backup()).toMatchObject({ damagedAtSource: [], warnings: [], repositories: [{ ok: true, uploadedBlocks: 1 }] })
    expect((await readRecoveryPoints(store, 'prom-a')).points.at(-1)?.blocks.map(({ ulid }) => ulid)).toContain(compacted?.ulid)
  })
})

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a backup after a deletion', () => {
  it('keeps what was deleted before it deleted, in blocks and in the head, and what was deleted after it there', async () => {
    const dataDir = join(await temporaryDirectory('blocks'), 'data')
    await mkdir(dataDir)
    const startMs = Math.floor(Date.now() / 7_200_000 - 5) * 7_200_000
    const { blocks } = await makeBlocks({ series: 4, samples: 600, startMs, dataDir })
    const server = await startTestPrometheus({ dataDir, retention: '10y', scrapeItself: false })
    const nowMs = Date.now()
    await remoteWrite(server.url, ['a', 'b', 'c'].map((name) => ({ labels: { __name__: 'in_the_head', name }, samples: [{ timestampMs: nowMs - 5000, value: 1 }, { timestampMs: nowMs, value: 2 }] })))
    const store = createMemoryStore()
    const operations = operationsOn(server.api, store)
    await operations.backup()
    await deleteSeries(server, 'prom_dr_test{series="1"}')
    await deleteSeries(server, 'in_the_head{name="b"}')
    const before = await series(server, nowMs)
    expect(before).toHaveLength(5)
    const second = await operations.backup()
    await deleteSeries(server, 'prom_dr_test{series="2"}')
    await deleteSeries(server, 'in_the_head{name="c"}')
    expect(await series(server, nowMs)).toHaveLength(3)

    expect(second.repositories).toMatchObject([{ uploadedBlocks: 0, reusedBlocks: blocks.length }])
    const [first, deleted] = (await readRecoveryPoints(store, 'prom-a')).points
    expect(first!.blocks.every((block) => block.tombstones === undefined)).toBe(true)
    expect(deleted!.blocks.every((block) => block.tombstones !== undefined)).toBe(true)
    expect((await keysOf(store, 'instances/prom-a/tombstones/')).length).toBeLessThanOrEqual(blocks.length)
    for (const [id, expected] of [[second.recoveryPoint.id, before], [first!.id, undefined]] as const) {
      const target = join(await temporaryDirectory('restored'), 'data')
      expect((await operations.restore(target, { at: { kind: 'recovery-point', id } })).answers).toMatchObject({ equal: true })
      const restored = await startTestPrometheus({ dataDir: target, retention: '10y', scrapeItself: false })
      if (expected === undefined) expect(await series(restored, nowMs)).toHaveLength(7)
      else expect(await series(restored, nowMs)).toEqual(expected)
    }
  })

  it('stores a compacted block itself when its samples are not those of its sources any more', async () => {
    const { server, store, operations, firstMs, block: source } = await serverWithStoredBlock()
    await deleteSeries(server, 'wave{n="1"}', firstMs + 5000, firstMs + 9000)
    const swallowed = async () => (await metasOf(server)).find(({ compaction }) => compaction.level > 1 && compaction.sources.includes(source))
    for (let minute = 2.6; minute < 12 && (await swallowed()) === undefined; minute += 1) {
      await write(server, firstMs + minute * minuteMs, 1)
      await waitForQuiet(server)
    }
    const compacted = await swallowed()
    expect(compacted).toBeDefined()
    const report = await operations.backup()
    expect(await keysOf(store, `blocks/${compacted?.ulid}/`)).toContain(`blocks/${compacted?.ulid}/meta.json`)
    const { points } = await readRecoveryPoints(store, 'prom-a')
    expect(points.at(-1)?.blocks.map(({ ulid }) => ulid)).not.toContain(source)
    const { answers } = await operations.restore(join(await temporaryDirectory('restored'), 'data'), { at: { kind: 'recovery-point', id: report.recoveryPoint.id } })
    expect(answers).toMatchObject({ equal: true })
  })
})

/** Cuts a block every minute of the simulated clock and merges three at a time. */
function startFastServer(): Promise<TestPrometheus> {
  return startTestPrometheus({ scrapeItself: false, minBlockDuration: '1m', retention: '30m', flags: ['--storage.tsdb.max-block-duration=9m'] })
}

/** Its first block is in the repository, so that what it is compacted into can be covered by it. */
async function serverWithStoredBlock() {
  const server = await startFastServer()
  const store = createMemoryStore()
  const operations = operationsOn(server.api, store)
  const firstMs = Math.floor((Date.now() - 20 * minuteMs) / (9 * minuteMs)) * 9 * minuteMs
  await write(server, firstMs, 2.6)
  const block = await waitFor(async () => (await metasOf(server))[0]?.ulid, { what: 'a block' })
  await operations.backup()
  return { server, store, operations, firstMs, block }
}

/** Samples of every second for so many minutes of the simulated clock. */
async function write(server: TestPrometheus, fromMs: number, minutes: number): Promise<void> {
  const times = Array.from({ length: Math.round(minutes * 60) }, (_, k) => fromMs + k * 1000)
  await remoteWrite(server.url, [0, 1, 2].map((n) => ({ labels: { __name__: 'wave', n: String(n) }, samples: times.map((timestampMs) => ({ timestampMs, value: Math.sin(timestampMs + n) })) })))
}

async function metasOf(server: TestPrometheus): Promise<BlockMeta[]> {
  const metas: BlockMeta[] = []
  for (const { path } of (await listBlocks(server.dataDir)).blocks) metas.push((await readBlockMeta(path)).meta)
  return metas
}

/** The server compacts when a write has made a block's span. */
async function waitForQuiet(server: TestPrometheus): Promise<void> {
  let last = ''
  await waitFor(async () => {
    const now = (await readdir(server.dataDir)).sort().join()
    const same = now === last && !now.includes('.tmp')
    last = now
    return same
  }, { what: 'the end of a compaction', intervalMs: 300 })
}

/** `name{n}: value` of everything that answers at the time. */
async function series(server: TestPrometheus, atMs: number): Promise<unknown[]> {
  const answer = JSON.parse(await server.api.query('count_over_time({__name__=~"prom_dr_test|in_the_head"}[2d])', atMs)) as { result: unknown[] }
  return answer.result
}

async function deleteSeries(server: TestPrometheus, selector: string, startMs = 0, endMs = Date.now() + 1000): Promise<void> {
  const parameters = new URLSearchParams({ 'match[]': selector, start: String(startMs / 1000), end: String(endMs / 1000) })
  expect((await fetch(`${server.url}/api/v1/admin/tsdb/delete_series?${parameters}`, { method: 'POST' })).status).toBe(204)
}
