import type { AnswersReport } from '../verify/verify-report.ts'

export interface RestoreRequest {
  at: { kind: 'latest' } | { kind: 'time'; ms: number } | { kind: 'recovery-point'; id: string }
  /** The TSDB directory to fill; default: the configured one. */
  target?: string
  instance?: string
  repositories: string[]
  dryRun: boolean
  replace: boolean
  /** Takes the recovery point before a moment that cannot be reached. */
  nearest: boolean
  /** The generation of the WAL whose history is followed; default: the newest. */
  generation?: string
  /** Takes in deletions of which it is not known whether they came before the moment. */
  includeDeletes: boolean
  /** Takes blocks that were made later also for a moment in a gap of the log, or where there is none. */
  laterBlocks?: boolean
  /** Starts a throwaway server on a clone of the result and asks the known answers. */
  start: boolean
  /** `user[:group]`, names or numbers. */
  owner?: string
  /** Retention of the server that will use the target. */
  retentionMs?: number
  /** The target will not go live: its retention does not count from now. */
  sideInstance: boolean
  disasterAtMs?: number
}

export interface RestorePlanReport {
  instance: string
  /** Null where the log needs none: it goes on from nothing. */
  recoveryPoint: string | null
  /** Of the log that is replayed; absent where blocks alone are restored. */
  generation?: string
  repository: string
  requestedAt: string
  recoverableAt: string | null
  /** Why the plan ends where it does. */
  stoppedBy: string
  target: string
  blocks: { ulid: string; minTime: string; maxTime: string; bytes: number; samples: number; head: boolean; /** What is later in it is cut away. */ cutAt?: string }[]
  bytes: number
  objects: number
  /** Checks made before anything is touched. */
  preflight: { name: string; ok: boolean; detail: string; advice?: string }[]
  estimateSeconds: number | null
  warnings: string[]
}

export interface RestoreReport {
  dryRun: boolean
  plan: RestorePlanReport
  requestedAt: string
  /** Time of the newest restored sample. */
  recoverableAt: string | null
  target: string
  stoppedBy: string
  stages: { name: string; durationMs: number }[]
  bytes: number
  /** Bytes that were in place from an interrupted run and were right. */
  resumedBytes: number
  /** `--disaster-at` less the newest restored sample; null when there is none. */
  rpoSeconds: number | null
  /** From the decision to the first correct answer; null when no server was started. */
  rtoSeconds: number | null
  /** Objects that were damaged or missing in one repository and taken from another. */
  repaired: { key: string; from: string; reason: string }[]
  /** Where `--replace` moved the old content. */
  replacedTo: string | null
  answers: AnswersReport | null
  /** Repositories that could not be read: they may hold newer recovery points. */
  unreachable: { repository: string; url: string; message: string }[]
  warnings: string[]
}
