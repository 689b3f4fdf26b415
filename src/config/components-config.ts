import type { BasicAuthConfig, TlsConfig } from './server-access.ts'

/** What belongs to the stack beside the TSDB. What is absent is left out. */
export interface ComponentsConfig {
  prometheus: PrometheusComponentConfig
  alertmanager?: AlertmanagerConfig
  grafana?: GrafanaConfig
  pushgateway?: { persistenceFile: string }
  haproxy?: ProgramConfig
  nginx?: ProgramConfig
  keepalived?: ProgramConfig
  victoriametrics?: VictoriaMetricsConfig
  files: { name: string; paths: string[] }[]
  commands: CommandConfig[]
}

export interface PrometheusComponentConfig {
  enabled: boolean
  /** Default: the server is asked. */
  configFile?: string
  promtool?: string
  /** Argv of what has the server load what a restore put in place; default: its API is asked. */
  reload?: string[]
  /** Directories beside the configuration's own that a restore may write to. */
  places?: string[]
}

/** How a server is reached that wants to know who asks. */
interface ServerAccess {
  /** Without a trailing slash and without credentials. */
  url: string
  basicAuth?: BasicAuthConfig
  tls?: TlsConfig
}

export interface AlertmanagerConfig extends ServerAccess {
  bearerTokenFile?: string
  configFile?: string
  dataDir?: string
  amtool?: string
  reload?: string[]
  places?: string[]
}

export interface GrafanaConfig extends ServerAccess {
  tokenFile?: string
  /** By uid or title; empty means all. */
  folders: string[]
  /** Absolute paths and patterns. */
  provisioning: string[]
  /** `grafana.db`. */
  database?: string
  /** Where a restore puts what it overwrites. */
  asideDirectory: string
}

export interface ProgramConfig {
  configFile?: string
  /** Absolute paths and patterns; default: the directory of the configuration file. */
  paths?: string[]
  /** Argv of what has the running program take the files over. */
  reload?: string[]
}

export interface VictoriaMetricsConfig {
  url: string
  storageDataPath: string
  authKeyFile?: string
  vmbackup?: string
  vmrestore?: string
}

export interface CommandConfig {
  name: string
  /** Argv, never a shell. */
  backup: string[]
  restore?: string[]
  timeoutMs: number
  maxBytes: number
}

/** Every configured component's name beside `prometheus`, with its place in the file. */
export const builtInComponents = ['alertmanager', 'grafana', 'pushgateway', 'haproxy', 'nginx', 'keepalived', 'victoriametrics'] as const

/** Words of `--only` that no component can have for a name. */
export const reservedNames: readonly string[] = ['tsdb', 'config', 'all', 'prometheus']
