import type { BitSample } from '../../domain/known-answers.ts'

/** Where a Prometheus answers. The URL may carry a path prefix (`--web.route-prefix`, a reverse proxy). */
export interface PrometheusConnection {
  url: string
  basicAuth?: { username: string; password?: string; passwordFile?: string }
  /** Read again at each request. */
  bearerTokenFile?: string
  tls?: { caFile?: string; certFile?: string; keyFile?: string; serverName?: string; insecureSkipVerify?: boolean }
  /** For one answer, to its last byte. Default 30 s; a snapshot may take 20 times as long. */
  timeoutMs?: number
}

export interface RuntimeInfo {
  startTime: Date
  /** The working directory: what relative paths in its flags are relative to. */
  cwd: string
  /** As the server prints it: `15d`, `15d or 512MiB`. */
  storageRetention: string
  /** Of the last time that it read its configuration, at its start or since. */
  reloadConfigSuccess: boolean
  /** When it last read its configuration with success, in whole seconds. */
  lastConfigTime: Date
  corruptionCount: number
}

export type ReloadOutcome = { outcome: 'reloaded' } | { outcome: 'off' } | { outcome: 'failed'; reason: string }

export interface BuildInfo {
  version: string
  revision: string
  goVersion: string
}

export interface PrometheusConfig {
  /** Re-marshalled, with secrets masked: for reading, not for archiving. */
  yaml: string
  externalLabels: Record<string, string>
}

export interface TsdbStatus {
  numSeries: number
  chunkCount: number
  /** Of the head, in ms; undefined while it holds nothing. */
  headMinTime: number | undefined
  headMaxTime: number | undefined
}

/** What the server deletes: blocks beyond `timeMs`, the oldest beyond `sizeBytes` or `diskPercent`; absent is no limit. */
export interface Retention {
  timeMs?: number
  sizeBytes?: number
  /** From 3.11. */
  diskPercent?: number
}

/** Segment numbers: replay runs from `min` to `max` and is at `current`. */
export interface WalReplay {
  min: number
  max: number
  current: number
}

export interface ServerTime {
  /** From the Date header, so in whole seconds. */
  at: Date
  roundTripMs: number
  /** The server's clock less ours, exact to `uncertaintyMs`. */
  offsetMs: number
  uncertaintyMs: number
}

export type MatcherType = '=' | '!=' | '=~' | '!~'

export interface LabelMatcher {
  type: MatcherType
  name: string
  value: string
}

/** Both ends included, in ms. */
export interface TimeRange {
  startMs: number
  endMs: number
}

export interface RawSeries {
  /** With the server's external labels added, where the series has none of that name: remote read does that. */
  labels: Record<string, string>
  /** In time order. Floats only. */
  samples: BitSample[]
  /** How many native histogram samples the range holds beside them. */
  histogramSamples: number
}

export interface RequestOptions {
  signal?: AbortSignal
  timeoutMs?: number
}

/**
 * A running Prometheus, 2.42 to 3.x.
 *
 * Every call throws PROMETHEUS_UNREACHABLE (down, timed out, TLS refused), PROMETHEUS_UNAUTHORIZED (401, 403),
 * PROMETHEUS_NOT_READY (503: it replays its WAL, or stops), PROMETHEUS_BAD_RESPONSE (not Prometheus, an API error, more
 * bytes than allowed), INTERRUPTED (the signal) or CONFIG_INVALID (a credential file that cannot be read).
 * No credential appears in `url` or in an error.
 */
export interface PrometheusApi {
  /** For people; without credentials. */
  readonly url: string

  flags(options?: RequestOptions): Promise<Record<string, string>>
  runtimeInfo(options?: RequestOptions): Promise<RuntimeInfo>
  buildInfo(options?: RequestOptions): Promise<BuildInfo>
  config(options?: RequestOptions): Promise<PrometheusConfig>
  tsdbStatus(options?: RequestOptions): Promise<TsdbStatus>

  /** The TSDB's directory on the server's own file system, absolute. */
  dataDirectory(options?: RequestOptions): Promise<string>
  retention(options?: RequestOptions): Promise<Retention>
  minBlockDurationMs(options?: RequestOptions): Promise<number>
  maxBlockDurationMs(options?: RequestOptions): Promise<number>

  /** False while it starts; throws when nothing answers. */
  isReady(options?: RequestOptions): Promise<boolean>
  walReplay(options?: RequestOptions): Promise<WalReplay>
  serverTime(options?: RequestOptions): Promise<ServerTime>

  /**
   * Takes a snapshot and returns its name, a directory below `<data directory>/snapshots/`. Never tried twice.
   * Whoever takes one removes the directory: no API does.
   * @throws ADMIN_API_DISABLED
   */
  takeSnapshot(options: RequestOptions & { skipHead: boolean }): Promise<string>

  /**
   * Has it read its configuration anew, and waits for the outcome. Never tried twice.
   * `off`: it was not started with --web.enable-lifecycle.
   */
  reload(options?: RequestOptions): Promise<ReloadOutcome>

  /**
   * The answer of an instant query, as JSON text with sorted keys and series: equal texts are equal answers.
   * Values stay the text the server printed.
   */
  query(promql: string, timeMs: number, options?: RequestOptions): Promise<string>

  /** The values of a label in the range, sorted; `match` narrows the series. */
  labelValues(name: string, range: TimeRange & RequestOptions & { match?: readonly LabelMatcher[] }): Promise<string[]>

  /** Label sets of the series in the range that match all matchers. External labels are not added. */
  series(matchers: readonly LabelMatcher[], range: TimeRange & RequestOptions): Promise<Record<string, string>[]>

  /**
   * Samples bit for bit, stale markers (7ff0000000000002) and NaNs (7ff8000000000001) as stored; only a negative zero
   * comes back as zero, as the server leaves zeros out of its answer.
   * An `=` matcher on an external label's own value is not applied by the server: compare the labels of what comes back
   * (`domain/external-labels.ts`).
   */
  remoteRead(request: TimeRange & RequestOptions & { matchers: readonly LabelMatcher[] }): Promise<RawSeries[]>
}
