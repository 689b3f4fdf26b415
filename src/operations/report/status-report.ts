import type { CostReport } from './cost-report.ts'
import type { ProtectionHealth } from '../../domain/stream-health.ts'

export interface StatusRequest {
  instance?: string
  /** Names of configured repositories; empty means all. */
  repositories: string[]
  /** Also what is stored, and what it costs. */
  cost?: boolean
}

/** How far one repository has got. Times are RFC 3339. */
export interface RepositoryStatus {
  name: string
  /** What would be lost if the host vanished now: now less the newest shipped sample; null when none was shipped, or there is no recovery point and the log needs one. */
  rpoSeconds: number | null
  /** `segment:offset` of the newest generation. */
  shippedTo: string | null
  generation: string | null
  newestSample: string | null
  heartbeatAt: string | null
  lastRecoveryPointAt: string | null
}

/** Of the repository that has got furthest; each one's own figures in `repositories`. */
export interface InstanceStatus extends Omit<RepositoryStatus, 'name'> {
  name: string
  lastVerifiedAt: string | null
  lastDrill: null
  health: ProtectionHealth
  reason: string
  repositories: RepositoryStatus[]
}

export interface StatusReport {
  instances: InstanceStatus[]
  /** Where it was asked for. */
  cost?: CostReport
  damaged: { repository: string; key: string; reason: string }[]
  unreachable: { repository: string; url: string; message: string }[]
}
