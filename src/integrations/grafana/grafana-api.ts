import type { GrafanaContent, GrafanaFolder, GrafanaObject } from './grafana-content.ts'

export interface GrafanaConnection {
  url: string
  /** Of a service account. */
  tokenFile?: string
  basicAuth?: { username: string; password?: string; passwordFile?: string }
  tls?: { caFile?: string; certFile?: string; keyFile?: string; serverName?: string; insecureSkipVerify?: boolean }
  timeoutMs?: number
}

export interface RequestOptions {
  signal?: AbortSignal
}

/**
 * Grafana's HTTP API, as far as a backup needs it. Writes are by uid or name and may be repeated. Everything that is written through the
 * provisioning API stays editable in Grafana. @throws COMPONENT_FAILED with what Grafana answered; `details.status` is its status
 */
export interface GrafanaApi {
  /** For people. */
  readonly url: string
  version(options?: RequestOptions): Promise<string>
  /** Actions that the credentials allow; undefined where this Grafana does not tell. */
  permissions(options?: RequestOptions): Promise<ReadonlySet<string> | undefined>
  readContent(options?: RequestOptions): Promise<GrafanaContent>

  createFolder(folder: GrafanaFolder, options?: RequestOptions): Promise<void>
  renameFolder(folder: GrafanaFolder, options?: RequestOptions): Promise<void>
  createDataSource(dataSource: GrafanaObject, options?: RequestOptions): Promise<void>
  /** Keeps the secrets that are there. */
  updateDataSource(dataSource: GrafanaObject, options?: RequestOptions): Promise<void>
  putTemplate(template: GrafanaObject, options?: RequestOptions): Promise<void>
  createMuteTiming(muteTiming: GrafanaObject, options?: RequestOptions): Promise<void>
  updateMuteTiming(muteTiming: GrafanaObject, options?: RequestOptions): Promise<void>
  createContactPoint(contactPoint: GrafanaObject, options?: RequestOptions): Promise<void>
  /** Keeps secrets that are given as `[REDACTED]`. */
  updateContactPoint(contactPoint: GrafanaObject, options?: RequestOptions): Promise<void>
  /** Replaces the whole tree. */
  putPolicies(policies: GrafanaObject, options?: RequestOptions): Promise<void>
  /** Replaces the whole group. */
  putRuleGroup(group: { folderUid: string; title: string; interval: number; rules: readonly GrafanaObject[] }, options?: RequestOptions): Promise<void>
  putDashboard(dashboard: { folderUid: string | null; dashboard: GrafanaObject }, options?: RequestOptions): Promise<void>
  close(): void
}
