import type { Encryption } from '../../domain/encryption.ts'
import type { PrometheusVersion } from '../../domain/prometheus-version.ts'
import { hasCode } from '../../errors.ts'
import type { PrometheusApi } from '../../integrations/prometheus/prometheus-api.ts'
import type { Clock } from '../../system/clock.ts'
import type { ComponentsContext } from '../components/components-context.ts'
import type { NamedStore } from '../backup/backup.ts'

export interface DoctorEncryption {
  /** Public keys that are configured. */
  recipients: readonly string[]
  /** Whether a passphrase is configured. */
  passphrase: boolean
  data: boolean
  /** Files that hold secrets, as configured; mode null for one that is not there. */
  secretFiles: readonly { what: string; path: string; mode: number | null }[]
  opening: Pick<Encryption, 'decrypt'> | undefined
}

export interface DoctorContext {
  instance: string
  prometheus: PrometheusApi
  /** As configured; otherwise the server is asked. */
  dataDir?: string | undefined
  repositories: readonly NamedStore[]
  host: {
    nodeVersion: string
    machineId: string
    uid: number
    /** Null when there is no configuration file. */
    config: { path: string; mode: number; holdsSecrets: boolean } | null
  }
  /** Absent where nothing of it is configured. */
  encryption?: DoctorEncryption | undefined
  /** Absent where only the TSDB is backed up. */
  components?: ComponentsContext | undefined
  settings: { target?: string | undefined; owner?: string | undefined; retentionMs?: number | undefined; metricsFile?: string | undefined }
  /** Undefined where this host does not know the name. */
  ownerNumbers(owner: string): Promise<{ uid: number; gid: number } | undefined>
  localVersion(): Promise<PrometheusVersion | undefined>
  clock: Clock
  signal: AbortSignal
}

/** Clocks further apart than this spoil ages, objectives and request signatures. */
export const worryingClockOffsetMs = 2_000
export const harmfulClockOffsetMs = 5 * 60_000

/** As configured, or as the server says. What is wrong with the server is told where the server is looked at. */
export async function knownDataDirectory({ dataDir, prometheus, signal }: DoctorContext): Promise<string | undefined> {
  if (dataDir !== undefined) return dataDir
  try {
    return await prometheus.dataDirectory({ signal })
  } catch (error) {
    if (hasCode(error, 'PROMETHEUS_UNREACHABLE', 'PROMETHEUS_UNAUTHORIZED', 'PROMETHEUS_NOT_READY', 'PROMETHEUS_BAD_RESPONSE', 'CONFIG_INVALID')) return undefined
    throw error
  }
}
