export interface ReEncryptRequest {
  /** Names of configured repositories; empty means all. */
  repositories: string[]
}

export interface ReEncryptedRepository {
  name: string
  url: string
  /** False where it could not be finished, or where an object could not be opened. */
  ok: boolean
  /** Archives and data objects that were sealed anew or for the first time, and manifests that were rewritten for it. */
  archives: number
  objects: number
  manifests: number
  bytes: number
  /** Archives and data objects that were as they should be. */
  unchanged: number
  /** What stays as it was, and why; the first of many. */
  failed: { key: string; code: string; reason: string }[]
  error?: { code: string; message: string; hint?: string }
}

export interface ReEncryptReport {
  /** Whom everything is sealed for now; empty for a passphrase. */
  recipients: string[]
  repositories: ReEncryptedRepository[]
}
