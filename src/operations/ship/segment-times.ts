import type { WalPiece } from '../../domain/wal-stream.ts'
import { hasCode } from '../../errors.ts'
import { type PartTime, readSegmentTimes } from '../../repository/wal-stream.ts'
import type { ObjectStore } from '../../stores/object-store.ts'

/**
 * When the parts of a sealed segment were first seen; undefined where that is not known. A damaged document tells nothing: of deletions
 * within the segment it is then not known whether they came before a moment.
 */
export async function knownTimes(piece: WalPiece, of: { store: ObjectStore; instance: string; generation: string; signal?: AbortSignal | undefined }): Promise<PartTime[] | undefined> {
  const { store, instance, generation, signal } = of
  try {
    return await readSegmentTimes(store, instance, { generation, log: piece.log, segment: piece.segment, digest: piece.digest, signal })
  } catch (error) {
    if (!hasCode(error, 'DAMAGED')) throw error
    return undefined
  }
}
