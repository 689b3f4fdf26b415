import fc from 'fast-check'
import type { FloatHistogram, IntegerHistogram } from '../../src/tsdb/wal/histogram.ts'
import type { WalRecord } from '../../src/tsdb/wal/record-codec.ts'

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
/** Special doubles often: stale marker, NaN, infinities, zeros. */
const bits = fc.oneof(fc.constantFrom(0x7ff0000000000002n, 0x7ff8000000000001n, 0x7ff0000000000000n, 0xfff0000000000000n, 0n, 1n << 63n), uint64)
const ref = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 2 ** 40 }))
const timestampMs = fc.oneof(fc.integer({ min: 1_700_000_000_000, max: 1_700_000_100_000 }), fc.integer({ min: -(2 ** 50), max: 2 ** 50 }))
const label = fc.tuple(fc.string({ maxLength: 20 }), fc.string({ unit: 'binary', maxLength: 40 }))
const labels = fc.array(label, { maxLength: 6 })
const head = { ref, timestampMs, startTimestampMs: fc.constant(0) }
const startTimestampMs = fc.oneof(fc.constant(0), fc.constantFrom(1_700_000_000_000, 1_700_000_000_001), timestampMs)
const headV2 = { ...head, startTimestampMs }
const spans = fc.array(fc.record({ offset: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), length: fc.nat(2 ** 31 - 1) }), { maxLength: 4 })
const values = fc.array(bits, { maxLength: 6 })
const shape = { counterResetHint: fc.nat(3), zeroThresholdBits: bits, sumBits: bits, positiveSpans: spans, negativeSpans: spans }
const schema = fc.integer({ min: -4, max: 8 })
const exponential = { ...shape, schema, customValueBits: fc.constant([]) }
const custom = { ...shape, schema: fc.constant(-53), customValueBits: values }
const deltas = fc.array(int64, { maxLength: 6 })
const integers = { kind: fc.constant('integer' as const), zeroCount: uint64, count: uint64, positiveBuckets: deltas, negativeBuckets: deltas }
const floats = { kind: fc.constant('float' as const), zeroCountBits: bits, countBits: bits, positiveBucketBits: values, negativeBucketBits: values }

export const integerHistogram: fc.Arbitrary<IntegerHistogram> = fc.oneof(fc.record({ ...exponential, ...integers }), fc.record({ ...custom, ...integers }))
export const floatHistogram: fc.Arbitrary<FloatHistogram> = fc.oneof(fc.record({ ...exponential, ...floats }), fc.record({ ...custom, ...floats }))

function many<T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> {
  return fc.array(one, { maxLength: 30 })
}

function samples<T extends 'samples' | 'samplesV2'>(type: T): fc.Arbitrary<WalRecord> {
  return many(fc.record({ ...(type === 'samplesV2' ? headV2 : head), valueBits: bits })).map((entries) => ({ type, samples: entries }))
}

const histogramTypes = [
  ['histograms', integerHistogram],
  ['customBucketHistograms', integerHistogram],
  ['histogramsV2', integerHistogram],
  ['floatHistograms', floatHistogram],
  ['customBucketFloatHistograms', floatHistogram],
  ['floatHistogramsV2', floatHistogram],
] as const

/** A record of each type, by type. */
export const recordsByType: Record<Exclude<WalRecord['type'], 'unknown' | 'empty'>, fc.Arbitrary<WalRecord>> = {
  series: many(fc.record({ ref, labels })).map((series) => ({ type: 'series', series })),
  samples: samples('samples'),
  samplesV2: samples('samplesV2'),
  tombstones: many(fc.record({ ref, mint: int64, maxt: int64 })).map((tombstones) => ({ type: 'tombstones', tombstones })),
  exemplars: many(fc.record({ ...head, valueBits: bits, labels })).map((exemplars) => ({ type: 'exemplars', exemplars })),
  mmapMarkers: many(fc.record({ ref, chunkRef: uint64 })).map((markers) => ({ type: 'mmapMarkers', markers })),
  metadata: many(fc.record({ ref, metricType: fc.nat(255), fields: labels })).map((metadata) => ({ type: 'metadata', metadata })),
  minValidTime: int64.map((value) => ({ type: 'minValidTime', timestampMs: value })),
  ...(Object.fromEntries(
    histogramTypes.map(([type, histogram]) => [
      type,
      many(fc.record({ ...(type.endsWith('V2') ? headV2 : head), histogram })).map((histograms): WalRecord => ({ type, histograms })),
    ]),
  ) as Record<(typeof histogramTypes)[number][0], fc.Arbitrary<WalRecord>>),
}

export const unknownRecord: fc.Arbitrary<WalRecord> = fc
  .tuple(fc.integer({ min: 15, max: 255 }), fc.uint8Array({ maxLength: 50 }))
  .map(([code, rest]) => ({ type: 'unknown', code, content: Uint8Array.of(code, ...rest) }))

export const anyRecord: fc.Arbitrary<WalRecord> = fc.oneof(...Object.values(recordsByType), unknownRecord, fc.constant<WalRecord>({ type: 'empty' }))

/** Contents as a log carries them: a few bytes to a few pages, well and badly compressible. */
export const recordContent: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  { weight: 1, arbitrary: fc.tuple(fc.nat(100_000), fc.nat(255)).map(([length, byte]) => new Uint8Array(length).fill(byte)) },
  { weight: 1, arbitrary: fc.tuple(fc.nat(70_000), fc.nat()).map(([length, seed]) => noise(length, seed)) },
)

/** Bytes that no compression makes shorter. */
export function noise(length: number, seed: number): Uint8Array {
  let state = seed | 1
  return Uint8Array.from({ length }, () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9
    return (state >>> 16) & 255
  })
}
