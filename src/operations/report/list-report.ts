import type { HeadPlace } from '../../domain/recovery-point.ts'

export interface ListRequest {
  instance?: string
  /** Names of configured repositories; empty means all. */
  repositories: string[]
}

export interface ListedRecoveryPoint {
  id: string
  createdAt: string
  maxTime: string | null
  tiers: string[]
  /** Bytes of everything it names (shared blocks counted in each). */
  bytes: number
  blocks: number
  /** Names of the components that are archived in it. */
  archives: string[]
  headIncluded: boolean
  /** Where what was in memory is: in the recovery point, in the shipped WAL, or nowhere. */
  head: HeadPlace
  held: boolean
  /** What holds it back from expiry, RFC 3339; `until` is null where the hold cannot be read, and so holds on. */
  hold: { until: string | null; reason: string } | null
  /** Names of the repositories that have it. */
  repositories: string[]
}

export interface RecoverableWindow {
  from: string
  to: string
  exact: boolean
  /**
   * What a moment in it comes from. `later-blocks`: blocks that were made after it, cut at it, so that deletions and samples that came late are as
   * they were then.
   */
  by: 'log' | 'later-blocks' | 'recovery-points'
}

export interface ListReport {
  instances: {
    name: string
    /** `exact`: any moment in the window can be reached, not only its recovery points. */
    recoverable: RecoverableWindow[]
    /** What the WAL stream lacks. `from` is null when nothing before it is known. */
    gaps: { from: string | null; to: string; reason: string; repository: string }[]
    /** Generations of the WAL that the newest history does not lead through: `--generation` restores from them. */
    branches: { generation: string; repository: string; from: string; to: string | null }[]
    recoveryPoints: ListedRecoveryPoint[]
  }[]
  /** Manifests and documents of the WAL stream that cannot be read: they are damage, never absence. */
  damaged: { repository: string; key: string; reason: string }[]
  /** Repositories that could not be reached. */
  unreachable: { repository: string; url: string; message: string }[]
}
