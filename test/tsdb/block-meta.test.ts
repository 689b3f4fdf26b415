import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { readBlockMeta } from '../../src/tsdb/block-directory.ts'
import { parseBlockMeta, parseThanosFiles, thanosMeta } from '../../src/tsdb/block-meta.ts'
import { makeBlocks } from '../support/blocks.ts'
import { needPrograms } from '../support/programs.ts'

const ulid = '01M7Y7RS8GH5XS91X60VT2XS78'
const other = '01M7Y7RS8GH5XS91X60VT2XS79'
const plain = {
  ulid,
  minTime: 1_700_000_000_000,
  maxTime: 1_700_002_985_001,
  stats: { numSamples: 10_000, numSeries: 50, numChunks: 100 },
  compaction: { level: 1, sources: [ulid] },
  version: 1,
}
const sha256 = 'ab'.repeat(32)
const files = [
  { relPath: 'index', sizeBytes: 3738, sha256 },
  { relPath: 'chunks/000002', sizeBytes: 20, sha256 },
  { relPath: 'chunks/000001', sizeBytes: 10, sha256 },
]

function parse(value: unknown) {
  return parseBlockMeta(JSON.stringify(value), ulid)
}

test('meta.json that Prometheus wrote is read', async (context) => {
  needPrograms(context, 'promtool')
  const made = await makeBlocks({ series: 10, samples: 100 })
  onTestFinished(made.remove)
  const block = made.blocks[0]!
  const { meta, text } = await readBlockMeta(block.path)
  expect(meta).toEqual(JSON.parse(text))
  expect(meta).toMatchObject({ ulid: block.ulid, stats: { numSamples: 1000, numSeries: 10 }, compaction: { level: 1, sources: [block.ulid] } })
})

test('what Go leaves out when it is zero or empty is filled in', () => {
  const { stats, ...withoutStats } = plain
  const empty = { numSamples: 0, numSeries: 0, numChunks: 0 }
  expect(parse({ ...plain, stats: { numSeries: 50 } }).stats).toEqual({ ...empty, numSeries: 50 })
  expect(parse(withoutStats).stats).toEqual(empty)
  expect(parse({ ...plain, compaction: { level: 1 } }).compaction.sources).toEqual([])
  expect(parse({ ...plain, compaction: { level: 1, sources: null } }).compaction.sources).toEqual([])
})

test('fields of newer servers survive reading and uploading', () => {
  const newer = {
    ...plain,
    stats: { ...plain.stats, numFloatSamples: 9000, numHistogramSamples: 1000 },
    compaction: { ...plain.compaction, hints: ['from-out-of-order'], parents: [{ ulid: other, minTime: 1, maxTime: 2, more: true }], mood: 'good' },
    tenant: { id: 'a', nested: [1, 2.5, null] },
  }
  expect(parse(newer)).toEqual(newer)
  const { thanos, ...uploaded } = JSON.parse(thanosMeta(parse(newer), { labels: {}, files, source: 'prom-dr' }))
  expect(uploaded).toEqual(newer)
  expect(thanos).toBeDefined()
})

test('the Thanos section lists files and labels in order, and empty labels not at all', () => {
  const text = thanosMeta(parse(plain), { labels: { replica: 'b', cluster: 'eu', empty: '' }, files, source: 'prom-dr' })
  expect(JSON.parse(text).thanos).toEqual({
    version: 1,
    labels: { cluster: 'eu', replica: 'b' },
    downsample: { resolution: 0 },
    source: 'prom-dr',
    segment_files: ['000001', '000002'],
    files: [
      { rel_path: 'chunks/000001', size_bytes: 10, hash: { hashFunc: 'SHA256', value: sha256 } },
      { rel_path: 'chunks/000002', size_bytes: 20, hash: { hashFunc: 'SHA256', value: sha256 } },
      { rel_path: 'index', size_bytes: 3738, hash: { hashFunc: 'SHA256', value: sha256 } },
      { rel_path: 'meta.json' },
    ],
  })
  expect(text.indexOf('"cluster"')).toBeLessThan(text.indexOf('"replica"'))
})

test('the files of an uploaded block are read back', () => {
  const text = thanosMeta(parse(plain), { labels: { cluster: 'eu' }, files, source: 'prom-dr' })
  expect(parseThanosFiles(parseBlockMeta(text, ulid))).toEqual([files[2], files[1], files[0]])
})

test('an upload without digests, as Thanos makes it, is read', () => {
  const thanos = { version: 1, labels: {}, downsample: { resolution: 0 }, source: 'sidecar', files: [{ rel_path: 'index', size_bytes: 5 }, { rel_path: 'meta.json' }] }
  expect(parseThanosFiles(parse({ ...plain, thanos }))).toEqual([{ relPath: 'index', sizeBytes: 5 }])
})

const badFile = (file: object) => ({ ...plain, thanos: { version: 1, labels: {}, downsample: { resolution: 0 }, source: 'x', files: [{ rel_path: 'index', size_bytes: 5 }, file] } })

test.each([
  ['a path out of the block', badFile({ rel_path: '../../etc/cron.d/x', size_bytes: 1 }), /no file of a block/],
  ['a path out of the block through chunks', badFile({ rel_path: 'chunks/../../x', size_bytes: 1 }), /no file of a block/],
  ['an absolute path', badFile({ rel_path: '/index', size_bytes: 1 }), /no file of a block/],
  ['tombstones', badFile({ rel_path: 'tombstones', size_bytes: 9 }), /no file of a block/],
  ['a path with a line end', badFile({ rel_path: 'chunks/000001\n', size_bytes: 9 }), /no file of a block/],
  ['a second index', badFile({ rel_path: 'index', size_bytes: 5 }), /2 index files/],
  ['no size', badFile({ rel_path: 'chunks/000001' }), /without its size/],
  ['a missing first chunk file', badFile({ rel_path: 'chunks/000002', size_bytes: 1 }), /where chunks\/000001 is expected/],
  ['a digest of another kind', badFile({ rel_path: 'chunks/000001', size_bytes: 1, hash: { hashFunc: 'MD5', value: 'x' } }), /no SHA-256/],
  ['a digest in capitals', badFile({ rel_path: 'chunks/000001', size_bytes: 1, hash: { hashFunc: 'SHA256', value: 'AB'.repeat(32) } }), /no SHA-256/],
  ['no list of files', plain, /does not list/],
])('a stored block with %s is damaged', (_, value, message) => {
  const meta = parse(value)
  expect(() => parseThanosFiles(meta)).toThrow(message)
  expect(() => parseThanosFiles(meta)).toThrow(expect.objectContaining({ code: 'DAMAGED' }))
})

test.each([
  ['the name of another block', { ...plain, ulid: other }, /says that it is block 01M7Y7RS8GH5XS91X60VT2XS79/],
  ['version 2', { ...plain, version: 2 }, /version/],
  ['an empty range', { ...plain, maxTime: plain.minTime }, /empty time range/],
  ['no range', { ...plain, minTime: undefined }, /minTime/],
  ['a time that is no integer', { ...plain, minTime: 0.5 }, /minTime/],
  ['a time in text', { ...plain, minTime: '0' }, /minTime/],
  ['a negative count', { ...plain, stats: { numSamples: -1 } }, /stats.numSamples/],
  ['a source that is no ULID', { ...plain, compaction: { level: 1, sources: ['../../x'] } }, /compaction.sources.0: not a ULID/],
  ['no compaction', { ...plain, compaction: undefined }, /compaction/],
  ['a list in place of an object', [], /the document/],
  ['null in place of an object', null, /the document/],
])('meta.json with %s is damaged', (_, value, message) => {
  expect(() => parse(value)).toThrow(message)
  expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'DAMAGED' }))
})

test.each(['minTime', 'numSamples', 'somethingNew'])('a number in %s that would be rounded is refused', (field) => {
  const number = '9223372036854775807'
  const text = JSON.stringify({ ...plain, [field]: 'HERE' }).replace('"HERE"', number)
  expect(() => parseBlockMeta(text, ulid)).toThrow(/9223372036854775807, which is too large to be kept exactly/)
})

test('large numbers in text are text', () => {
  expect(parse({ ...plain, note: '9223372036854775807', 'key "9223372036854775807': '\\' })).toMatchObject({ note: '9223372036854775807' })
})

test('a directory that is not named after a ULID, text that is no JSON and a huge file are damaged', () => {
  expect(() => parseBlockMeta(JSON.stringify(plain), '../x')).toThrow(/not a ULID/)
  expect(() => parseBlockMeta('{"ulid":', ulid)).toThrow(/is not JSON/)
  expect(() => parseBlockMeta(JSON.stringify({ ...plain, pad: 'x'.repeat(5 << 20) }), ulid)).toThrow(/characters, more than/)
  expect(parse({ ...plain, pad: '"\\'.repeat(1 << 19) }).ulid).toBe(ulid)
})

test('any text gives a meta or DAMAGED, nothing else', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      expect(() => parseBlockMeta(text, ulid)).toThrow(expect.objectContaining({ code: 'DAMAGED' }))
    }),
  )
})
