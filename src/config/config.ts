import type { Retention } from '../domain/retention.ts'
import type { Prices } from '../domain/storage-cost.ts'
import type { TierStorages } from '../domain/tier-storage.ts'
import type { ComponentsConfig } from './components-config.ts'
import type { BasicAuthConfig, TlsConfig } from './server-access.ts'

export type HeadMode = 'auto' | 'always' | 'never'

/** The one validated value everything is composed from; frozen to the bottom. Paths are absolute. */
export interface Config {
  /** The file it was read from; null when there is none. */
  source: string | null
  /** One segment of every key this host writes. */
  instance: string
  prometheus: PrometheusConfig
  repositories: RepositoryConfig[]
  backup: BackupConfig
  ship: ShipConfig
  restore: RestoreConfig
  components: ComponentsConfig
  transfer: TransferConfig
  encryption: EncryptionConfig
  objectives: { rpoMs: number; rtoMs: number }
  /** What storage costs, for `status --cost`. */
  prices: Prices
}

export interface PrometheusConfig {
  /** Without a trailing slash and without credentials. */
  url: string
  /** Default: discovered through the API. */
  dataDir?: string
  /** The prometheus program for throwaway servers: a path, or a name found on PATH. */
  binary?: string
  basicAuth?: BasicAuthConfig
  bearerTokenFile?: string
  tls?: TlsConfig
  timeoutMs: number
}

export interface RepositoryConfig {
  name: string
  /** `file:///dir` or `s3://bucket/prefix`, without a trailing slash. */
  url: string
  s3?: S3Config
  /** What "prom-dr expire" keeps in it. */
  retention: Retention
  /** How what each tier keeps is stored. */
  tiers: TierStorages
}

export interface S3Config {
  region?: string
  endpoint?: string
  forcePathStyle?: boolean
  profile?: string
  accessKeyId?: string
  secretAccessKey?: string
  sessionToken?: string
  partSizeBytes?: number
  /** Parts of one object sent at a time. */
  concurrency?: number
  caFile?: string
  sse?: 'AES256' | 'aws:kms'
  sseKmsKeyId?: string
}

export interface BackupConfig {
  head: HeadMode
  /** A compacted block this long is stored itself. Default: chosen from the server's retention. In ms. */
  compactedSpan?: number
  knownAnswers: { series: number; samplesPerSeries: number; queries: string[] }
  /** IANA name of the zone in which hours, days and weeks of the retention tiers begin. */
  timezone: string
}

export interface ShipConfig {
  /** How often new bytes of the WAL are sent. */
  intervalMs: number
  /** What is sent in one part, before compression. */
  partBytes: number
  /** What segments that Prometheus has removed unshipped may take on its disk. */
  holdBytes: number
  /** How long WAL is kept that blocks have replaced. */
  windowMs: number
  /** Of the process that ships, 0 (as others) to 19 (when nothing else wants to run). */
  niceness: number
  /** Cores' worth of CPU time that catching up may use on average. */
  cpuCores: number
  /** Makes a recovery point with the head where what is shipped does not restore everything, as after a gap. */
  backupAfterGap: boolean
  /** Where metrics are written for node_exporter's textfile collector; ends in `.prom`. */
  metricsFile?: string
}

export interface RestoreConfig {
  target?: string
  /** `user` or `user:group`, names or numbers. */
  owner?: string
  /** Retention of the server that will use the target. */
  retentionMs?: number
}

export interface EncryptionConfig {
  /** Public keys that everything new is sealed for. Without any, and without a passphrase, nothing is encrypted. */
  recipients: string[]
  /** The private side, for hosts that restore. It need not be there before something is opened. */
  identityFile?: string
  passphraseFile?: string
  passphrase?: string
  /** Blocks, heads and WAL too, not only archives. */
  data: boolean
}

export interface TransferConfig {
  /** Objects sent or fetched at a time. */
  concurrency: number
  uploadBytesPerSecond?: number
  downloadBytesPerSecond?: number
  /** How long one request is tried again before it has failed. */
  retryBudgetMs: number
}
