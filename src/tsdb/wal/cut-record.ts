import { RecordBuilder } from './record-builder.ts'
import { RecordCursor } from './record-cursor.ts'
import { isTimed, recordCodes, timedLayouts, type TimedRecordType } from './record-types.ts'
import { type RecordSummary, scanRecord, skipEntryBody } from './scan-record.ts'
import { TimedEntries, TimedEntriesBuilder } from './timed-entries.ts'
import { readTombstones, type TombstoneEntry, writeTombstones } from './tombstones-record.ts'
import type { RecordPosition } from './wal-damage.ts'

export interface CutRules {
  /** Samples, histograms and exemplars later than this go; one at this very millisecond stays. */
  atMs: number
  /** What becomes of a deletion: itself, a narrower one, or undefined to drop it. */
  tombstone: (tombstone: TombstoneEntry, position: RecordPosition) => TombstoneEntry | undefined
  /** Records of types that this version does not know: kept ones may hold samples later than the cut, dropped ones may be missed. */
  unknown: 'keep' | 'drop'
  /** References into `chunks_head/`: to be dropped where that does not come along, since they would clear samples. */
  mmapMarkers: 'keep' | 'drop'
}

export interface CutTally {
  kept: number
  dropped: number
}

export interface CutCounts {
  /** Float samples and histograms. */
  samples: CutTally
  exemplars: CutTally
  tombstones: CutTally
  mmapMarkers: CutTally
  series: number
  metadata: number
  /** Records, by the type's code. */
  unknown: Map<number, CutTally>
  /** Of the samples and histograms kept. */
  newestSampleMs: number | undefined
}

/**
 * Cuts a log at a moment, record by record. What stays is what was there: records wholly before the cut pass unchanged, of
 * others the values, histograms and labels of the entries that stay are copied bit for bit under new heads. Series, metadata
 * and `minValidTime` always stay. A tombstone narrowed by its rule counts as kept.
 */
export class RecordCutter {
  readonly counts: CutCounts = {
    samples: { kept: 0, dropped: 0 },
    exemplars: { kept: 0, dropped: 0 },
    tombstones: { kept: 0, dropped: 0 },
    mmapMarkers: { kept: 0, dropped: 0 },
    series: 0,
    metadata: 0,
    unknown: new Map(),
    newestSampleMs: undefined,
  }
  readonly #rules: CutRules

  constructor(rules: CutRules) {
    this.#rules = rules
  }

  /**
   * What is left of the record; undefined when nothing is.
   * @throws DAMAGED when the record does not follow its format, or must be re-encoded and has a ref or time beyond ±2^53
   */
  cut(content: Uint8Array, position: RecordPosition): Uint8Array | undefined {
    const summary = scanRecord(content, position)
    const { type, entries } = summary
    if (isTimed(type)) return this.#cutTimed(content, position, { ...summary, type })
    switch (type) {
      case 'empty':
        return undefined
      case 'unknown':
        return this.#whole(content, { keep: this.#rules.unknown === 'keep', entries: 1, tally: this.#unknownTally(content[0]!) })
      case 'mmapMarkers':
        return this.#whole(content, { keep: this.#rules.mmapMarkers === 'keep', entries, tally: this.counts.mmapMarkers })
      case 'tombstones':
        return this.#cutTombstones(content, position)
      case 'series':
      case 'metadata':
        this.counts[type] += entries
        return entries === 0 ? undefined : content
      default:
        return content
    }
  }

  #whole(content: Uint8Array, { keep, entries, tally }: { keep: boolean; entries: number; tally: CutTally }): Uint8Array | undefined {
    tally[keep ? 'kept' : 'dropped'] += entries
    return keep && entries > 0 ? content : undefined
  }

  #cutTimed(content: Uint8Array, position: RecordPosition, summary: RecordSummary & { type: TimedRecordType }): Uint8Array | undefined {
    const { type, entries, minTimestampMs = Infinity, maxTimestampMs = -Infinity } = summary
    const { atMs } = this.#rules
    if (entries === 0) return undefined
    if (maxTimestampMs <= atMs) return this.#count(type, { kept: entries, of: entries, newestMs: maxTimestampMs }, content)
    if (minTimestampMs > atMs) return this.#count(type, { kept: 0, of: entries, newestMs: -Infinity }, undefined)
    return this.#reencode(content, position, summary)
  }

  #reencode(content: Uint8Array, position: RecordPosition, { type, entries }: { type: TimedRecordType; entries: number }): Uint8Array {
    const { heads, body } = timedLayouts[type]
    const cursor = new RecordCursor(content, position, 1)
    const walk = new TimedEntries(cursor, heads)
    const builder = new RecordBuilder().byte(recordCodes[type])
    const kept = new TimedEntriesBuilder(builder, heads)
    let keptEntries = 0
    let newestMs = -Infinity
    while (walk.next()) {
      walk.checkExact()
      const bodyAt = cursor.at
      skipEntryBody(cursor, body)
      if (walk.timestampMs > this.#rules.atMs) continue
      kept.head(walk)
      builder.bytes(content.subarray(bodyAt, cursor.at))
      keptEntries++
      newestMs = Math.max(newestMs, walk.timestampMs)
    }
    return this.#count(type, { kept: keptEntries, of: entries, newestMs }, builder.finish())
  }

  #count<T extends Uint8Array | undefined>(type: TimedRecordType, { kept, of, newestMs }: { kept: number; of: number; newestMs: number }, left: T): T {
    const tally = type === 'exemplars' ? this.counts.exemplars : this.counts.samples
    tally.kept += kept
    tally.dropped += of - kept
    if (type !== 'exemplars' && kept > 0) this.counts.newestSampleMs = Math.max(this.counts.newestSampleMs ?? newestMs, newestMs)
    return left
  }

  #cutTombstones(content: Uint8Array, position: RecordPosition): Uint8Array | undefined {
    const before = readTombstones(new RecordCursor(content, position, 1))
    const after = before.flatMap((tombstone) => this.#rules.tombstone(tombstone, position) ?? [])
    this.counts.tombstones.kept += after.length
    this.counts.tombstones.dropped += before.length - after.length
    if (after.length === 0) return undefined
    if (after.length === before.length && after.every((tombstone, i) => tombstone === before[i])) return content
    const builder = new RecordBuilder().byte(recordCodes.tombstones)
    writeTombstones(builder, after)
    return builder.finish()
  }

  #unknownTally(code: number): CutTally {
    const tally = this.counts.unknown.get(code) ?? { kept: 0, dropped: 0 }
    this.counts.unknown.set(code, tally)
    return tally
  }
}
