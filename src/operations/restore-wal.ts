import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Progress } from '../domain/progress.ts'
import { type WalReplay, piecesUntil } from '../domain/wal-plan.ts'
import type { WalPiece } from '../domain/wal-stream.ts'
import { PromDrError } from '../errors.ts'
import { checkpointFileKey } from '../repository/wal-stream.ts'
import { readWal } from '../repository/wal-compression.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { RecordCutter } from '../tsdb/wal/cut-record.ts'
import { SegmentReader } from '../tsdb/wal/segment-reader.ts'
import { WalWriter } from '../tsdb/wal/wal-writer.ts'

export interface ReplayRequest {
  store: ObjectStore
  instance: string
  replay: WalReplay
  /** The moment to cut at, ms; undefined takes everything there is. */
  atMs: number | undefined
  /** How long after that moment samples of before may still be logged, ms. */
  slackMs: number
  /** Takes deletions in whose moment around `atMs` is not known. */
  includeDeletes: boolean
  staging: string
  progress: Progress
  signal: AbortSignal
}

export interface ReplayOutcome {
  /** Bytes of log that were fetched, unpacked. */
  bytes: number
  /** Newest sample that was kept, ms. */
  newestSampleMs: number | undefined
  samplesKept: number
  samplesCut: number
  /** Deletions that were left out because it is not known whether they came before the moment. */
  ambiguousDeletions: number
  /** Records of types that this version does not know, by what became of them. */
  unknownKept: number
  unknownDropped: number
  /** Of the names written into staging: `wal`, and `wbl` when there was one. */
  names: string[]
}

/**
 * Writes the log that a restore needs into staging: one new WAL, numbered from 0, with the records of the checkpoint and of what
 * followed it, cut exactly at the moment asked for. Every piece is checked against its digest and every record against its
 * checksum before it is written, since a server that starts on a damaged log throws the rest of it away.
 * @throws DAMAGED naming the object
 */
export async function writeReplay(request: ReplayRequest): Promise<ReplayOutcome> {
  const outcome: ReplayOutcome = { bytes: 0, newestSampleMs: undefined, samplesKept: 0, samplesCut: 0, ambiguousDeletions: 0, unknownKept: 0, unknownDropped: 0, names: ['wal'] }
  const { replay, atMs, slackMs } = request
  const untilMs = atMs === undefined ? Number.POSITIVE_INFINITY : atMs + slackMs
  const pieces = piecesUntil(replay.pieces, untilMs)
  await writeLog(request, outcome, { name: 'wal', pieces })
  const wbl = replay.wbl.filter((piece) => piece.seenAt <= untilMs)
  if (wbl.length > 0) {
    await writeLog(request, outcome, { name: 'wbl', pieces: wbl })
    outcome.names.unshift('wbl')
  }
  return outcome
}

/** When what is being read was first seen: after `fromMs`, at `toMs` at the latest. */
interface Seen {
  fromMs: number
  toMs: number
}

async function writeLog(request: ReplayRequest, outcome: ReplayOutcome, log: { name: 'wal' | 'wbl'; pieces: readonly WalPiece[] }): Promise<void> {
  const writer = new WalWriter(join(request.staging, log.name))
  let seen: Seen = { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.NEGATIVE_INFINITY }
  const cutter = new RecordCutter({
    atMs: request.atMs ?? Number.MAX_SAFE_INTEGER,
    tombstone: (tombstone) => {
      if (request.atMs === undefined || seen.toMs <= request.atMs) return tombstone
      if (seen.fromMs >= request.atMs) return undefined
      if (request.includeDeletes) return tombstone
      outcome.ambiguousDeletions += 1
      return undefined
    },
    unknown: request.atMs === undefined ? 'keep' : 'drop',
    mmapMarkers: 'drop',
  })
  try {
    if (log.name === 'wal') await copyCheckpoint(request, outcome, { cutter, writer })
    for (const segment of bySegment(log.pieces)) {
      const reader = new SegmentReader(segment[0]?.key ?? log.name)
      const hash = createHash('sha256')
      for (const piece of segment) {
        seen = { fromMs: seen.toMs, toMs: piece.seenAt }
        await copyPiece(request, { piece, reader, hash, cutter, writer })
        outcome.bytes += piece.end - piece.start
        request.progress.advance(piece.storedBytes)
      }
    }
    await writer.close()
  } catch (error) {
    await writer.abandon()
    throw error
  }
  tally(outcome, cutter)
}

async function copyPiece(request: ReplayRequest, of: { piece: WalPiece; reader: SegmentReader; hash: ReturnType<typeof createHash>; cutter: RecordCutter; writer: WalWriter }): Promise<void> {
  const { piece, reader, hash, cutter, writer } = of
  for await (const bytes of readWal(request.store, piece.key, { length: piece.end - piece.start, signal: request.signal })) {
    request.signal.throwIfAborted()
    hash.update(bytes)
    await copyRecords(bytes, reader, { cutter, writer })
  }
  const digest = hash.copy().digest('hex')
  if (digest !== piece.digest) throw damaged(piece.key, `the segment's SHA-256 up to its end is ${digest}`)
  if (reader.settledEnd !== piece.end) throw damaged(piece.key, `its last whole record ends at byte ${reader.settledEnd} of the segment, not at ${piece.end}`)
}

async function copyCheckpoint(request: ReplayRequest, outcome: ReplayOutcome, to: { cutter: RecordCutter; writer: WalWriter }): Promise<void> {
  const { checkpoint, generation } = request.replay
  for (const file of checkpoint?.files ?? []) {
    const key = checkpointFileKey(request.instance, generation, { segment: checkpoint?.segment ?? 0, file })
    const reader = new SegmentReader(key)
    const hash = createHash('sha256')
    for await (const bytes of readWal(request.store, key, { length: file.length, signal: request.signal })) {
      request.signal.throwIfAborted()
      hash.update(bytes)
      await copyRecords(bytes, reader, to)
    }
    if (hash.digest('hex') !== file.digest) throw damaged(key, 'its SHA-256 is not the one in its name')
    if (reader.end().state !== 'whole') throw damaged(key, 'it ends within a record')
    outcome.bytes += file.length
  }
}

/** Reading is push and writing waits for the disk: the records of one push are kept for that long. */
async function copyRecords(bytes: Buffer, reader: SegmentReader, to: { cutter: RecordCutter; writer: WalWriter }): Promise<void> {
  const records: Uint8Array[] = []
  reader.push(bytes, (record) => {
    const left = to.cutter.cut(record.content(), record)
    // Content that was not packed is lent from the bytes that were pushed.
    if (left !== undefined) records.push(record.compression === 'none' ? Uint8Array.from(left) : left)
  })
  for (const record of records) await to.writer.append(record)
}

function bySegment(pieces: readonly WalPiece[]): WalPiece[][] {
  const segments = new Map<number, WalPiece[]>()
  for (const piece of pieces) segments.set(piece.segment, [...(segments.get(piece.segment) ?? []), piece])
  return [...segments].sort(([a], [b]) => a - b).map(([, list]) => list)
}

function tally(outcome: ReplayOutcome, { counts }: RecordCutter): void {
  outcome.samplesKept += counts.samples.kept
  outcome.samplesCut += counts.samples.dropped
  if (counts.newestSampleMs !== undefined) outcome.newestSampleMs = Math.max(outcome.newestSampleMs ?? counts.newestSampleMs, counts.newestSampleMs)
  for (const { kept, dropped } of counts.unknown.values()) {
    outcome.unknownKept += kept
    outcome.unknownDropped += dropped
  }
}

function damaged(key: string, reason: string): PromDrError {
  return new PromDrError('DAMAGED', `${key} is damaged: ${reason}`, { hint: 'restore an earlier moment, or from another repository with --repository', details: { key } })
}
