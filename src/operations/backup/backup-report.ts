import type { DamagedBlock, HeadPlace } from '../../domain/recovery-point.ts'
import type { FailedComponent, ReportedArchive } from '../components/archives-report.ts'

/** What `backup` is asked to do. */
export interface BackupRequest {
  head: 'auto' | 'always' | 'never'
  /** Takes over an instance name that another machine or data directory wrote under. */
  adopt: boolean
  /** Names of configured repositories; empty means all. */
  repositories: string[]
}

/** One repository's part of a backup. */
export interface RepositoryOutcome {
  name: string
  url: string
  ok: boolean
  /** Bytes stored in this repository by this backup: blocks, head, manifest and all else. */
  uploadedBytes: number
  /** Bytes that the recovery point names and that were there already. */
  reusedBytes: number
  uploadedBlocks: number
  reusedBlocks: number
  /** Compacted blocks of the server that stored blocks stand in for. */
  coveredBlocks: number
  error?: { code: string; message: string; hint?: string }
}

export interface BackupReport {
  /** Components that were asked for and are not in the recovery point, in one repository at least. */
  failedComponents: FailedComponent[]
  recoveryPoint: {
    id: string
    instance: string
    createdAt: string
    /** Newest sample, RFC 3339; null when the server has none. */
    maxTime: string | null
    headIncluded: boolean
    /** Where what was in memory is: in the recovery point, in the shipped WAL, or nowhere. */
    head: HeadPlace
    blocks: number
    archives: ReportedArchive[]
    tiers: string[]
    samples: number
    bytes: number
    knownAnswers: { series: number; samples: number; queries: number; dropped: number }
  }
  uploadedBytes: number
  reusedBytes: number
  durationMs: number
  stages: { name: string; durationMs: number }[]
  repositories: RepositoryOutcome[]
  /** Found in what was read to be stored; blocks that are stored already are not read again. */
  damagedAtSource: DamagedBlock[]
  warnings: string[]
}
