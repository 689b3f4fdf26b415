import type { DamagedBlock, HeadPlace } from '../../domain/recovery-point.ts'
import type { ReportedArchive } from '../components/archives-report.ts'

export interface ShowRequest {
  /** A recovery point's id, or `latest`. */
  id: string
  instance?: string
  repositories: string[]
  /** Lists the files of archives, too. */
  files?: boolean
}

export interface ShownArchive extends Omit<ReportedArchive, 'reused'> {
  /** Where they were asked for. */
  paths?: { path: string; sizeBytes: number; mode: number; sha256: string }[]
}

export interface ShownBlock {
  ulid: string
  /** RFC 3339, half-open. */
  minTime: string
  maxTime: string
  level: number
  outOfOrder: boolean
  series: number
  samples: number
  bytes: number
  tombstones: boolean
  /** True for the block written from the head, which belongs to this recovery point alone. */
  head: boolean
}

export interface ShowReport {
  id: string
  instance: string
  repository: string
  createdAt: string
  maxTime: string | null
  minTime: string | null
  tiers: string[]
  held: boolean
  /** What holds it back from expiry, RFC 3339; `until` is null where the hold cannot be read, and so holds on. */
  hold: { until: string | null; reason: string } | null
  headIncluded: boolean
  /** Where what was in memory is: in the recovery point, in the shipped WAL, or nowhere. */
  head: HeadPlace
  source: {
    prometheusVersion: string
    dataDir: string
    hostname: string
    externalLabels: Record<string, string>
    retention: string
  }
  blocks: ShownBlock[]
  totals: { blocks: number; series: number; samples: number; bytes: number }
  archives: ShownArchive[]
  knownAnswers: { series: number; samples: number; queries: string[]; dropped: number }
  /** Blocks that the server itself had in a damaged state, and what of them is missing. */
  damagedAtSource: DamagedBlock[]
  cost: { uploadedBytes: number; reusedBytes: number; durationMs: number }
}
