import { blocksUntil } from '../../domain/wal-plan.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import type { BlockDeletion } from '../../repository/wal-stream.ts'
import type { LogDeletion } from '../restore/log-deletions.ts'
import { knownTimes } from './segment-times.ts'
import type { ReadStream } from '../wal-streams.ts'

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
export function deletionsFor(point: StoredRecoveryPoint, stream: Pick<ReadStream, 'deletions'>, request: { limitMs: number; includeDeletes: boolean; looks: readonly number[] }): DeletionChoice {
  const { limitMs, includeDeletes, looks } = request
  const known = new Map(blocksUntil(point.blocks, limitMs).map((block) => [block.ulid, block.tombstones?.sha256]))
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

/**
 * When the shipper looked at the server, as far as it has to be known for the deletions about a moment: a sealed segment tells the last of its looks by
 * its name, and the others in a document of its own. Sorted, ms.
 */
export async function looksAbout(stream: ReadStream, limitMs: number, options: { signal?: AbortSignal | undefined } = {}): Promise<number[]> {
  const { store, instance, generation, wal, deletions } = stream
  const looks = new Set(wal.map((piece) => piece.seenAt))
  const known = sorted(looks)
  const doubtful = deletions.filter((deletion) => deletion.seenAt > limitMs && madeAfter(deletion, known) <= limitMs)
  const untilMs = Math.max(...doubtful.map(({ seenAt }) => seenAt))
  const sealed = wal.filter((piece) => piece.sealed).sort((a, b) => a.seenAt - b.seenAt)
  for (const [at, piece] of sealed.entries()) {
    // What it holds was seen after the segment before it ended.
    const since = sealed[at - 1]?.seenAt ?? Number.NEGATIVE_INFINITY
    if (doubtful.length === 0 || piece.seenAt < limitMs || since > untilMs) continue
    const times = await knownTimes(piece, { store, instance, generation: generation.id, ...options })
    for (const { seenAt } of times ?? []) looks.add(seenAt)
  }
  return sorted(looks)
}

function sorted(looks: ReadonlySet<number>): number[] {
  return [...looks].sort((a, b) => a - b)
}

/** The look before the one that found it: what was found then would have been noted. */
function madeAfter({ seenAt }: BlockDeletion, looks: readonly number[]): number {
  return looks.filter((look) => look <= seenAt).at(-2) ?? Number.NEGATIVE_INFINITY
}
