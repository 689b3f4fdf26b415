import type { ReadSubset } from '../../domain/read-subset.ts'

export interface VerifyRequest {
  /** Recovery point ids, or `latest`: the newest of the instance, by default of the configured one. Empty means all. */
  ids: string[]
  instance?: string
  repositories: string[]
  readData: boolean
  subset?: ReadSubset
  /** Restores the newest (or each named) recovery point into a temporary directory and asks its known answers. */
  startServer: boolean
}

export interface DamagedObject {
  repository: string
  key: string
  reason: string
  /** Recovery points that name it. */
  recoveryPoints: string[]
}

export interface AnswersReport {
  recoveryPoint: string
  equal: boolean
  series: number
  samples: number
  queries: number
  /** Clipped away or overlapping a later deletion: not asked. */
  skipped: number
  differences: { what: string; expected: string; observed: string }[]
}

export interface VerifyReport {
  ok: boolean
  checkedRecoveryPoints: number
  checkedObjects: number
  /** Bytes whose existence and size were checked. */
  listedBytes: number
  /** Bytes that were read and compared with their digests; 0 without --read-data. */
  checkedBytes: number
  checkedChunks: number
  damaged: DamagedObject[]
  /** The part that --read-data-subset chose. */
  subset: { group: number; groups: number } | null
  answers: AnswersReport[]
  durationMs: number
  unreachable: { repository: string; url: string; message: string }[]
  warnings: string[]
}
