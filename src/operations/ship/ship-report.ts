/** What `ship` is asked to do. */
export interface ShipRequest {
  /** One pass over everything there is, instead of going on until interrupted. */
  once: boolean
  adopt: boolean
  /** Goes on although another host was restored from this history: its own goes on as a new generation. */
  newGeneration: boolean
  repositories: string[]
}

/** A time range, RFC 3339, of which the WAL stream has nothing; recovery points may. */
export interface ShippedGap {
  from: string | null
  to: string
  reason: string
}

/** Corruption in Prometheus's own log: everything before the offset is good. */
export interface SourceDamage {
  path: string
  segment: number
  /** Bytes from the start of the segment. */
  offset: number
  message: string
}

/** Records of a type that only newer servers know: they are shipped all the same. */
export interface UnknownRecordType {
  /** The record's first byte. */
  type: number
  /** Where the first one is. */
  path: string
  segment: number
  offset: number
}

/** A recovery point with the head that shipping made, or tried to: what is shipped would not have restored everything. */
export interface ShippedBackup {
  repository: string
  reason: string
  ok: boolean
  /** Its id; null when it failed. */
  recoveryPoint: string | null
  error?: { code: string; message: string; hint?: string }
}

export interface ShippedRepository {
  name: string
  url: string
  ok: boolean
  generation: string | null
  /** Where the stream ends now, `segment:offset`. */
  shippedTo: string | null
  /** RFC 3339. */
  newestSample: string | null
  lagSeconds: number | null
  parts: number
  bytes: number
  /** Samples that no stream holds, found in this run. */
  gaps: ShippedGap[]
  error?: { code: string; message: string; hint?: string }
}

/** The figures of the first repository that took everything; all of them in `repositories`. */
export interface ShipReport {
  instance: string
  shippedTo: string | null
  newestSample: string | null
  lagSeconds: number | null
  generation: string | null
  parts: number
  bytes: number
  repositories: ShippedRepository[]
  /** Corruption in Prometheus's own log: what is before it is shipped. */
  corruption: SourceDamage[]
  unknownRecords: UnknownRecordType[]
  /** The last outcome for each repository and reason. */
  backups: ShippedBackup[]
  warnings: string[]
}
