import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Progress } from '../../domain/progress.ts'
import { type DatedPiece, type LogSpan, type WalReplay, datePieces, piecesUntil } from '../../domain/wal-plan.ts'
import type { WalPiece } from '../../domain/wal-stream.ts'
import { PromDrError, hasCode } from '../../errors.ts'
import { checkpointFileKey } from '../../repository/wal-stream.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import type { LabelledDeletion } from '../../tsdb/cut-block.ts'
import { RecordCutter } from '../../tsdb/wal/cut-record.ts'
import type { FramedRecord } from '../../tsdb/wal/framed-record.ts'
import { encodeRecord } from '../../tsdb/wal/record-codec.ts'
import { SegmentReader } from '../../tsdb/wal/segment-reader.ts'
import { SeriesRefs } from '../../tsdb/wal/series-refs.ts'
import { WalWriter } from '../../tsdb/wal/wal-writer.ts'
import { fetchLog } from './fetch-log.ts'
import { type AppliedDeletions, type LogDeletion, deletionsInLog } from './log-deletions.ts'
import { knownTimes } from '../ship/segment-times.ts'

/** In one record. */
const tombstonesAtOnce = 10_000

export interface ReplayRequest {
  store: ObjectStore
  instance: string
  replay: WalReplay
  /** When the recovery point was made that it is replayed onto, ms. */
  baseMs: number
  /** The moment to cut at, ms; undefined takes everything there is. */
  atMs: number | undefined
  /** How long after that moment samples of before may still be logged, ms. */
  slackMs: number
  /** Takes deletions in whose moment around `atMs` is not known. */
  includeDeletes: boolean
  /** In blocks whose samples come from the log. */
  deletions?: readonly LogDeletion[] | undefined
  /** End of the newest in-order block that comes along, ms. */
  boundMs?: number | null | undefined
  staging: string
  progress: Progress
  signal: AbortSignal
}

export interface ReplayOutcome {
  /** Bytes of log that were fetched, unpacked. */
  bytes: number
  /** Newest sample that was kept, ms; one that is ahead of its time counts as of when it was first seen. */
  newestSampleMs: number | undefined
  samplesKept: number
  samplesCut: number
  /** Deletions after the recovery point that were taken in: what the source answered before may be gone. */
  laterDeletions: number
  /** Deletions that were left out because it is not known whether they came before the moment. */
  ambiguousDeletions: number
  /** Out-of-order samples that were left out: their ref was given to another series about when they were logged. */
  unnamedSamples: number
  /** Blocks whose deletions are not in it, or not all, and why. */
  unappliedDeletions: AppliedDeletions['unapplied']
  /** Deletions that blocks which come along need too. */
  earlierDeletions: LabelledDeletion[]
  /** Records of types that this version does not know, by what became of them. */
  unknownKept: number
  unknownDropped: number
  /** Types of the records that were kept. */
  recordTypes: Set<number>
  /** Of the names written into staging: `wal`, and `wbl` when there was one. */
  names: string[]
}

/**
 * Writes the log that a restore needs into staging: one new WAL, numbered from 0, with the records of the checkpoint and of what
 * followed it, cut exactly at the moment asked for. Every piece is checked against its digest and every record against its
 * checksum, since a server that starts on a damaged log throws the rest of it away; staging is of no use when this fails.
 * @throws DAMAGED naming the object
 */
export async function writeReplay(request: ReplayRequest): Promise<ReplayOutcome> {
  const outcome: ReplayOutcome = { bytes: 0, newestSampleMs: undefined, samplesKept: 0, samplesCut: 0, laterDeletions: 0, ambiguousDeletions: 0, unnamedSamples: 0, unappliedDeletions: [], earlierDeletions: [], unknownKept: 0, unknownDropped: 0, recordTypes: new Set(), names: ['wal'] }
  const { replay } = request
  // The out-of-order log names series by the refs of the log beside it.
  const refs = new SeriesRefs()
  await writeLog(request, outcome, { name: 'wal', pieces: replay.pieces, refs })
  if (piecesUntil(replay.wbl, untilMs(request)).length > 0) {
    await writeLog(request, outcome, { name: 'wbl', pieces: replay.wbl, refs })
    outcome.names.unshift('wbl')
  }
  outcome.unnamedSamples = refs.unnamedSamples
  return outcome
}

function untilMs({ atMs, slackMs }: ReplayRequest): number {
  return atMs === undefined ? Number.POSITIVE_INFINITY : atMs + slackMs
}

async function writeLog(request: ReplayRequest, outcome: ReplayOutcome, log: { name: 'wal' | 'wbl'; pieces: readonly WalPiece[]; refs: SeriesRefs }): Promise<void> {
  const copy = new LogCopy(request, log)
  try {
    if (log.name === 'wal') await copy.checkpoint()
    await copy.pieces(await dated(request, piecesUntil(log.pieces, untilMs(request))))
    if (log.name === 'wal' && request.deletions !== undefined) await copy.deletions(outcome)
    await copy.writer.close()
  } catch (error) {
    await copy.writer.abandon()
    throw error
  }
  const { counts } = copy.cutter
  outcome.bytes += copy.bytes
  outcome.ambiguousDeletions += copy.ambiguousDeletions
  outcome.laterDeletions += copy.laterDeletions
  for (const type of copy.recordTypes) outcome.recordTypes.add(type)
  outcome.samplesKept += counts.samples.kept
  outcome.samplesCut += counts.samples.dropped
  // Targets may be ten minutes ahead of the time at which their samples were logged.
  const newestMs = counts.newestSampleMs === undefined ? undefined : Math.min(counts.newestSampleMs, copy.newestSeenMs)
  if (newestMs !== undefined) outcome.newestSampleMs = Math.max(outcome.newestSampleMs ?? newestMs, newestMs)
  for (const { kept, dropped } of counts.unknown.values()) {
    outcome.unknownKept += kept
    outcome.unknownDropped += dropped
  }
}

/** With the times of the stretches of sealed segments, where it matters which of them came after the moment. */
async function dated(request: ReplayRequest, pieces: readonly WalPiece[]): Promise<DatedPiece[]> {
  const { store, instance, replay, atMs, signal } = request
  const parts = new Map<string, readonly { end: number; seenAt: number }[]>()
  for (const piece of pieces) {
    if (!piece.sealed || atMs === undefined || piece.seenAt <= atMs) continue
    const times = await knownTimes(piece, { store, instance, generation: replay.generation, signal })
    if (times !== undefined && times.at(-1)?.end === piece.end) parts.set(piece.key, times)
  }
  return datePieces(pieces, parts)
}

/** Copies the records of one log, cut at the moment. */
class LogCopy {
  readonly cutter: RecordCutter
  readonly writer: WalWriter
  bytes = 0
  ambiguousDeletions = 0
  laterDeletions = 0
  /** When the last of what was read was first seen. */
  newestSeenMs = Number.NEGATIVE_INFINITY
  readonly recordTypes = new Set<number>()
  readonly #request: ReplayRequest
  readonly #untilMs: number
  readonly #refs: SeriesRefs
  readonly #log: 'wal' | 'wbl'
  /** When what is being copied was logged. */
  #span: LogSpan = { end: 0, seenAt: Number.NEGATIVE_INFINITY, loggedAfter: Number.NEGATIVE_INFINITY }

  constructor(request: ReplayRequest, { name, refs }: { name: 'wal' | 'wbl'; refs: SeriesRefs }) {
    const { atMs } = request
    this.#request = request
    this.#refs = refs
    this.#log = name
    this.#untilMs = untilMs(request)
    this.writer = new WalWriter(join(request.staging, name))
    this.cutter = new RecordCutter({
      atMs: atMs ?? Number.MAX_SAFE_INTEGER,
      tombstone: (tombstone) => {
        const taken = this.#takesDeletion()
        if (taken && this.#span.seenAt > request.baseMs) this.laterDeletions += 1
        return taken ? tombstone : undefined
      },
      unknown: atMs === undefined ? 'keep' : 'drop',
      mmapMarkers: 'drop',
    })
  }

  async checkpoint(): Promise<void> {
    const { store, instance, replay, signal } = this.#request
    const { checkpoint } = replay
    if (checkpoint === undefined) return
    this.#span = { end: 0, seenAt: checkpoint.seenAt, loggedAfter: Number.NEGATIVE_INFINITY }
    const files = checkpoint.files.map((file) => ({ ...file, key: checkpointFileKey(instance, replay.generation, { segment: checkpoint.segment, file }) }))
    for await (const { object, bytes } of fetchLog(files, { store, signal })) {
      const reader = new SegmentReader(`file ${object.number} of the checkpoint`)
      const hash = createHash('sha256')
      for await (const chunk of bytes) {
        hash.update(chunk)
        await this.#records(chunk, reader, { key: object.key, spans: undefined })
      }
      if (hash.digest('hex') !== object.digest) throw damaged(object.key, 'its SHA-256 is not the one in its name')
      if (reader.end().state !== 'whole') throw damaged(object.key, 'it ends within a record')
      this.bytes += object.length
    }
  }

  /** After all samples: a server deletes what it has read. */
  async deletions(outcome: ReplayOutcome): Promise<void> {
    const { deletions = [], store, instance, staging, boundMs = null, signal } = this.#request
    const { entries, earlier, unapplied } = await deletionsInLog(deletions, { store, instance, staging, boundMs, refs: this.#refs, signal })
    for (let at = 0; at < entries.length; at += tombstonesAtOnce) await this.writer.append(encodeRecord({ type: 'tombstones', tombstones: entries.slice(at, at + tombstonesAtOnce) }))
    this.laterDeletions += entries.length + earlier.length
    outcome.earlierDeletions = outcome.earlierDeletions.concat(earlier)
    outcome.unappliedDeletions = outcome.unappliedDeletions.concat(unapplied)
  }

  async pieces(pieces: readonly DatedPiece[]): Promise<void> {
    const { store, progress, signal } = this.#request
    const objects = pieces.map(({ piece, spans }) => ({ key: piece.key, length: piece.end - piece.start, piece, spans }))
    let segment = { number: -1, reader: new SegmentReader(''), hash: createHash('sha256') }
    for await (const { object, bytes } of fetchLog(objects, { store, signal })) {
      const { piece } = object
      if (piece.segment !== segment.number) segment = { number: piece.segment, reader: new SegmentReader(`segment ${piece.segment}`), hash: createHash('sha256') }
      for await (const chunk of bytes) {
        segment.hash.update(chunk)
        await this.#records(chunk, segment.reader, object)
      }
      const digest = segment.hash.copy().digest('hex')
      if (digest !== piece.digest) throw damaged(piece.key, `the segment's SHA-256 up to its end is ${digest}`)
      if (segment.reader.paddedEnd !== piece.end) throw damaged(piece.key, `its last whole record ends at byte ${segment.reader.settledEnd} of the segment, not at ${piece.end}`)
      this.bytes += object.length
      progress.advance(piece.storedBytes)
    }
  }

  /** Reading is push and writing waits for the disk: the records of one push are kept for that long. */
  async #records(bytes: Buffer, reader: SegmentReader, { key, spans }: { key: string; spans: readonly LogSpan[] | undefined }): Promise<void> {
    this.#request.signal.throwIfAborted()
    const records: { content: Uint8Array; record: FramedRecord }[] = []
    const take = (record: FramedRecord) => {
      if (spans !== undefined) this.#span = spans.find(({ end }) => record.endOffset <= end) ?? (spans.at(-1) as LogSpan)
      if (this.#span.loggedAfter > this.#untilMs) return
      this.newestSeenMs = Math.max(this.newestSeenMs, this.#span.seenAt)
      const cut = this.cutter.cut(record.content(), record)
      const content = cut === undefined ? undefined : this.#log === 'wal' ? this.#refs.map(cut, record, this.#span) : this.#refs.mapBeside(cut, record, this.#span)
      if (content !== undefined) records.push({ content, record })
    }
    try {
      reader.push(bytes, take)
    } catch (error) {
      // The codec knows places, not objects.
      throw hasCode(error, 'DAMAGED') ? damaged(key, error.message, error) : error
    }
    for (const { content, record } of records) {
      if (content[0] !== undefined) this.recordTypes.add(content[0])
      // Only packing that every server reads is kept as it is.
      if (content === record.content() && record.compression === 'snappy') await this.writer.appendStored({ compression: 'snappy', bytes: record.stored })
      else await this.writer.append(content)
    }
  }

  #takesDeletion(): boolean {
    const { atMs, includeDeletes } = this.#request
    if (atMs === undefined || this.#span.seenAt <= atMs) return true
    if (this.#span.loggedAfter >= atMs) return false
    if (!includeDeletes) this.ambiguousDeletions += 1
    return includeDeletes
  }
}

function damaged(key: string, reason: string, cause?: unknown): PromDrError {
  return new PromDrError('DAMAGED', `${key} is damaged: ${reason}`, { hint: 'restore an earlier moment, or from another repository with --repository', cause, details: { key } })
}
