import { createHash } from 'node:crypto'
import type { WalPiece } from '../domain/wal-stream.ts'
import { listPieces, readSegmentTimes, storeSealedSegment, storeSegmentTimes } from '../repository/wal-stream.ts'
import { fileBody } from '../tsdb/file-body.ts'
import { readLocalLog } from '../tsdb/wal-source.ts'
import type { FinishedSegment, ShipperContext } from './wal-shipper.ts'

/**
 * Rewrites a finished segment that is stored in parts as one object, from the local file. First the times of its parts are stored, then
 * the segment, then the parts go: a crash in between leaves more than is needed, and the next run finishes it.
 * @returns bytes stored; undefined when the local file is gone or another one, so that the parts stay
 */
export async function sealSegment(context: ShipperContext, generation: string, finished: FinishedSegment): Promise<number | undefined> {
  const { store, instance, signal } = context
  const { log, segment } = finished
  const last = finished.parts.at(-1)
  if (last === undefined) return 0
  const of = { generation, log, segment, digest: last.digest, signal }
  if (finished.parts.length === 1 && last.sealed) {
    await removeParts(context, of)
    return 0
  }
  if (finished.parts.length === 1) return 0
  const local = (await readLocalLog(context.dataDir, log)).segments.find(({ number }) => number === segment)
  if (local === undefined || local.sizeBytes !== last.end || (await digestOf(local.path, last.end)) !== last.digest) return undefined
  const newest = finished.parts.reduce<number | null>((found, part) => (part.newestSample === null ? found : Math.max(found ?? part.newestSample, part.newestSample)), null)
  const piece = { log, segment, start: 0, end: last.end, newestSample: newest, seenAt: last.seenAt, digest: last.digest, predecessor: finished.predecessor, sealed: true }
  const times = await storeSegmentTimes(store, instance, { ...of, parts: finished.parts.map(({ end, seenAt, newestSample, digest }) => ({ end, seenAt, newestSample, digest })) })
  const bytes = await storeSealedSegment(store, instance, { generation, piece, open: () => fileBody(local.path, last.end).open(), signal })
  await removeParts(context, of)
  return times + bytes
}

/** Only parts of this very history: others under the same number are not ours to judge. */
async function removeParts(context: ShipperContext, of: { generation: string; log: WalPiece['log']; segment: number; digest: string; signal: AbortSignal }): Promise<void> {
  const { store, instance } = context
  const times = await readSegmentTimes(store, instance, of)
  if (times === undefined) return
  const ours = new Set(times.map(({ end, digest }) => `${end}:${digest}`))
  const pieces = await listPieces(store, instance, of)
  const parts = pieces.filter((piece) => piece.segment === of.segment && !piece.sealed && ours.has(`${piece.end}:${piece.digest}`))
  if (pieces.some((piece) => piece.segment === of.segment && piece.sealed && piece.digest === of.digest)) await store.delete(parts.map(({ key }) => key), { signal: of.signal })
}

async function digestOf(path: string, length: number): Promise<string> {
  const hash = createHash('sha256')
  for await (const bytes of fileBody(path, length).open()) hash.update(bytes as Buffer)
  return hash.digest('hex')
}
