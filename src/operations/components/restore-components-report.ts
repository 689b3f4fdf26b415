import type { RestoreReport, RestoreRequest } from '../restore/restore-report.ts'

/** What `restore` is asked to do, beside and within the TSDB. */
export interface RestorePartsRequest extends RestoreRequest {
  /** Absent: the TSDB alone. `tsdb` is one of the names, `config` stands for `prometheus`. */
  only?: readonly string[]
  /** The TSDB and every component. */
  all?: boolean
  /** Files go below this directory, a component each, and nothing is installed. */
  componentsTarget?: string
  /** Installs what a component's own check refuses. */
  force?: boolean
  /** Parts of the component that is named, such as folders of Grafana. */
  parts?: readonly string[]
}

export interface RestoredComponentReport {
  component: string
  kind: string
  recoveryPoint: string
  /** When that was made. */
  createdAt: string
  repository: string
  files: number
  bytes: number
  /** False where it was not restored: `error` says why. */
  ok: boolean
  error?: { code: string; message: string; hint?: string }
  /** What its own check says of the files, but for what is well. */
  findings: { name: string; level: 'warn' | 'fail'; detail: string; advice?: string }[]
  /** What was done, or would be. */
  actions: string[]
  movedAside: { from: string; to: string }[]
  /** What a person has to enter again. */
  toReenter: string[]
  /** What was not in the archive to begin with. */
  leftOut: { path: string; reason: string }[]
  warnings: string[]
}

/** Of the components alone, where the TSDB was not asked for; beside a TSDB, `components` stands in its report. */
export interface ComponentsOnlyReport {
  dryRun: boolean
  requestedAt: string
  /** When the newest recovery point that something came from was made. */
  recoverableAt: string | null
  target: null
  stoppedBy: 'recovery-point'
  stages: { name: string; durationMs: number }[]
  bytes: number
  rpoSeconds: null
  rtoSeconds: null
  repaired: RestoreReport['repaired']
  components: RestoredComponentReport[]
  unreachable: RestoreReport['unreachable']
  warnings: string[]
}

export type RestorePartsReport = (RestoreReport & { components?: RestoredComponentReport[] }) | ComponentsOnlyReport
