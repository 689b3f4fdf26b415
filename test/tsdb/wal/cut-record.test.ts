import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CutRules, RecordCutter } from '../../../src/tsdb/wal/cut-record.ts'
import { decodeRecord, encodeRecord, type WalRecord } from '../../../src/tsdb/wal/record-codec.ts'
import { anyRecord, recordsByType, unknownRecord } from '../../support/wal-records.ts'

const position = { file: '00000003', startOffset: 12 }
const keepAll: CutRules = { atMs: 0, tombstone: (tombstone) => tombstone, unknown: 'keep', mmapMarkers: 'keep' }

function cutterAt(atMs: number, rules: Partial<CutRules> = {}): RecordCutter {
  return new RecordCutter({ ...keepAll, ...rules, atMs })
}

interface Timed {
  timestampMs: number
}

/** The entries of a record with samples; undefined for others. */
function timedEntries(record: WalRecord): Timed[] | undefined {
  if (record.type === 'samples' || record.type === 'samplesV2') return record.samples
  if (record.type === 'exemplars') return record.exemplars
  return 'histograms' in record ? record.histograms : undefined
}

function withEntries(record: WalRecord, entries: Timed[]): WalRecord {
  const list = 'samples' in record ? 'samples' : 'exemplars' in record ? 'exemplars' : 'histograms'
  return { ...record, [list]: entries } as WalRecord
}

test('of every record with samples, exactly those at or before the moment stay, bit for bit', () => {
  const timed = fc.oneof(...Object.entries(recordsByType).flatMap(([type, arbitrary]) => (/samples|histograms|exemplars/i.test(type) ? [arbitrary] : [])))
  let cutThrough = 0
  fc.assert(
    fc.property(timed, fc.nat(29), fc.constantFrom(-1, 0, 1), (record, index, near) => {
      const entries = timedEntries(record)!
      const atMs = (entries[index % Math.max(entries.length, 1)]?.timestampMs ?? 0) + near
      const stays = entries.filter(({ timestampMs }) => timestampMs <= atMs)
      const cutter = cutterAt(atMs)
      const content = encodeRecord(record)
      const left = cutter.cut(content, position)
      if (stays.length === 0) expect(left).toBeUndefined()
      else expect(left).toEqual(encodeRecord(withEntries(record, stays)))
      if (stays.length === entries.length && stays.length > 0) expect(left).toBe(content)
      if (stays.length > 0 && stays.length < entries.length) cutThrough++
      const tally = { kept: stays.length, dropped: entries.length - stays.length }
      expect(record.type === 'exemplars' ? cutter.counts.exemplars : cutter.counts.samples).toEqual(tally)
      if (record.type !== 'exemplars' && stays.length > 0) expect(cutter.counts.newestSampleMs).toBe(Math.max(...stays.map(({ timestampMs }) => timestampMs)))
    }),
    { numRuns: 400 },
  )
  expect(cutThrough).toBeGreaterThan(50)
})

test('cutting twice at the same moment changes nothing more', () => {
  fc.assert(
    fc.property(anyRecord, fc.integer({ min: 1_699_999_999_999, max: 1_700_000_100_001 }), (record, atMs) => {
      const once = cutterAt(atMs).cut(encodeRecord(record), position)
      if (once !== undefined) expect(cutterAt(atMs).cut(once, position)).toBe(once)
    }),
  )
})

test('series, metadata and the bound of a checkpoint always stay as they are', () => {
  for (const type of ['series', 'metadata', 'minValidTime'] as const) {
    fc.assert(
      fc.property(recordsByType[type], (record) => {
        const content = encodeRecord(record)
        const cutter = cutterAt(-Infinity)
        const count = Object.values(record).find(Array.isArray)?.length ?? 1
        expect(cutter.cut(content, position)).toBe(count === 0 ? undefined : content)
        if (type !== 'minValidTime') expect(cutter.counts[type]).toBe(count)
      }),
      { numRuns: 30 },
    )
  }
})

describe('deletions', () => {
  const tombstones = [1, 2, 3].map((ref) => ({ ref, mint: -5n, maxt: 10n * BigInt(ref) }))
  const content = encodeRecord({ type: 'tombstones', tombstones })

  test('are what the rule makes of each of them', () => {
    const positions: unknown[] = []
    const cutter = cutterAt(0, {
      tombstone: (tombstone, at) => {
        positions.push(at)
        return tombstone.ref === 1 ? undefined : tombstone.ref === 2 ? { ...tombstone, maxt: 7n } : tombstone
      },
    })
    expect(decodeRecord(cutter.cut(content, position)!, position)).toEqual({ type: 'tombstones', tombstones: [{ ...tombstones[1], maxt: 7n }, tombstones[2]] })
    expect(cutter.counts.tombstones).toEqual({ kept: 2, dropped: 1 })
    expect(positions).toEqual([position, position, position])
  })

  test('stay untouched or go as a whole where the rule says so', () => {
    expect(cutterAt(0).cut(content, position)).toBe(content)
    expect(cutterAt(0, { tombstone: () => undefined }).cut(content, position)).toBeUndefined()
  })
})

test('unknown types and mmap markers are kept or dropped by their rules, and counted', () => {
  fc.assert(
    fc.property(unknownRecord, fc.constantFrom('keep' as const, 'drop' as const), (record, unknown) => {
      const content = encodeRecord(record)
      const cutter = cutterAt(0, { unknown })
      expect(cutter.cut(content, position)).toBe(unknown === 'keep' ? content : undefined)
      expect(cutter.counts.unknown).toEqual(new Map([[content[0], unknown === 'keep' ? { kept: 1, dropped: 0 } : { kept: 0, dropped: 1 }]]))
    }),
    { numRuns: 30 },
  )
  const markers = encodeRecord({ type: 'mmapMarkers', markers: [{ ref: 1, chunkRef: 8n }, { ref: 2, chunkRef: 9n }] })
  const dropping = cutterAt(0, { mmapMarkers: 'drop' })
  expect(dropping.cut(markers, position)).toBeUndefined()
  expect(dropping.counts.mmapMarkers).toEqual({ kept: 0, dropped: 2 })
  expect(cutterAt(0).cut(markers, position)).toBe(markers)
})

test('records without content go', () => {
  const cutter = cutterAt(0)
  for (const record of [[], [2], [1], [3], [7], [4], [11], [5]]) expect(cutter.cut(Uint8Array.from(record), position)).toBeUndefined()
  expect(cutter.counts.unknown.size).toBe(0)
})

test('a histogram of a schema that nobody knows is cut as any other', () => {
  const histogram = { kind: 'integer' as const, counterResetHint: 9, schema: 77, zeroThresholdBits: 1n, zeroCount: 2n ** 64n - 1n, count: 3n, sumBits: 0x7ff0000000000002n, positiveSpans: [], negativeSpans: [{ offset: -9, length: 1 }], positiveBuckets: [], negativeBuckets: [-(2n ** 63n)], customValueBits: [] }
  const histograms = [5, 6].map((timestampMs) => ({ ref: timestampMs, timestampMs, startTimestampMs: 0, histogram }))
  const left = cutterAt(5).cut(encodeRecord({ type: 'histograms', histograms }), position)
  expect(decodeRecord(left!, position)).toEqual({ type: 'histograms', histograms: [histograms[0]] })
})

test('a record that does not follow its format is damage, and nothing of it passes', () => {
  expect(() => cutterAt(2 ** 50).cut(Uint8Array.of(2, 1, 2, 3), position)).toThrow(expect.objectContaining({ code: 'DAMAGED', details: { file: '00000003', offset: 12 } }))
})
