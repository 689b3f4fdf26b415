/**
 * What the first byte of a record says it holds (tsdb/record of Prometheus). Types 1 to 8 as of 2.42, 9 and 10 as of 3.0, 11 to
 * 13 with start times and 14 (in checkpoints only) later. Servers ignore the types they do not know.
 */
export const recordCodes = {
  series: 1,
  samples: 2,
  tombstones: 3,
  exemplars: 4,
  mmapMarkers: 5,
  metadata: 6,
  histograms: 7,
  floatHistograms: 8,
  customBucketHistograms: 9,
  customBucketFloatHistograms: 10,
  samplesV2: 11,
  histogramsV2: 12,
  floatHistogramsV2: 13,
  minValidTime: 14,
} as const

export type RecordType = keyof typeof recordCodes

const types = new Map<number, RecordType>(Object.entries(recordCodes).map(([type, code]) => [code, type as RecordType]))

/** `empty`: a record without bytes, which some servers log and all ignore. */
export function recordTypeOf(content: Uint8Array): RecordType | 'unknown' | 'empty' {
  const code = content[0]
  return code === undefined ? 'empty' : (types.get(code) ?? 'unknown')
}

/** How the entries of records that carry samples begin, and what follows the beginning. */
export interface TimedLayout {
  heads: 'v1' | 'v2'
  body: 'value' | 'exemplar' | 'histogram' | 'floatHistogram'
}

export const timedLayouts = {
  samples: { heads: 'v1', body: 'value' },
  exemplars: { heads: 'v1', body: 'exemplar' },
  histograms: { heads: 'v1', body: 'histogram' },
  floatHistograms: { heads: 'v1', body: 'floatHistogram' },
  customBucketHistograms: { heads: 'v1', body: 'histogram' },
  customBucketFloatHistograms: { heads: 'v1', body: 'floatHistogram' },
  samplesV2: { heads: 'v2', body: 'value' },
  histogramsV2: { heads: 'v2', body: 'histogram' },
  floatHistogramsV2: { heads: 'v2', body: 'floatHistogram' },
} as const satisfies Partial<Record<RecordType, TimedLayout>>

export type TimedRecordType = keyof typeof timedLayouts

export function isTimed(type: string): type is TimedRecordType {
  return Object.hasOwn(timedLayouts, type)
}
