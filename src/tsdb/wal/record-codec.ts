import { type ExemplarEntry, readExemplars, writeExemplars } from './exemplars-record.ts'
import { type HistogramEntry, readHistograms, writeHistograms } from './histograms-record.ts'
import { type MetadataEntry, readMetadata, writeMetadata } from './metadata-record.ts'
import { readMinValidTime, writeMinValidTime } from './min-valid-time-record.ts'
import { type MmapMarkerEntry, readMmapMarkers, writeMmapMarkers } from './mmap-markers-record.ts'
import { RecordBuilder } from './record-builder.ts'
import { RecordCursor } from './record-cursor.ts'
import { recordCodes, recordTypeOf, timedLayouts } from './record-types.ts'
import { readSamples, type SampleEntry, writeSamples } from './samples-record.ts'
import { readSeries, type SeriesEntry, writeSeries } from './series-record.ts'
import { readTombstones, type TombstoneEntry, writeTombstones } from './tombstones-record.ts'
import type { RecordPosition } from './wal-damage.ts'

type HistogramRecordType = 'histograms' | 'floatHistograms' | 'customBucketHistograms' | 'customBucketFloatHistograms' | 'histogramsV2' | 'floatHistogramsV2'

/** A record's whole content. Refs and times are numbers (below 2^53), everything of 64 meaningful bits is a bigint. */
export type WalRecord =
  | { type: 'series'; series: SeriesEntry[] }
  | { type: 'samples' | 'samplesV2'; samples: SampleEntry[] }
  | { type: 'tombstones'; tombstones: TombstoneEntry[] }
  | { type: 'exemplars'; exemplars: ExemplarEntry[] }
  | { type: 'mmapMarkers'; markers: MmapMarkerEntry[] }
  | { type: 'metadata'; metadata: MetadataEntry[] }
  | { type: HistogramRecordType; histograms: HistogramEntry[] }
  /** In checkpoints of newer servers: samples older than this were left out. */
  | { type: 'minValidTime'; timestampMs: bigint }
  /** Carried as it is: `content` begins with the type's byte. */
  | { type: 'unknown'; code: number; content: Uint8Array }
  | { type: 'empty' }

/** @throws DAMAGED when the content does not follow the format of its type, or has a ref or time beyond ±2^53 */
export function decodeRecord(content: Uint8Array, position: RecordPosition): WalRecord {
  const type = recordTypeOf(content)
  const cursor = new RecordCursor(content, position, 1)
  switch (type) {
    case 'empty':
      return { type }
    case 'unknown':
      return { type, code: content[0]!, content: Uint8Array.from(content) }
    case 'series':
      return { type, series: readSeries(cursor) }
    case 'samples':
    case 'samplesV2':
      return { type, samples: readSamples(cursor, timedLayouts[type].heads) }
    case 'tombstones':
      return { type, tombstones: readTombstones(cursor) }
    case 'exemplars':
      return { type, exemplars: readExemplars(cursor) }
    case 'mmapMarkers':
      return { type, markers: readMmapMarkers(cursor) }
    case 'metadata':
      return { type, metadata: readMetadata(cursor) }
    case 'minValidTime':
      return { type, timestampMs: readMinValidTime(cursor) }
    default:
      return { type, histograms: readHistograms(cursor, timedLayouts[type]) }
  }
}

/** What Prometheus writes for the same entries. @throws RangeError for a number that the format or a JavaScript number cannot hold */
export function encodeRecord(record: WalRecord): Uint8Array {
  if (record.type === 'empty') return new Uint8Array(0)
  if (record.type === 'unknown') return record.content
  const builder = new RecordBuilder().byte(recordCodes[record.type])
  switch (record.type) {
    case 'series':
      writeSeries(builder, record.series)
      break
    case 'samples':
    case 'samplesV2':
      writeSamples(builder, record.samples, timedLayouts[record.type].heads)
      break
    case 'tombstones':
      writeTombstones(builder, record.tombstones)
      break
    case 'exemplars':
      writeExemplars(builder, record.exemplars)
      break
    case 'mmapMarkers':
      writeMmapMarkers(builder, record.markers)
      break
    case 'metadata':
      writeMetadata(builder, record.metadata)
      break
    case 'minValidTime':
      writeMinValidTime(builder, record.timestampMs)
      break
    default:
      writeHistograms(builder, record.histograms, timedLayouts[record.type])
  }
  return builder.finish()
}
