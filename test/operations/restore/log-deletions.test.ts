import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pLimit from 'p-limit'
import { expect, it } from 'vitest'
import { deletionsInLog } from '../../../src/operations/restore/log-deletions.ts'
import { blockPrefix } from '../../../src/repository/layout.ts'
import { uploadBlock } from '../../../src/repository/stored-blocks.ts'
import { storeTombstones } from '../../../src/repository/tombstones.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { bytesBody } from '../../../src/stores/object-store.ts'
import { parseBlockMeta, thanosMeta } from '../../../src/tsdb/block-meta.ts'
import { visitSeries } from '../../../src/tsdb/index-series.ts'
import { type Tombstone, encodeTombstones } from '../../../src/tsdb/tombstones.ts'
import { SeriesRefs } from '../../../src/tsdb/wal/series-refs.ts'
import { encodeRecord } from '../../../src/tsdb/wal/record-codec.ts'
import { defaultStartMs, makeBlocks } from '../../support/blocks.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { needPrograms } from '../../support/programs.ts'

const seriesCount = 140_000
const { signal } = new AbortController()

it('a deletion of more series than a call takes arguments is applied to all of them', async (context) => {
  needPrograms(context, 'promtool')
  const dataDir = await temporaryDirectory('source')
  const [block] = (await makeBlocks({ series: seriesCount, samples: 1, dataDir })).blocks
  const { ulid = '', path = '' } = block ?? {}
  const store = createMemoryStore()
  const meta = parseBlockMeta(await readFile(join(path, 'meta.json'), 'utf8'), ulid)
  const files = await Promise.all(['index', 'chunks/000001'].map(async (relPath) => ({ relPath, body: bytesBody(await readFile(join(path, relPath))) })))
  await uploadBlock(store, { prefix: blockPrefix(ulid), files, limit: pLimit(2), metaText: (stored) => thanosMeta(meta, { labels: {}, files: stored, source: 'test' }) })
  const tombstones: Tombstone[] = []
  await visitSeries(join(path, 'index'), ({ ref }) => void tombstones.push({ seriesRef: BigInt(ref), mint: BigInt(defaultStartMs), maxt: BigInt(defaultStartMs) }))
  const stored = await storeTombstones(store, 'prom-a', { bytes: encodeTombstones(tombstones), signal })
  const refs = new SeriesRefs()
  const series = Array.from({ length: seriesCount }, (_, at) => ({ ref: at + 1, labels: [['__name__', 'prom_dr_test'], ['series', String(at)]] as [string, string][] }))
  refs.map(encodeRecord({ type: 'series', series }), { file: 'test', startOffset: 0 })
  const applied = await deletionsInLog([{ ulid, ...stored }], { store, instance: 'prom-a', refs, boundMs: defaultStartMs + 1, staging: await temporaryDirectory('staging'), signal })
  expect(applied.unapplied).toEqual([])
  expect([applied.entries.length, applied.earlier.length]).toEqual([seriesCount, seriesCount])
})
