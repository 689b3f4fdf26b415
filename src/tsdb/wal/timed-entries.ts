import type { RecordBuilder } from './record-builder.ts'
import type { RecordCursor } from './record-cursor.ts'
import type { TimedLayout } from './record-types.ts'

/** When and of which series an entry is. `startTimestampMs` is 0 where there is none, as in all v1 records. */
export interface EntryHead {
  ref: number
  timestampMs: number
  startTimestampMs: number
}

const startMarkers = { none: 0, asBefore: 1, explicit: 2 }

/**
 * Walks the entries of a record that carries samples. Call `next`, read or skip the entry's body from the cursor, and again.
 *
 * v1: base ref u64, base time i64, then per entry varint Δref, varint Δtime, body; both against the base.
 * v2: per entry varint ref (first) or Δref against the entry before, varint time (first) or Δtime against the first, varint
 * start time (first) or a marker: 0 none, 1 as before, otherwise a varint against the first's; body.
 *
 * Refs and times are numbers: a ref is below 2^40, or a head could not address its chunks. What lies beyond ±2^53 comes out
 * rounded; who needs it exactly asks `checkExact`.
 */
export class TimedEntries implements EntryHead {
  ref = 0
  timestampMs = 0
  startTimestampMs = 0
  readonly #cursor: RecordCursor
  readonly #heads: TimedLayout['heads']
  #baseRef = 0
  #baseTimeMs = 0
  #baseStartMs = 0
  #isFirst = true

  /** The cursor stands behind the record's type. */
  constructor(cursor: RecordCursor, heads: TimedLayout['heads']) {
    this.#cursor = cursor
    this.#heads = heads
    if (heads === 'v2' || !cursor.hasMore) return
    this.#baseRef = cursor.uint64()
    this.#baseTimeMs = cursor.int64()
  }

  /** Reads the head of the next entry; false when there is none. */
  next(): boolean {
    const cursor = this.#cursor
    if (!cursor.hasMore) return false
    if (this.#heads === 'v1') {
      this.ref = this.#baseRef + cursor.varint()
      this.timestampMs = this.#baseTimeMs + cursor.varint()
    } else if (this.#isFirst) {
      this.#isFirst = false
      this.ref = cursor.varint()
      this.timestampMs = this.#baseTimeMs = cursor.varint()
      this.startTimestampMs = this.#baseStartMs = cursor.varint()
    } else {
      this.ref += cursor.varint()
      this.timestampMs = this.#baseTimeMs + cursor.varint()
      this.startTimestampMs = this.#readStart()
    }
    return true
  }

  /** @throws DAMAGED when the entry's ref or a time of it does not fit in a number */
  checkExact(): void {
    const bases = isExact(this.#baseRef) && isExact(this.#baseTimeMs) && isExact(this.#baseStartMs)
    if (bases && isExact(this.ref) && isExact(this.timestampMs) && isExact(this.startTimestampMs)) return
    throw this.#cursor.damage(`it has a series (${this.ref}) or a time (${this.timestampMs}) beyond ±2^53`)
  }

  #readStart(): number {
    const marker = this.#cursor.byte()
    if (marker === startMarkers.none) return 0
    return marker === startMarkers.asBefore ? this.startTimestampMs : this.#baseStartMs + this.#cursor.varint()
  }
}

/** Writes the heads that `TimedEntries` reads, with the first entry as base, as Prometheus does. */
export class TimedEntriesBuilder {
  readonly #builder: RecordBuilder
  readonly #heads: TimedLayout['heads']
  #first: EntryHead | undefined
  #previous: EntryHead | undefined

  /** The record's type has been written. */
  constructor(builder: RecordBuilder, heads: TimedLayout['heads']) {
    this.#builder = builder
    this.#heads = heads
  }

  /** The body is to be written next. */
  head({ ref, timestampMs, startTimestampMs }: EntryHead): void {
    const head = { ref, timestampMs, startTimestampMs }
    const first = (this.#first ??= head)
    const previous = this.#previous
    this.#previous = head
    if (this.#heads === 'v1') {
      if (previous === undefined) this.#builder.uint64(ref).int64(timestampMs)
      this.#builder.varint(ref - first.ref).varint(timestampMs - first.timestampMs)
    } else if (previous === undefined) {
      this.#builder.varint(ref).varint(timestampMs).varint(startTimestampMs)
    } else {
      this.#builder.varint(ref - previous.ref).varint(timestampMs - first.timestampMs)
      this.#start(startTimestampMs, { first: first.startTimestampMs, previous: previous.startTimestampMs })
    }
  }

  #start(startMs: number, other: { first: number; previous: number }): void {
    if (startMs === 0) this.#builder.byte(startMarkers.none)
    else if (startMs === other.previous) this.#builder.byte(startMarkers.asBefore)
    else this.#builder.byte(startMarkers.explicit).varint(startMs - other.first)
  }
}

const isExact = Number.isSafeInteger
