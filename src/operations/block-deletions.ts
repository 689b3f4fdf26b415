import type { StoredRecoveryPoint } from '../repository/recovery-point-schema.ts'
import type { BlockDeletion } from '../repository/wal-stream.ts'
import type { ReadStream } from './wal-streams.ts'

type Tombstones = { tombstones: { sha256: string; sizeBytes: number } }

export interface DeletionChoice {
  /** By ULID, what a block's tombstones were at the moment, where they changed since the recovery point. */
  tombstones: Map<string, Tombstones>
  warnings: string[]
}

/**
 * The deletions in a recovery point's blocks that were in force at a moment. One that was first seen after it, but may have been made before,
 * is left out and reported, or taken in with `includeDeletes`. One in a block that was written after the recovery point cannot
 * be applied to the log that stands for that block: it is reported.
 */
export function deletionsFor(point: StoredRecoveryPoint, stream: Pick<ReadStream, 'deletions' | 'wal'>, request: { limitMs: number; includeDeletes: boolean }): DeletionChoice {
  const { limitMs, includeDeletes } = request
  const known = new Map(point.blocks.map((block) => [block.ulid, block.tombstones?.sha256]))
  const looks = [...new Set(stream.wal.map((piece) => piece.seenAt))].sort((a, b) => a - b)
  const choice: DeletionChoice = { tombstones: new Map(), warnings: [] }
  const elsewhere = new Set<string>()
  for (const deletion of stream.deletions) {
    const { ulid, seenAt, sha256, sizeBytes } = deletion
    const doubtful = seenAt > limitMs && madeAfter(deletion, looks) <= limitMs
    if (seenAt <= point.createdAt || known.get(ulid) === sha256) continue
    if (seenAt > limitMs && !doubtful) continue
    if (!known.has(ulid)) {
      if (!doubtful && seenAt <= limitMs) elsewhere.add(ulid)
      continue
    }
    if (doubtful && !includeDeletes) {
      choice.warnings.push(`deletions in block ${ulid} were left out: they were made about the moment asked for, it is not known whether before or after; --include-deletes takes them in`)
      continue
    }
    choice.tombstones.set(ulid, { tombstones: { sha256, sizeBytes } })
  }
  for (const ulid of elsewhere) choice.warnings.push(`deletions in block ${ulid} could not be applied: it was written after recovery point ${point.id}, and its samples come from the log; delete them again on the restored server`)
  return choice
}

/** The look before the one that found it: what was found then would have been noted. */
function madeAfter({ seenAt }: BlockDeletion, looks: readonly number[]): number {
  return looks.filter((look) => look <= seenAt).at(-2) ?? Number.NEGATIVE_INFINITY
}
