import type { FailedComponent, ReportedArchive } from './archives-report.ts'

/** What `archive` is asked to do. */
export interface ArchiveVerbRequest {
  /** Takes over an instance name that another machine or data directory wrote under. */
  adopt: boolean
  /** Names of configured repositories; empty means all. */
  repositories: string[]
}

export interface ArchiveOutcome {
  name: string
  url: string
  ok: boolean
  uploadedBytes: number
  reusedBytes: number
  error?: { code: string; message: string; hint?: string }
}

export interface ArchiveReport {
  /** A recovery point of components alone: no TSDB is restored from it. */
  recoveryPoint: {
    id: string
    instance: string
    createdAt: string
    archives: ReportedArchive[]
    tiers: string[]
    bytes: number
  }
  failedComponents: FailedComponent[]
  uploadedBytes: number
  reusedBytes: number
  durationMs: number
  stages: { name: string; durationMs: number }[]
  repositories: ArchiveOutcome[]
  warnings: string[]
}
