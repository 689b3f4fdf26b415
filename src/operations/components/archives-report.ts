/** An archive of a recovery point, as reports show it. */
export interface ReportedArchive {
  component: string
  kind: string
  files: number
  /** Of the plain files. */
  contentBytes: number
  /** In the repository, external data included. */
  bytes: number
  encrypted: boolean
  /** Stored for an earlier recovery point, and used again. */
  reused: boolean
  leftOut: { path: string; reason: string }[]
}

/** A component that was asked for and is not in the recovery point. */
export interface FailedComponent {
  component: string
  kind: string
  error: { code: string; message: string; hint?: string }
}
