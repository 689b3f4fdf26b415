/** Where an Alertmanager answers. The URL may carry a path prefix (`--web.route-prefix`, a reverse proxy). */
export interface AlertmanagerConnection {
  url: string
  basicAuth?: { username: string; password?: string; passwordFile?: string }
  /** Read again at each request. */
  bearerTokenFile?: string
  tls?: { caFile?: string; certFile?: string; keyFile?: string; serverName?: string; insecureSkipVerify?: boolean }
  /** For one answer, to its last byte. Default 30 s. */
  timeoutMs?: number
}

export interface SilenceMatcher {
  name: string
  value: string
  isRegex: boolean
  isEqual: boolean
}

/** What makes a silence; times are RFC 3339, as the server prints them. */
export interface SilenceContent {
  matchers: SilenceMatcher[]
  startsAt: string
  endsAt: string
  createdBy: string
  comment: string
}

export interface Silence extends SilenceContent {
  id: string
  updatedAt: string
}

export type SilenceState = 'pending' | 'active' | 'expired'

export interface AlertmanagerStatus {
  version: string
  /** Of the cluster: `ready`, `settling`, `disabled`. */
  cluster: string
  /** Others that it gossips with, this one included. */
  peers: number
  startedAt: Date
}

export interface ConfigReload {
  /** Of the last time that it read its configuration. */
  successful: boolean
  /** When it last read it with success. */
  lastSuccessAt: Date
}

export type AlertmanagerReload = { outcome: 'reloaded' } | { outcome: 'failed'; reason: string }

export interface AlertmanagerRequestOptions {
  signal?: AbortSignal
  timeoutMs?: number
}

/**
 * A running Alertmanager with API v2 (0.16 and later).
 *
 * Every call throws ALERTMANAGER_UNREACHABLE (down, timed out, TLS refused), ALERTMANAGER_BAD_RESPONSE (credentials refused, an error, not
 * Alertmanager, more bytes than allowed), INTERRUPTED (the signal) or CONFIG_INVALID (a credential file that cannot be read).
 * No credential appears in `url` or in an error.
 */
export interface AlertmanagerApi {
  /** For people; without credentials. */
  readonly url: string

  status(options?: AlertmanagerRequestOptions): Promise<AlertmanagerStatus>

  /** All that it has, expired ones too while it keeps them, sorted by id. */
  silences(options?: AlertmanagerRequestOptions): Promise<(Silence & { state: SilenceState })[]>

  /** Makes a new one and returns its id; a `startsAt` that is past becomes now. Never tried twice. */
  createSilence(silence: SilenceContent, options?: AlertmanagerRequestOptions): Promise<string>

  /** Has it read its configuration anew, and waits for the outcome. */
  reload(options?: AlertmanagerRequestOptions): Promise<AlertmanagerReload>

  /** From its own metrics. */
  configReload(options?: AlertmanagerRequestOptions): Promise<ConfigReload>
}
