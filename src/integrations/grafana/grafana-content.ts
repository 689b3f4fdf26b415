/** An object as Grafana's API gives it, less what changes by itself (numbers, versions, times, who wrote it). */
export type GrafanaObject = Readonly<Record<string, unknown>>

export interface GrafanaFolder {
  uid: string
  title: string
  /** Null at the top. */
  parentUid: string | null
}

export interface GrafanaDashboard {
  uid: string
  title: string
  /** Null in the general folder. */
  folderUid: string | null
  dashboard: GrafanaObject
}

export interface GrafanaRuleGroup {
  folderUid: string
  title: string
  /** Seconds. */
  interval: number
  rules: GrafanaObject[]
}

/** What can be had through the API, each kind sorted, so that unchanged content is the same. */
export interface GrafanaContent {
  folders: GrafanaFolder[]
  /** With `secureJsonFields`: the names of secrets, which are never given out. */
  dataSources: GrafanaObject[]
  templates: GrafanaObject[]
  muteTimings: GrafanaObject[]
  /** Their secrets read `[REDACTED]`. */
  contactPoints: GrafanaObject[]
  /** The tree of notification policies; null where alerting is off. */
  policies: GrafanaObject | null
  ruleGroups: GrafanaRuleGroup[]
  dashboards: GrafanaDashboard[]
}

/** What stands in place of a secret in what the API gives out. */
export const redacted = '[REDACTED]'

const volatile = {
  dashboard: ['id', 'version', 'iteration'],
  dataSource: ['id', 'orgId', 'version', 'readOnly', 'typeName', 'typeLogoUrl', 'accessControl', 'apiVersion'],
  provisioned: ['id', 'orgID', 'updated', 'provenance', 'version'],
} as const

/** Less what is no content, its keys in order. */
export function contentOf(kind: keyof typeof volatile, object: GrafanaObject): GrafanaObject {
  return inOrder(Object.fromEntries(Object.entries(object).filter(([key]) => !(volatile[kind] as readonly string[]).includes(key)))) as GrafanaObject
}

/** Keys sorted at every level, so that equal values are equal texts. */
export function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, inOrder(inner)]))
}

export function sameContent(a: unknown, b: unknown): boolean {
  return JSON.stringify(inOrder(a)) === JSON.stringify(inOrder(b))
}

/** Text of a field; '' where it is none. */
export function textField(object: GrafanaObject, key: string): string {
  const value = object[key]
  return typeof value === 'string' ? value : ''
}
