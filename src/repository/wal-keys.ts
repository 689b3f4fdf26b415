import type { WalLog, WalPiece } from '../domain/wal-stream.ts'
import { instancePrefix } from './layout.ts'

/**
 * Names of the WAL stream's objects. Everything that planning needs stands in a piece's name, so that a listing alone tells what is
 * there and how fresh it is, and the object itself is plain Brotli of the segment's bytes:
 *
 *     wal/<generation>/generation.json
 *     wal/<generation>/<wal|wbl>/<segment>/<start>-<end>-<newest sample>-<first seen>-<digest>[-a<digest up to start>][-p<segment>-<length>-<digest>][.sealed].br
 *     wal/<generation>/<wal|wbl>/<segment>/<digest>.times.json, beside a sealed segment
 *     wal/<generation>/checkpoints/<segment>/<file>-<length>-<digest>.br, then checkpoint.json
 *     wal/<generation>/deletions/<first seen>-<ULID>.json
 *     wal/<generation>/heartbeat.json (mutable)
 *
 * Numbers are decimal, times are ms since 1970, digests SHA-256 in hex; a piece without samples has `none`.
 */
const generationPattern = /^\d{8}T\d{6}Z-[0-9a-z]{8}$/
const piecePattern = /^(\d{12})-(\d{12})-(\d{13}|none)-(\d{13})-([0-9a-f]{64})(?:-a([0-9a-f]{64}))?(?:-p(\d{8})-(\d{12})-([0-9a-f]{64}))?(\.sealed)?\.br$/

export function walPrefix(instance: string): string {
  return `${instancePrefix(instance)}wal/`
}

export function isGenerationId(text: string): boolean {
  return generationPattern.test(text)
}

export function generationPrefix(instance: string, generation: string): string {
  if (!isGenerationId(generation)) throw new RangeError(`not a generation: ${generation}`)
  return `${walPrefix(instance)}${generation}/`
}

export function generationKey(instance: string, generation: string): string {
  return `${generationPrefix(instance, generation)}generation.json`
}

/** Whether it is a document without which its whole generation is not seen. */
export function isGenerationKey(key: string): boolean {
  return key.endsWith('/generation.json')
}

export function heartbeatKey(instance: string, generation: string): string {
  return `${generationPrefix(instance, generation)}heartbeat.json`
}

export function pieceKey(instance: string, generation: string, piece: Omit<WalPiece, 'key' | 'storedBytes'>): string {
  const { predecessor, startDigest } = piece
  const follows = startDigest === undefined ? '' : `-a${startDigest}`
  const after = predecessor === undefined ? '' : `-p${digits(predecessor.segment, 8)}-${digits(predecessor.length, 12)}-${predecessor.digest}`
  const newest = piece.newestSample === null ? 'none' : digits(piece.newestSample, 13)
  return `${generationPrefix(instance, generation)}${piece.log}/${digits(piece.segment, 8)}/${digits(piece.start, 12)}-${digits(piece.end, 12)}-${newest}-${digits(piece.seenAt, 13)}-${piece.digest}${follows}${after}${piece.sealed ? '.sealed' : ''}.br`
}

/** The piece that a key below the generation's prefix names; undefined for other objects. */
export function parsePieceKey(key: string, generationPrefixOfKey: string, storedBytes: number): WalPiece | undefined {
  const path = key.slice(generationPrefixOfKey.length).split('/')
  const [log, segment, name] = path
  if (path.length !== 3 || (log !== 'wal' && log !== 'wbl') || !/^\d{8}$/.test(segment ?? '')) return undefined
  const match = piecePattern.exec(name ?? '')
  if (match === null) return undefined
  const [, start, end, newest, seen, digest, startDigest, previous, previousLength, previousDigest, sealed] = match
  if (Number(end) <= Number(start)) return undefined
  return {
    log: log satisfies WalLog,
    segment: Number(segment),
    start: Number(start),
    end: Number(end),
    newestSample: newest === 'none' ? null : Number(newest),
    seenAt: Number(seen),
    digest: digest ?? '',
    ...(startDigest !== undefined && { startDigest }),
    predecessor: previous === undefined ? undefined : { segment: Number(previous), length: Number(previousLength), digest: previousDigest ?? '' },
    sealed: sealed !== undefined,
    key,
    storedBytes,
  }
}

/** When the parts of a sealed segment were first seen. */
export function segmentTimesKey(instance: string, generation: string, of: { log: WalLog; segment: number; digest: string }): string {
  if (!/^[0-9a-f]{64}$/.test(of.digest)) throw new RangeError(`not a SHA-256: ${of.digest}`)
  return `${generationPrefix(instance, generation)}${of.log}/${digits(of.segment, 8)}/${of.digest}.times.json`
}

/** Everything of one segment. */
export function segmentPrefix(instance: string, generation: string, of: { log: WalLog; segment: number }): string {
  return `${generationPrefix(instance, generation)}${of.log}/${digits(of.segment, 8)}/`
}

export function checkpointsPrefix(instance: string, generation: string): string {
  return `${generationPrefix(instance, generation)}checkpoints/`
}

export function checkpointPrefix(instance: string, generation: string, segment: number): string {
  return `${checkpointsPrefix(instance, generation)}${digits(segment, 8)}/`
}

export function checkpointFileName(file: { number: number; length: number; digest: string }): string {
  return `${digits(file.number, 8)}-${digits(file.length, 12)}-${file.digest}.br`
}

export function deletionsPrefix(instance: string, generation: string): string {
  return `${generationPrefix(instance, generation)}deletions/`
}

function digits(value: number, count: number): string {
  const text = String(Math.max(0, Math.floor(value)))
  if (text.length > count) throw new RangeError(`${value} has more than ${count} digits`)
  return text.padStart(count, '0')
}
