import { blocksUntil } from '../domain/wal-plan.ts'
import type { StoredRecoveryPoint } from '../repository/recovery-point-schema.ts'
import type { BlockDeletion } from '../repository/wal-stream.ts'
import type { LogDeletion } from './log-deletions.ts'
import type { ReadStream } from './wal-streams.ts'

type Tombstones = { tombstones: { sha256: string; sizeBytes: number } }

export interface DeletionChoice {
  /** By ULID, what the tombstones of a block that comes along were at the moment, where they changed since the recovery point. */
  tombstones: Map<string, Tombstones>
  /** Those of blocks whose samples come from the log. */
  inLog: LogDeletion[]
  warnings: string[]
}

/**
 * The deletions in blocks that were in force at a moment: in those of the recovery point that come along, and in those that the log stands for,
 * which were written after it or reach beyond the moment. One that was first seen after the moment, but may have been made before,
 * is left out and reported, or taken in with `includeDeletes`.
 */
export function deletionsFor(point: StoredRecoveryPoint, stream: Pick<ReadStream, 'deletions' | 'wal'>, request: { limitMs: number; includeDeletes: boolean }): DeletionChoice {
  const { limitMs, includeDeletes } = request
  const known = new Map(blocksUntil(point.blocks, limitMs).map((block) => [block.ulid, block.tombstones?.sha256]))
  const looks = [...new Set(stream.wal.map((piece) => piece.seenAt))].sort((a, b) => a - b)
  const choice: DeletionChoice = { tombstones: new Map(), inLog: [], warnings: [] }
  const inLog = new Map<string, LogDeletion>()
  for (const deletion of stream.deletions) {
    const { ulid, seenAt, sha256, sizeBytes } = deletion
    const doubtful = seenAt > limitMs && madeAfter(deletion, looks) <= limitMs
    if (known.has(ulid) && (seenAt <= point.createdAt || known.get(ulid) === sha256)) continue
    if (seenAt > limitMs && !doubtful) continue
    // It went before the log that is replayed: its samples are in blocks of the recovery point.
    if (!known.has(ulid) && seenAt <= point.createdAt && !point.blocks.some((block) => block.ulid === ulid)) continue
    if (doubtful && !includeDeletes) {
      choice.warnings.push(`deletions in block ${ulid} were left out: they were made about the moment asked for, it is not known whether before or after; --include-deletes takes them in`)
      continue
    }
    if (known.has(ulid)) choice.tombstones.set(ulid, { tombstones: { sha256, sizeBytes } })
    else inLog.set(ulid, { ulid, sha256, sizeBytes })
  }
  choice.inLog.push(...inLog.values())
  return choice
}

/** The look before the one that found it: what was found then would have been noted. */
function madeAfter({ seenAt }: BlockDeletion, looks: readonly number[]): number {
  return looks.filter((look) => look <= seenAt).at(-2) ?? Number.NEGATIVE_INFINITY
}
