export interface HoldRequest {
  /** A recovery point's id, or `latest`: the newest of the instance in any of the repositories. */
  id: string
  /** Default: for an id, whose it is; for `latest`, as configured. */
  instance?: string
  /** Names of configured repositories; empty means all. */
  repositories: string[]
  /** Undefined releases it. */
  hold: { until: Date; reason: string } | undefined
}

export interface HoldReport {
  id: string
  instance: string
  /** RFC 3339; null when it was released. */
  until: string | null
  reason: string | null
  repositories: {
    name: string
    url: string
    /** `absent`: the repository does not have this recovery point, so that there is nothing to hold. */
    result: 'held' | 'released' | 'absent' | 'failed'
    error?: { code: string; message: string; hint?: string }
  }[]
}
