export interface ShowFileRequest {
  /** A recovery point's id, or `latest`. */
  id: string
  /** `<component>/<path in its archive>`. */
  path: string
  instance?: string
  repositories: string[]
}

export interface ShownFile {
  recoveryPoint: string
  component: string
  path: string
  sizeBytes: number
  mode: number
  sha256: string
  content: Uint8Array
}

export interface DiffRequest {
  /** A recovery point's id, or `latest`. */
  from: string
  to: string
  instance?: string
  repositories: string[]
}

export interface ArchivedFileChange {
  path: string
  /** `mode`: its bytes are the same. */
  change: 'added' | 'removed' | 'changed' | 'mode'
  before: { sha256: string; sizeBytes: number; mode: number } | null
  after: { sha256: string; sizeBytes: number; mode: number } | null
  /** Unified, line by line; null where either side is no text, or they have too little in common. */
  diff: string[] | null
}

export interface DiffReport {
  from: { id: string; createdAt: string }
  to: { id: string; createdAt: string }
  components: {
    component: string
    change: 'added' | 'removed' | 'changed' | 'same'
    files: ArchivedFileChange[]
  }[]
}
