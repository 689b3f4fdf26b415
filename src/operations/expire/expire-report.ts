import type { Retention } from '../../domain/retention.ts'

export interface ExpireRequest {
  /** Default: the configured instance. */
  instance?: string
  /** Every instance of each repository. */
  allInstances: boolean
  /** Names of configured repositories; empty means all. */
  repositories: string[]
  /** False: nothing is changed. */
  apply: boolean
  /** In the place of the repositories' own. */
  retention?: Retention
}

export interface ExpiredPoint {
  id: string
  repository: string
  instance: string
  /** RFC 3339. */
  createdAt: string
  tiers: string[]
}

/** What was done to what nothing names. */
export interface SweptCounts {
  /** Blocks that nothing names any more, marked now. */
  markedBlocks: number
  deletedBlocks: number
  /** Heads, tombstones, archives and external data alike. */
  markedObjects: number
  deletedObjects: number
  /** Bytes of everything that was removed, and of everything that waits marked. */
  freedBytes: number
  waitingBytes: number
}

export interface RepositoryExpiry extends SweptCounts {
  name: string
  url: string
  ok: boolean
  instances: string[]
  retention: Retention
  removed: number
  kept: number
  /** When the first of what waits may go, RFC 3339. */
  nextRemovalAt: string | null
  /** What would have gone, and is locked until then (RFC 3339). Locked recovery points are among the kept. */
  locked: { name: string; until: string }[]
  /** Copied within the store to the class of the tier that they live on for. */
  movedObjects: number
  movedBytes: number
  error?: { code: string; message: string; hint?: string }
}

/** What was done; without `applied`, what would be. */
export interface ExpireReport {
  applied: boolean
  removed: (ExpiredPoint & { reason: string })[]
  kept: (ExpiredPoint & { reasons: string[] })[]
  markedBlocks: number
  deletedBlocks: number
  freedBytes: number
  repositories: RepositoryExpiry[]
  warnings: string[]
}
