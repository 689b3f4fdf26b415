import type { WalPiece } from '../../domain/wal-stream.ts'
import { hasCode } from '../../errors.ts'
import { listPieces, readSegmentTimes, storeSealedSegment, storeSegmentTimes } from '../../repository/wal-stream.ts'
import { readLocalLog } from '../../tsdb/wal-source.ts'
import { readCheckedSegment } from '../../tsdb/whole-segment.ts'
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
  if (local === undefined || local.sizeBytes !== last.end) return undefined
  const newest = finished.parts.reduce<number | null>((found, part) => (part.newestSample === null ? found : Math.max(found ?? part.newestSample, part.newestSample)), null)
  const piece = { log, segment, start: 0, end: last.end, newestSample: newest, seenAt: last.seenAt, digest: last.digest, predecessor: finished.predecessor, sealed: true }
  const times = await storeSegmentTimes(store, instance, { ...of, parts: finished.parts.map(({ end, seenAt, newestSample, digest }) => ({ end, seenAt, newestSample, digest })) })
  const bytes = await storeUnlessGone(context, { generation, piece, path: local.path })
  if (bytes === undefined) return undefined
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

/** @returns undefined when the file is gone, or is not what was shipped */
async function storeUnlessGone({ store, instance, rest, signal }: ShipperContext, of: { generation: string; piece: Parameters<typeof storeSealedSegment>[2]['piece']; path: string }): Promise<number | undefined> {
  const { generation, piece, path } = of
  try {
    return await storeSealedSegment(store, instance, { generation, piece, open: () => readCheckedSegment(path, { digest: piece.digest, rest }), signal })
  } catch (error) {
    if (!hasCode(error, 'DATA_DIR_UNREADABLE', 'CONTENTION')) throw error
    return undefined
  }
}
