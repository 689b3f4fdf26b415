import type { NamedArchive } from '../../domain/archive.ts'
import { hasCode } from '../../errors.ts'
import { readRecoveryPoint } from '../../repository/recovery-points.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import type { ObjectStore } from '../../stores/object-store.ts'

export interface ArchiveOfPoint {
  store: ObjectStore
  instance: string
  recoveryPoint: string
  /** As the manifest named it when it was read. */
  archive: NamedArchive
  signal: AbortSignal
}

/**
 * Works on an archive; where what its manifest named is not there, once more on what the manifest names by now: `repository re-encrypt` may have
 * sealed the same content anew since the manifest was read, and it removes the old object when every manifest names the new one.
 * @throws what `work` throws; OBJECT_NOT_FOUND where the manifest still names the object that is missing
 */
export async function withCurrentArchive<T>(of: ArchiveOfPoint, work: (archive: NamedArchive) => Promise<T>): Promise<T> {
  try {
    return await work(of.archive)
  } catch (error) {
    const current = hasCode(error, 'OBJECT_NOT_FOUND') ? replacementIn(await readAgain(of.store, of.instance, of), of.archive) : undefined
    if (current === undefined) throw error
    return work(current)
  }
}

/** A manifest as it is now; undefined where it has gone, or cannot be used any more. @throws STORE_* */
export async function readAgain(store: ObjectStore, instance: string, { recoveryPoint, signal }: Pick<ArchiveOfPoint, 'recoveryPoint' | 'signal'>): Promise<StoredRecoveryPoint | undefined> {
  try {
    return await readRecoveryPoint(store, instance, { id: recoveryPoint, signal })
  } catch (error) {
    if (!hasCode(error, 'OBJECT_NOT_FOUND', 'DAMAGED')) throw error
    return undefined
  }
}

/** What a recovery point names for the same component and content; undefined where that is the very same object, or nothing. */
export function replacementIn(point: StoredRecoveryPoint | undefined, before: NamedArchive): NamedArchive | undefined {
  return point?.archives.find(({ component, contentSha256, stored }) => component === before.component && contentSha256 === before.contentSha256 && stored.sha256 !== before.stored.sha256)
}
