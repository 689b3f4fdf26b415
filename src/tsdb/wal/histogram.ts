import type { RecordBuilder } from './record-builder.ts'
import type { RecordCursor } from './record-cursor.ts'

export interface HistogramSpan {
  offset: number
  length: number
}

interface HistogramShape {
  /** 0 unknown, 1 reset, 2 none, 3 gauge. */
  counterResetHint: number
  /** -4…8 exponential, -53 custom buckets. */
  schema: number
  zeroThresholdBits: bigint
  sumBits: bigint
  positiveSpans: readonly HistogramSpan[]
  negativeSpans: readonly HistogramSpan[]
  /** The bits of the bounds of custom buckets; empty for other schemas. */
  customValueBits: readonly bigint[]
}

export interface IntegerHistogram extends HistogramShape {
  kind: 'integer'
  zeroCount: bigint
  count: bigint
  /** As stored: the first absolute, the others differences to the one before. */
  positiveBuckets: readonly bigint[]
  negativeBuckets: readonly bigint[]
}

export interface FloatHistogram extends HistogramShape {
  kind: 'float'
  zeroCountBits: bigint
  countBits: bigint
  positiveBucketBits: readonly bigint[]
  negativeBucketBits: readonly bigint[]
}

const customBucketsSchema = -53

/**
 * Counter reset hint byte, varint schema, zero threshold f64, zero count and count (uvarint, or f64 in float histograms), sum
 * f64, spans (uvarint number, then varint offset and uvarint length of each) positive and negative, buckets (uvarint number,
 * then varint or f64 each) positive and negative, and for custom buckets the bounds (uvarint number, f64 each).
 */
export function readHistogram(cursor: RecordCursor): IntegerHistogram {
  const counterResetHint = cursor.byte()
  const schema = cursor.varint()
  const zeroThresholdBits = cursor.bits64()
  const counts = { zeroCount: cursor.uvarint64(), count: cursor.uvarint64() }
  const sumBits = cursor.bits64()
  const spans = { positiveSpans: readSpans(cursor), negativeSpans: readSpans(cursor) }
  const buckets = { positiveBuckets: readDeltas(cursor), negativeBuckets: readDeltas(cursor) }
  return { kind: 'integer', counterResetHint, schema, zeroThresholdBits, ...counts, sumBits, ...spans, ...buckets, customValueBits: readBounds(cursor, schema) }
}

export function readFloatHistogram(cursor: RecordCursor): FloatHistogram {
  const counterResetHint = cursor.byte()
  const schema = cursor.varint()
  const zeroThresholdBits = cursor.bits64()
  const counts = { zeroCountBits: cursor.bits64(), countBits: cursor.bits64() }
  const sumBits = cursor.bits64()
  const spans = { positiveSpans: readSpans(cursor), negativeSpans: readSpans(cursor) }
  const buckets = { positiveBucketBits: readBits(cursor), negativeBucketBits: readBits(cursor) }
  return { kind: 'float', counterResetHint, schema, zeroThresholdBits, ...counts, sumBits, ...spans, ...buckets, customValueBits: readBounds(cursor, schema) }
}

export function skipHistogram(cursor: RecordCursor, kind: 'integer' | 'float'): void {
  cursor.skip(1)
  const schema = cursor.varint()
  cursor.skip(kind === 'float' ? 32 : 8)
  if (kind === 'integer') {
    skipVarints(cursor, 2)
    cursor.skip(8)
  }
  skipVarints(cursor, 2 * cursor.count(2))
  skipVarints(cursor, 2 * cursor.count(2))
  for (let sign = 0; sign < 2; sign++) {
    if (kind === 'float') cursor.skip(8 * cursor.count(8))
    else skipVarints(cursor, cursor.count(1))
  }
  if (schema === customBucketsSchema) cursor.skip(8 * cursor.count(8))
}

export function writeHistogram(builder: RecordBuilder, histogram: IntegerHistogram | FloatHistogram): void {
  builder.byte(histogram.counterResetHint).varint(histogram.schema).bits64(histogram.zeroThresholdBits)
  if (histogram.kind === 'integer') builder.uvarint64(histogram.zeroCount).uvarint64(histogram.count)
  else builder.bits64(histogram.zeroCountBits).bits64(histogram.countBits)
  builder.bits64(histogram.sumBits)
  for (const spans of [histogram.positiveSpans, histogram.negativeSpans]) {
    builder.uvarint(spans.length)
    for (const { offset, length } of spans) builder.varint(offset).uvarint(length)
  }
  if (histogram.kind === 'integer') {
    for (const deltas of [histogram.positiveBuckets, histogram.negativeBuckets]) {
      builder.uvarint(deltas.length)
      for (const delta of deltas) builder.varint64(delta)
    }
  } else {
    writeBits(builder, histogram.positiveBucketBits)
    writeBits(builder, histogram.negativeBucketBits)
  }
  if (histogram.schema === customBucketsSchema) writeBits(builder, histogram.customValueBits)
}

function readSpans(cursor: RecordCursor): HistogramSpan[] {
  const spans: HistogramSpan[] = []
  for (let left = cursor.count(2); left > 0; left--) spans.push({ offset: cursor.varint(), length: cursor.uvarint() })
  return spans
}

function readDeltas(cursor: RecordCursor): bigint[] {
  const deltas: bigint[] = []
  for (let left = cursor.count(1); left > 0; left--) deltas.push(cursor.varint64())
  return deltas
}

function readBits(cursor: RecordCursor): bigint[] {
  const bits: bigint[] = []
  for (let left = cursor.count(8); left > 0; left--) bits.push(cursor.bits64())
  return bits
}

function readBounds(cursor: RecordCursor, schema: number): bigint[] {
  return schema === customBucketsSchema ? readBits(cursor) : []
}

function writeBits(builder: RecordBuilder, bits: readonly bigint[]): void {
  builder.uvarint(bits.length)
  for (const one of bits) builder.bits64(one)
}

function skipVarints(cursor: RecordCursor, count: number): void {
  for (let left = count; left > 0; left--) cursor.skipVarint()
}
