import { createHash } from 'node:crypto'
import { exactWindows, streamGaps } from '../../domain/reachable.ts'
import { standaloneBases } from '../../domain/standalone-log.ts'
import { groupOf } from '../../domain/read-subset.ts'
import { segmentRuns } from '../../domain/wal-plan.ts'
import { type WalPiece, comparePositions, formatPosition } from '../../domain/wal-stream.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { generationPrefix, heartbeatKey } from '../../repository/wal-keys.ts'
import { checkpointFileKey, listPieces, readSegmentTimes } from '../../repository/wal-stream.ts'
import { scanRecord } from '../../tsdb/wal/scan-record.ts'
import { SegmentReader } from '../../tsdb/wal/segment-reader.ts'
import { fetchLog } from '../restore/fetch-log.ts'
import { type RepositorySource, pointsOf } from '../repository-sources.ts'
import type { ListedDamage } from './verify-objects.ts'
import { type ReadStream, readStreams } from '../wal-streams.ts'

export interface StreamCheck {
  damaged: ListedDamage[]
  objects: number
  /** Stored bytes of everything listed, and of what was read. */
  listedBytes: number
  readBytes: number
}

interface Part {
  group: number
  groups: number
}

/**
 * Checks the WAL streams of an instance in one repository: that the documents can be read, that no piece is missing between the first and the
 * last sign of life, and that some recovery point has the blocks that the log goes on from. With `read` every piece and checkpoint of the
 * part is compared with its digest, unpacked, and every record's checksum and content checked.
 */
export async function checkStreams(source: RepositorySource, instance: string, request: { read?: Part | undefined; signal: AbortSignal }): Promise<StreamCheck> {
  const { signal } = request
  const { streams, damaged } = await readStreams([source], { instance, signal })
  const check: StreamCheck = { damaged: damaged.map(({ key, reason }) => damage(key, reason)), objects: 0, listedBytes: 0, readBytes: 0 }
  for (const stream of streams) {
    const pieces = [...stream.wal, ...stream.wbl]
    check.objects += pieces.length + stream.checkpoints.reduce((sum, { files }) => sum + files.length + 1, 0) + stream.deletions.length + 2
    check.listedBytes += pieces.reduce((sum, piece) => sum + piece.storedBytes, 0)
    for (const { reason } of streamGaps([{ ...stream, generation: { ...stream.generation, gap: null } }])) check.damaged.push(damage(`${generationPrefix(instance, stream.generation.id)}wal/`, reason))
    check.damaged.push(...(await missingFiles(stream, signal)))
  }
  const newest = [...streams].sort((a, b) => b.generation.startedAt - a.generation.startedAt)[0]
  if (newest !== undefined) {
    check.damaged.push(...(await lostEnd(source, newest, signal)))
    const unfounded = withoutBase(source, newest)
    if (unfounded !== undefined) check.damaged.push(unfounded)
  }
  if (request.read !== undefined) for (const stream of streams) await readStream(stream, { part: request.read, check, signal })
  return check
}

function damage(key: string, reason: string): ListedDamage {
  return { key, reason, recoveryPoints: [] }
}

async function missingFiles(stream: ReadStream, signal: AbortSignal): Promise<ListedDamage[]> {
  const { store, instance, generation } = stream
  const there = new Set<string>()
  for await (const { key } of store.list(`${generationPrefix(instance, generation.id)}checkpoints/`, { signal })) there.add(key)
  const keys = stream.checkpoints.flatMap(({ segment, files }) => files.map((file) => checkpointFileKey(instance, generation.id, { segment, file })))
  return keys.filter((key) => !there.has(key)).map((key) => damage(key, 'it is missing'))
}

/** The last sign of life says how far the stream went. A running shipper is ahead of any listing: it is listed again before anything is said. */
async function lostEnd(source: RepositorySource, stream: ReadStream, signal: AbortSignal): Promise<ListedDamage[]> {
  const { heartbeat, generation, instance } = stream
  const short = ({ wal }: ReadStream) => heartbeat !== undefined && heartbeat.offset > 0 && !wal.some((piece) => comparePositions({ segment: piece.segment, offset: piece.end }, heartbeat) >= 0)
  if (heartbeat === undefined || !short(stream)) return []
  const again = (await readStreams([source], { instance, signal })).streams.find((other) => other.generation.id === generation.id)
  if (again === undefined || !short(again)) return []
  return [damage(heartbeatKey(instance, generation.id), `the log was shipped up to ${formatPosition(heartbeat)}, but ends before it`)]
}

/** A log that goes on from blocks which no recovery point has restores nothing. Before the first backup that is no damage, unless the log
 * needs none. */
function withoutBase(source: RepositorySource, stream: ReadStream): ListedDamage | undefined {
  const later = pointsOf(source, stream.instance).filter((point) => point.createdAt > stream.generation.startedAt)
  const bases = standaloneBases([stream])
  if (stream.wal.length === 0 || later.length + bases.length === 0 || exactWindows([...pointsOf(source, stream.instance), ...bases], [stream]).length > 0) return undefined
  return damage(generationPrefix(stream.instance, stream.generation.id), 'no recovery point has the blocks that this log goes on from, or its first piece or checkpoint is missing: it restores nothing')
}

async function readStream(stream: ReadStream, run: { part: Part; check: StreamCheck; signal: AbortSignal }): Promise<void> {
  const { part, check, signal } = run
  const { store, instance, generation } = stream
  const chosen = (name: string) => groupOf(`${instance}/${generation.id}/${name}`, part.groups) === part.group
  for (const log of ['wal', 'wbl'] as const) {
    const runs = segmentRuns(stream[log])
    for (const segment of new Set(runs.map((piece) => piece.segment))) {
      if (!chosen(`${log}/${segment}`)) continue
      const pieces = runs.filter((piece) => piece.segment === segment)
      const unread = await attempt(check, pieces[0]?.key ?? '', () => readSegment(stream, pieces, { check, signal }))
      if (unread) continue
      for (const piece of pieces) if (piece.sealed) await attempt(check, piece.key, () => readSegmentTimes(store, instance, { generation: generation.id, log, segment, digest: piece.digest, signal }))
    }
  }
  for (const { segment, files } of stream.checkpoints) {
    if (!chosen(`checkpoints/${segment}`)) continue
    const objects = files.map((file) => ({ ...file, key: checkpointFileKey(instance, generation.id, { segment, file }) }))
    await attempt(check, objects[0]?.key ?? '', async () => {
      for await (const { object, bytes } of fetchLog(objects, { store, signal })) {
        const { digest, reader } = await readThrough(bytes, { reader: new SegmentReader(object.key), hash: createHash('sha256') })
        if (digest !== object.digest) throw differs(object.key, `its SHA-256 is ${digest}`)
        if (reader.end().state !== 'whole') throw differs(object.key, 'it ends within a record')
        check.readBytes += object.length
      }
    })
  }
}

/** A shipper seals segments meanwhile, and lets the oldest go: what is stored now in the place of a piece that went is read instead. */
async function readSegment(stream: ReadStream, pieces: readonly WalPiece[], run: { check: StreamCheck; signal: AbortSignal }): Promise<void> {
  try {
    await readPieces(stream, pieces, run)
  } catch (error) {
    const [first, last] = [pieces[0], pieces.at(-1)]
    if (!hasCode(error, 'OBJECT_NOT_FOUND') || first === undefined || last === undefined) throw error
    const { store, instance, generation } = stream
    const listed = await listPieces(store, instance, { generation: generation.id, log: first.log, signal: run.signal })
    const now = segmentRuns(listed.filter(({ segment }) => segment === first.segment))
    const isLetGo = !listed.some(({ segment }) => segment <= first.segment)
    if (isLetGo) return
    if (now.some(({ key }) => key === error.details?.['key']) || (now.at(-1)?.end ?? 0) < last.end) throw error
    await readPieces(stream, now, run)
  }
}

/** The pieces of one segment, in order. */
async function readPieces({ store }: ReadStream, pieces: readonly WalPiece[], run: { check: StreamCheck; signal: AbortSignal }): Promise<void> {
  const { signal, check } = run
  const reader = new SegmentReader(pieces[0]?.key ?? '')
  const hash = createHash('sha256')
  const objects = pieces.map((piece) => ({ key: piece.key, length: piece.end - piece.start, piece }))
  for await (const { object, bytes } of fetchLog(objects, { store, signal })) {
    const { piece, key } = object
    const { digest } = await attributed(key, () => readThrough(bytes, { reader, hash }))
    if (digest !== piece.digest) throw differs(key, `the segment's SHA-256 up to its end is ${digest}`)
    if (reader.paddedEnd !== piece.end) throw differs(key, `its last whole record ends at byte ${reader.settledEnd} of the segment, not at ${piece.end}`)
    check.readBytes += piece.storedBytes
  }
}

async function readThrough(bytes: AsyncIterable<Buffer>, to: { reader: SegmentReader; hash: ReturnType<typeof createHash> }): Promise<{ digest: string; reader: SegmentReader }> {
  for await (const chunk of bytes) {
    to.hash.update(chunk)
    to.reader.push(chunk, (record) => void scanRecord(record.content(), record))
  }
  return { digest: to.hash.copy().digest('hex'), reader: to.reader }
}

/** The codec knows places, not objects. */
async function attributed<T>(key: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw hasCode(error, 'DAMAGED') && error.details?.['key'] === undefined ? differs(key, error.message) : error
  }
}

/** Damage is a finding. @returns whether there was any */
async function attempt(check: StreamCheck, key: string, read: () => Promise<unknown>): Promise<boolean> {
  try {
    await attributed(key, read)
    return false
  } catch (error) {
    if (!hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND')) throw error
    check.damaged.push(damage(String(error.details?.['key'] ?? key), messageOf(error)))
    return true
  }
}

function differs(key: string, reason: string): PromDrError {
  return new PromDrError('DAMAGED', `${key} is damaged: ${reason}`, { details: { key } })
}
