import { createHash } from 'node:crypto'
import { RecordBuilder } from './record-builder.ts'
import { decodeRecord, encodeRecord } from './record-codec.ts'
import { RecordCursor } from './record-cursor.ts'
import { isTimed, recordCodes, recordTypeOf, timedLayouts, type TimedRecordType } from './record-types.ts'
import { scanRecord, skipEntryBody } from './scan-record.ts'
import type { SeriesEntry } from './series-record.ts'
import { TimedEntries, TimedEntriesBuilder } from './timed-entries.ts'
import { type RecordPosition, walDamage } from './wal-damage.ts'

/** Something was logged after the one and seen at the other, ms. */
export interface LoggedWithin {
  loggedAfter: number
  seenAt: number
}

/** Servers count from 1. Up to here, and as far beyond, numbers are exact. */
const mostRef = 2 ** 52

const always: LoggedWithin = { loggedAfter: Number.NEGATIVE_INFINITY, seenAt: Number.POSITIVE_INFINITY }

/**
 * Gives each series of a log one ref, declared once, for a log that reaches further back than its server would ever replay.
 *
 * A server drops a series from its head when its samples are in a block, and logs it anew, under another ref, when it comes back; after
 * a restart it may give a ref that is free again to another series. On replay Prometheus takes everything that it has read of a
 * series for compacted when it is declared again (tsdb/head_wal.go, resetSeriesWithMMappedChunks), and of two series with one ref
 * the later gets the samples of both. Neither can happen in what a server itself replays; both can when the log is replayed
 * onto an older recovery point.
 */
export class SeriesRefs {
  /** Ref of each label set, by a digest of it. */
  readonly #byLabels = new Map<string, number>()
  readonly #taken = new Set<number>()
  /** What a ref means now, where it is not itself. */
  readonly #now = new Map<number, number>()
  /** What a ref meant before it was given to another series, oldest first. */
  readonly #before = new Map<number, { own: number; until: LoggedWithin }[]>()
  #highest = 0
  /** Samples of the log beside it that were left out: which series they are of is not known. */
  unnamedSamples = 0

  /**
   * The record with every ref replaced by its series' own; undefined when nothing is left of it. `logged` says when it was, which counts for
   * declarations. @throws DAMAGED
   */
  map(content: Uint8Array, position: RecordPosition, logged: LoggedWithin = always): Uint8Array | undefined {
    const type = recordTypeOf(content)
    if (type === 'series') return this.#series(content, { ...position, logged })
    if (this.#now.size === 0) return content
    if (isTimed(type)) return this.#timed(content, position, { type, own: (ref) => this.#refOf(ref) })
    const record = decodeRecord(content, position)
    if (record.type === 'tombstones') return encodeRecord({ ...record, tombstones: record.tombstones.map((entry) => ({ ...entry, ref: this.#refOf(entry.ref) })) })
    if (record.type === 'metadata') return encodeRecord({ ...record, metadata: record.metadata.map((entry) => ({ ...entry, ref: this.#refOf(entry.ref) })) })
    return content
  }

  /** The ref that a series has in the written log; undefined for one that is not in it. Its labels are in the order of their names. */
  refOfLabels(labels: SeriesEntry['labels']): number | undefined {
    return this.#byLabels.get(digestOf(labels))
  }

  /**
   * As `map`, for a record of the log beside the one that was mapped before: what its refs meant when it was logged. A sample that may be of either of
   * two series is left out and counted.
   */
  mapBeside(content: Uint8Array, position: RecordPosition, { seenAt }: Pick<LoggedWithin, 'seenAt'>): Uint8Array | undefined {
    const type = recordTypeOf(content)
    if (this.#before.size === 0 || !isTimed(type)) return this.map(content, position)
    return this.#timed(content, position, { type, own: (ref) => this.#refAt(ref, seenAt) })
  }

  #series(content: Uint8Array, position: RecordPosition & { logged: LoggedWithin }): Uint8Array | undefined {
    const record = decodeRecord(content, position)
    if (record.type !== 'series') return content
    const strange = record.series.find(({ ref }) => ref > mostRef)
    if (strange !== undefined) throw walDamage(position.file, position.startOffset, `a record there gives a series the number ${strange.ref}`)
    const left = record.series.flatMap((entry) => this.#declare(entry, position.logged) ?? [])
    if (left.length === 0) return undefined
    return left.length === record.series.length && left.every((entry, at) => entry === record.series[at]) ? content : encodeRecord({ type: 'series', series: left })
  }

  /** The declaration to write; undefined for a series that has been declared. */
  #declare(entry: SeriesEntry, logged: LoggedWithin): SeriesEntry | undefined {
    const { ref, labels } = entry
    this.#highest = Math.max(this.#highest, ref)
    const key = digestOf(labels)
    const known = this.#byLabels.get(key)
    const own = known ?? (this.#taken.has(ref) ? this.#free() : ref)
    const before = this.#now.get(ref) ?? (this.#taken.has(ref) ? ref : own)
    if (before !== own) this.#before.set(ref, [...(this.#before.get(ref) ?? []), { own: before, until: logged }])
    if (own === ref) this.#now.delete(ref)
    else this.#now.set(ref, own)
    if (known !== undefined) return undefined
    this.#byLabels.set(key, own)
    this.#taken.add(own)
    return own === ref ? entry : { ref: own, labels }
  }

  #free(): number {
    do this.#highest += 1
    while (this.#taken.has(this.#highest))
    return this.#highest
  }

  #refOf(ref: number): number {
    return this.#now.get(ref) ?? ref
  }

  /**
   * Undefined when that is not known. A ref gets another meaning at a restart only, long after the last use of the one before, and both logs are
   * looked at together: what was first seen after the declaration was, is of the later series.
   */
  #refAt(ref: number, seenAt: number): number | undefined {
    for (const { own, until } of this.#before.get(ref) ?? []) {
      if (seenAt <= until.loggedAfter) return own
      if (seenAt <= until.seenAt) return undefined
    }
    return this.#refOf(ref)
  }

  #timed(content: Uint8Array, position: RecordPosition, { type, own }: { type: TimedRecordType; own(ref: number): number | undefined }): Uint8Array | undefined {
    let moved = false
    scanRecord(content, position, (ref) => (moved ||= own(ref) !== ref))
    if (!moved) return content
    const { heads, body } = timedLayouts[type]
    const cursor = new RecordCursor(content, position, 1)
    const walk = new TimedEntries(cursor, heads)
    const builder = new RecordBuilder().byte(recordCodes[type])
    const written = new TimedEntriesBuilder(builder, heads)
    let left = 0
    while (walk.next()) {
      walk.checkExact()
      const bodyAt = cursor.at
      skipEntryBody(cursor, body)
      const ref = own(walk.ref)
      if (ref === undefined) {
        this.unnamedSamples += 1
        continue
      }
      left += 1
      written.head({ ref, timestampMs: walk.timestampMs, startTimestampMs: walk.startTimestampMs })
      builder.bytes(content.subarray(bodyAt, cursor.at))
    }
    return left === 0 ? undefined : builder.finish()
  }
}

/** Ninety-six bits: a million series share none by chance. */
function digestOf(labels: SeriesEntry['labels']): string {
  return createHash('sha256').update(JSON.stringify(labels)).digest('base64').slice(0, 16)
}
