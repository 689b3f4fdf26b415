import type { Encryption } from '../../domain/encryption.ts'
import type { Progress } from '../../domain/progress.ts'
import { PromDrError } from '../../errors.ts'
import type { PrometheusApi } from '../../integrations/prometheus/prometheus-api.ts'
import type { TierStorages } from '../../domain/tier-storage.ts'
import type { ObjectStore, ObjectTiering } from '../../stores/object-store.ts'
import type { Clock } from '../../system/clock.ts'
import type { Logger } from '../../system/logger.ts'
import type { ProcessIdentity } from '../../system/machine.ts'
import type { ComponentsContext } from '../components/components-context.ts'

/** A configured repository. */
export interface NamedStore {
  name: string
  store: ObjectStore
  /** Where the store has classes and locks. */
  tiering?: RepositoryTiering | undefined
}

/** How what each tier keeps is stored, and what does it. */
export interface RepositoryTiering {
  objects: ObjectTiering
  tiers: TierStorages
}

export interface BackupContext {
  instance: string
  prometheus: PrometheusApi
  dataDir?: string | undefined
  /** Opened when they are first asked for: the server is asked before. */
  repositories(): Promise<readonly NamedStore[]>
  /** Absent where only the TSDB is backed up. */
  components?: ComponentsContext | undefined
  /** For whom known answers are sealed; absent where they stand in the clear. */
  answersFor?: Encryption | undefined
  settings: {
    /** ms; default chosen from the server's retention. */
    compactedSpanMs?: number | undefined
    timezone: string
    knownAnswers: { series: number; samplesPerSeries: number; queries: readonly string[] }
    filesAtOnce: number
  }
  self: ProcessIdentity
  isDead(other: ProcessIdentity): boolean
  ownerNames(uid: number, gid: number): Promise<{ user: string | null; group: string | null }>
  clock: Clock
  logger: Logger
  progress: Progress
  signal: AbortSignal
}

/** @throws USAGE for a name that is not configured */
export function chooseRepositories<T extends { name: string }>(configured: readonly T[], names: readonly string[]): readonly T[] {
  for (const name of names) {
    if (configured.some((repository) => repository.name === name)) continue
    throw new PromDrError('USAGE', `no repository is named ${JSON.stringify(name)}`, { hint: `configured are: ${configured.map((repository) => repository.name).join(', ')}` })
  }
  return names.length === 0 ? configured : configured.filter((repository) => names.includes(repository.name))
}
