import { type Coverable, coverOf } from './compaction-cover.ts'

/** A block in the server's snapshot. */
export interface ServerBlock extends Coverable {
  level: number
}

/** What happens with each block of the server, in one repository. */
export interface BackupPlan {
  /** Not stored yet, or not whole: to be uploaded. */
  upload: string[]
  /** Stored under its own ULID. */
  reuse: string[]
  /** By the ULID of a compacted block that is not stored: the stored blocks named in its place. */
  covers: Map<string, string[]>
  /** By the ULID of a block to be uploaded: stored blocks with the same samples, should it turn out that it cannot be read. */
  standIns: Map<string, string[]>
  /** Every block that the recovery point names, each once. */
  named: string[]
}

/**
 * Backup is subtraction: what the server has less what is stored. A compacted block whose samples are stored in other
 * blocks is not uploaded until it spans `compactedSpanMs`; from then on it replaces them, so that old history
 * is few and large objects.
 */
export function planBackup(server: readonly ServerBlock[], stored: readonly Coverable[], compactedSpanMs: number): BackupPlan {
  const storedUlids = new Set(stored.map((block) => block.ulid))
  const plan: BackupPlan = { upload: [], reuse: [], covers: new Map(), standIns: new Map(), named: [] }
  for (const block of server) {
    if (storedUlids.has(block.ulid)) {
      plan.reuse.push(block.ulid)
      continue
    }
    const small = block.maxTime - block.minTime < compactedSpanMs
    const cover = block.level > 1 ? coverOf(block, stored)?.map((part) => part.ulid) : undefined
    if (cover !== undefined && small) {
      plan.covers.set(block.ulid, cover)
      continue
    }
    plan.upload.push(block.ulid)
    if (cover !== undefined) plan.standIns.set(block.ulid, cover)
  }
  plan.named = [...new Set([...plan.upload, ...plan.reuse, ...[...plan.covers.values()].flat()])].sort()
  return plan
}
