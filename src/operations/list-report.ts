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
  headIncluded: boolean
  held: boolean
  /** Names of the repositories that have it. */
  repositories: string[]
}

export interface ListReport {
  instances: {
    name: string
    /** `exact`: any moment in the window can be reached, not only its recovery points. */
    recoverable: { from: string; to: string; exact: boolean }[]
    recoveryPoints: ListedRecoveryPoint[]
  }[]
  /** Manifests that cannot be read: they are damage, never absence. */
  damaged: { repository: string; key: string; reason: string }[]
  /** Repositories that could not be reached. */
  unreachable: { repository: string; url: string; message: string }[]
}
