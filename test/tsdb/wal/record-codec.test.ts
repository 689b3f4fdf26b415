import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeRecord, encodeRecord, type WalRecord } from '../../../src/tsdb/wal/record-codec.ts'
import { scanRecord } from '../../../src/tsdb/wal/scan-record.ts'
import { anyRecord, recordsByType } from '../../support/wal-records.ts'

const position = { file: 'wal/00000007', startOffset: 4711 }
const damaged = expect.objectContaining({ code: 'DAMAGED', message: expect.stringContaining('wal/00000007 is damaged at byte 4711'), details: { file: 'wal/00000007', offset: 4711 } })

/** `01 ff "ab"`: bytes in hex and text. */
function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.concat([...text.matchAll(/"([^"]*)"|([0-9a-f]+)/g)].map(([, quoted, hex]) => (quoted !== undefined ? Buffer.from(quoted) : Buffer.from(hex!, 'hex')))))
}

const one = '3ff0000000000000'
const oneBits = 0x3ff0000000000000n

// Made by hand from the format's description, so that reading and writing cannot be wrong in the same way.
const examples: [string, WalRecord, string][] = [
  ['series', { type: 'series', series: [{ ref: 258, labels: [['__name__', 'up'], ['a', '']] }, { ref: 3, labels: [] }] }, '01 0000000000000102 02 08 "__name__" 02 "up" 01 "a" 00 0000000000000003 00'],
  [
    'samples before and below the first',
    {
      type: 'samples',
      samples: [
        { ref: 300, timestampMs: 1000, startTimestampMs: 0, valueBits: oneBits },
        { ref: 299, timestampMs: 935, startTimestampMs: 0, valueBits: 0x7ff0000000000002n },
        { ref: 100, timestampMs: 1064, startTimestampMs: 0, valueBits: 1n << 63n },
      ],
    },
    `02 000000000000012c 00000000000003e8 00 00 ${one} 01 8101 7ff0000000000002 8f03 8001 8000000000000000`,
  ],
  ['samples before 1970', { type: 'samples', samples: [{ ref: 1, timestampMs: -2, startTimestampMs: 0, valueBits: 0n }] }, '02 0000000000000001 fffffffffffffffe 00 00 0000000000000000'],
  ['tombstones', { type: 'tombstones', tombstones: [{ ref: 5, mint: -1n, maxt: 64n }] }, '03 0000000000000005 01 8001'],
  ['exemplars', { type: 'exemplars', exemplars: [{ ref: 5, timestampMs: 9, startTimestampMs: 0, valueBits: oneBits, labels: [['t', 'x']] }] }, `04 0000000000000005 0000000000000009 00 00 ${one} 01 01 "t" 01 "x"`],
  ['mmap markers', { type: 'mmapMarkers', markers: [{ ref: 5, chunkRef: 0x0000000100000008n }] }, '05 0000000000000005 0000000100000008'],
  ['metadata', { type: 'metadata', metadata: [{ ref: 300, metricType: 1, fields: [['UNIT', 's'], ['HELP', 'hi']] }] }, '06 ac02 01 02 04 "UNIT" 01 "s" 04 "HELP" 02 "hi"'],
  [
    'integer histograms',
    {
      type: 'histograms',
      histograms: [
        {
          ref: 1,
          timestampMs: 7,
          startTimestampMs: 0,
          histogram: { kind: 'integer', counterResetHint: 2, schema: -1, zeroThresholdBits: 0n, zeroCount: 3n, count: 200n, sumBits: oneBits, positiveSpans: [{ offset: -3, length: 2 }], negativeSpans: [], positiveBuckets: [5n, -4n], negativeBuckets: [], customValueBits: [] },
        },
      ],
    },
    `07 0000000000000001 0000000000000007 00 00 02 01 0000000000000000 03 c801 ${one} 01 05 02 00 02 0a 07 00`,
  ],
  [
    'float histograms with custom buckets',
    {
      type: 'customBucketFloatHistograms',
      histograms: [
        {
          ref: 1,
          timestampMs: 7,
          startTimestampMs: 0,
          histogram: { kind: 'float', counterResetHint: 0, schema: -53, zeroThresholdBits: 0n, zeroCountBits: 1n, countBits: 2n, sumBits: oneBits, positiveSpans: [{ offset: 0, length: 1 }], negativeSpans: [], positiveBucketBits: [oneBits], negativeBucketBits: [], customValueBits: [oneBits] },
        },
      ],
    },
    `0a 0000000000000001 0000000000000007 00 00 00 69 0000000000000000 0000000000000001 0000000000000002 ${one} 01 00 01 00 01 ${one} 00 01 ${one}`,
  ],
  [
    'samples with start times: none, as before, another',
    {
      type: 'samplesV2',
      samples: [
        { ref: 3, timestampMs: 100, startTimestampMs: 50, valueBits: oneBits },
        { ref: 2, timestampMs: 99, startTimestampMs: 50, valueBits: oneBits },
        { ref: 9, timestampMs: 101, startTimestampMs: 0, valueBits: oneBits },
        { ref: 9, timestampMs: 102, startTimestampMs: 49, valueBits: oneBits },
      ],
    },
    `0b 06 c801 64 ${one} 01 01 01 ${one} 0e 02 00 ${one} 00 04 02 01 ${one}`,
  ],
  ['the bound of a checkpoint', { type: 'minValidTime', timestampMs: -2n }, '0e fffffffffffffffe'],
  ['a type of the future', { type: 'unknown', code: 99, content: bytes('63 01 02') }, '63 01 02'],
  ['nothing', { type: 'empty' }, ''],
]

describe('the formats', () => {
  test.each(examples)('%s', (_, record, hex) => {
    expect(Buffer.from(encodeRecord(record)).toString('hex')).toBe(Buffer.from(bytes(hex)).toString('hex'))
    expect(decodeRecord(bytes(hex), position)).toEqual(record)
  })

  test('entries against a base that is none of theirs, as Prometheus writes beside custom-bucket histograms', () => {
    expect(decodeRecord(bytes(`02 0000000000000064 0000000000000064 01 02 ${one}`), position)).toEqual({ type: 'samples', samples: [{ ref: 99, timestampMs: 101, startTimestampMs: 0, valueBits: oneBits }] })
  })

  test('any start marker but 0 and 1 announces a difference', () => {
    const record = bytes(`0b 06 c801 64 ${one} 01 01 07 01 ${one}`)
    expect(decodeRecord(record, position)).toMatchObject({ samples: [{ startTimestampMs: 50 }, { startTimestampMs: 49 }] })
  })

  test('a record of samples may have none, with a base or without', () => {
    for (const hex of ['02', '02 0000000000000001 0000000000000001', '0b', '07', '04']) expect(scanRecord(bytes(hex), position)).toMatchObject({ entries: 0 })
  })
})

describe('every type', () => {
  test.each(Object.entries(recordsByType))('%s come back as they were written, bit for bit, and are counted and timed without being decoded', (type, arbitrary) => {
    fc.assert(
      fc.property(arbitrary, (record) => {
        const content = encodeRecord(record)
        expect(decodeRecord(content, position)).toEqual(record)
        expect(encodeRecord(decodeRecord(content, position))).toEqual(content)
        const entries = Object.values(record).find(Array.isArray) as { ref: number; timestampMs?: number }[] | undefined
        const summary = scanRecord(content, position)
        expect(summary).toMatchObject({ type, code: content[0], entries: entries?.length ?? 1 })
        const times = (entries ?? []).flatMap((entry) => entry.timestampMs ?? [])
        expect(summary.minTimestampMs).toBe(times.length === 0 ? undefined : Math.min(...times))
        expect(summary.maxTimestampMs).toBe(times.length === 0 ? undefined : Math.max(...times))
      }),
    )
  })

  test('a visitor sees the series and time of every sample', () => {
    fc.assert(
      fc.property(fc.oneof(recordsByType.samples, recordsByType.samplesV2), (record) => {
        const seen: [number, number][] = []
        scanRecord(encodeRecord(record), position, (ref, timestampMs) => void seen.push([ref, timestampMs]))
        expect(seen).toEqual((record as { samples: { ref: number; timestampMs: number }[] }).samples.map(({ ref, timestampMs }) => [ref, timestampMs]))
      }),
    )
  })
})

describe('hostile content', () => {
  test('no prefix of a record is taken for the record, or makes anything but damage', () => {
    fc.assert(
      fc.property(anyRecord, (record) => {
        const content = encodeRecord(record)
        if (record.type === 'unknown') return
        for (let length = 1; length < content.length; length++) {
          const prefix = content.subarray(0, length)
          const entries = outcome(() => scanRecord(prefix, position).entries)
          const decoded = outcome(() => decodeRecord(prefix, position))
          // A record cut between two entries is a record with fewer of them.
          expect(entries === undefined).toBe(decoded === undefined)
          if (entries !== undefined) expect(entries).toBeLessThan(scanRecord(content, position).entries + 1)
        }
      }),
      { numRuns: 60 },
    )
  })

  test('random bytes are decoded or damaged, never anything else, and scanning agrees with decoding', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 14 }), fc.uint8Array({ maxLength: 120 }), (code, rest) => {
        const content = Uint8Array.of(code, ...rest)
        const scanned = outcome(() => scanRecord(content, position))
        const decoded = outcome(() => decodeRecord(content, position))
        if (scanned === undefined) expect(decoded).toBeUndefined()
      }),
      { numRuns: 3000 },
    )
  })

  test.each([
    ['a string longer than the record', '01 0000000000000001 01 ffffffff0f "a"'],
    ['more labels than there are bytes', '01 0000000000000001 ffffffffffffffff7f'],
    ['more spans than there are bytes', `07 0000000000000001 0000000000000007 00 00 02 01 0000000000000000 03 c801 ${one} ffffff7f`],
    ['a number of eleven bytes', '02 0000000000000001 0000000000000007 ffffffffffffffffffff01 00'],
    ['a number of 65 bits', '02 0000000000000001 0000000000000007 ffffffffffffffffff02 00'],
    ['half a base', '02 00000000'],
    ['half a value', '02 0000000000000001 0000000000000007 00 00 00000000'],
    ['more after a checkpoint’s bound', '0e 000000000000000000'],
    ['half a metadata field', '06 01 01 02 04 "UNIT" 01 "s"'],
  ])('%s is damage', (_, hex) => {
    expect(() => decodeRecord(bytes(hex), position)).toThrow(damaged)
  })

  test('a time beyond ±2^53 is refused where it would be rounded, and passed where only its order counts', () => {
    const nanoseconds = bytes(`02 0000000000000001 17979cfe362a0000 00 00 ${one} 00 c801 ${one}`)
    expect(() => decodeRecord(nanoseconds, position)).toThrow(damaged)
    expect(scanRecord(nanoseconds, position)).toMatchObject({ entries: 2, minTimestampMs: 1.7e18 })
    const nanosecondsLater = bytes(`02 0000000000000001 0000018bcfe56800 00 00 ${one} 00 8080a8d8c6bfce972f ${one}`)
    expect(() => decodeRecord(nanosecondsLater, position)).toThrow(damaged)
  })

  test('what a number cannot hold is not written', () => {
    const sample = { ref: 1, timestampMs: 1, startTimestampMs: 0, valueBits: 0n }
    for (const wrong of [{ timestampMs: 0.5 }, { ref: 2 ** 53 }, { timestampMs: Number.NaN }, { ref: -1 }]) {
      expect(() => encodeRecord({ type: 'samples', samples: [{ ...sample, ...wrong }] })).toThrow(RangeError)
    }
    expect(() => encodeRecord({ type: 'tombstones', tombstones: [{ ref: 1, mint: 2n ** 63n, maxt: 0n }] })).toThrow(RangeError)
  })
})

/** Undefined for damage; anything else that is thrown fails the test. */
function outcome<T>(use: () => T): T | undefined {
  try {
    return use()
  } catch (error) {
    expect(error).toEqual(damaged)
    return undefined
  }
}
