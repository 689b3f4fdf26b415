import { type GrafanaContent, type GrafanaFolder, type GrafanaObject, redacted, sameContent, textField } from '../integrations/grafana/grafana-content.ts'

/** One write, in the order in which Grafana takes them: what is referred to comes before what refers to it. */
export type GrafanaStep =
  | { kind: 'folder'; name: string; present: boolean; folder: GrafanaFolder }
  | { kind: 'data source' | 'mute timing' | 'contact point'; name: string; present: boolean; object: GrafanaObject }
  | { kind: 'template'; name: string; present: boolean; object: GrafanaObject }
  | { kind: 'policies'; name: string; present: boolean; object: GrafanaObject }
  | { kind: 'rule group'; name: string; present: boolean; group: GrafanaContent['ruleGroups'][number] }
  | { kind: 'dashboard'; name: string; present: boolean; dashboard: GrafanaContent['dashboards'][number] }

export interface GrafanaPlan {
  steps: GrafanaStep[]
  /** Secrets that Grafana never gave out and that are not there any more. */
  toReenter: string[]
  warnings: string[]
}

/** What a new contact point holds instead of a secret until somebody enters it: it fails loudly, and leads nowhere. */
export const placeholder = 'http://127.0.0.1:9/re-enter-this-secret'

/**
 * What brings a Grafana from `live` to `archived`. What is equal is left alone, what is only live too. `parts` (uids or titles of folders)
 * restricts it to these folders with all below them: their dashboards and rules, and nothing else.
 */
export function planGrafana(archived: GrafanaContent, live: GrafanaContent, parts: readonly string[]): GrafanaPlan {
  const plan: GrafanaPlan = { steps: [], toReenter: [], warnings: [] }
  const wanted = chosenFolders(archived.folders, parts)
  const folderUids = planFolders(plan, archived, { live, wanted })
  if (parts.length === 0) {
    planDataSources(plan, archived, live)
    for (const template of archived.templates) planNamed(plan, { kind: 'template', object: template, among: live.templates, key: 'name' })
    for (const timing of archived.muteTimings) planNamed(plan, { kind: 'mute timing', object: timing, among: live.muteTimings, key: 'name' })
    for (const point of archived.contactPoints) planContactPoint(plan, point, live.contactPoints)
    if (archived.policies !== null && !sameContent(archived.policies, live.policies)) plan.steps.push({ kind: 'policies', name: 'notification policies', present: live.policies !== null, object: archived.policies })
  }
  for (const group of archived.ruleGroups) {
    if (!wanted.has(group.folderUid)) continue
    const placed = { ...group, folderUid: folderUids(group.folderUid), rules: group.rules.map((rule) => ({ ...rule, folderUID: folderUids(group.folderUid) })) }
    const present = live.ruleGroups.find((other) => other.folderUid === placed.folderUid && other.title === placed.title)
    if (!sameContent(placed, present)) plan.steps.push({ kind: 'rule group', name: placed.title, present: present !== undefined, group: placed })
  }
  for (const dashboard of archived.dashboards) {
    if (dashboard.folderUid === null ? parts.length > 0 : !wanted.has(dashboard.folderUid)) continue
    planDashboard(plan, { ...dashboard, folderUid: dashboard.folderUid === null ? null : folderUids(dashboard.folderUid) }, live)
  }
  return plan
}

/** Uids of the folders that are meant, with all below them. */
function chosenFolders(folders: readonly GrafanaFolder[], parts: readonly string[]): ReadonlySet<string> {
  if (parts.length === 0) return new Set(folders.map(({ uid }) => uid))
  const chosen = new Set(folders.filter(({ uid, title }) => parts.includes(uid) || parts.includes(title)).map(({ uid }) => uid))
  for (let before = -1; before !== chosen.size; ) {
    before = chosen.size
    for (const { uid, parentUid } of folders) if (parentUid !== null && chosen.has(parentUid)) chosen.add(uid)
  }
  return chosen
}

/** Parents first. @returns where a folder of the archive is in the live Grafana: one of the same name in the same place stands for it */
function planFolders(plan: GrafanaPlan, archived: GrafanaContent, { live, wanted }: { live: GrafanaContent; wanted: ReadonlySet<string> }): (uid: string) => string {
  const byUid = new Map(archived.folders.map((folder) => [folder.uid, folder]))
  const placed = new Map<string, string>()
  const place = (uid: string, above: readonly string[]): string => {
    const known = placed.get(uid)
    const folder = byUid.get(uid)
    if (known !== undefined || folder === undefined) return known ?? uid
    const hasParent = folder.parentUid !== null && byUid.has(folder.parentUid) && !above.includes(folder.parentUid)
    if (folder.parentUid !== null && !hasParent) plan.warnings.push(`folder ${folder.title} was in ${folder.parentUid}, which the archive does not have; it goes to the top`)
    const parentUid = hasParent ? place(folder.parentUid as string, [...above, uid]) : null
    const same = live.folders.find((other) => other.uid === uid)
    const namesake = live.folders.find((other) => other.title === folder.title && other.parentUid === parentUid)
    placed.set(uid, same?.uid ?? namesake?.uid ?? uid)
    if (same === undefined && namesake !== undefined) plan.warnings.push(`folder ${folder.title} is there under the uid ${namesake.uid}; it is used`)
    if (same === undefined && namesake === undefined) plan.steps.push({ kind: 'folder', name: folder.title, present: false, folder: { ...folder, parentUid } })
    else if (same !== undefined && same.title !== folder.title) plan.steps.push({ kind: 'folder', name: folder.title, present: true, folder: { ...folder, parentUid } })
    return placed.get(uid) as string
  }
  for (const uid of [...wanted].sort()) place(uid, [])
  return (uid) => placed.get(uid) ?? uid
}

function planDataSources(plan: GrafanaPlan, archived: GrafanaContent, live: GrafanaContent): void {
  for (const dataSource of archived.dataSources) {
    const { secureJsonFields, ...object } = dataSource
    const [uid, name] = [textField(dataSource, 'uid'), textField(dataSource, 'name')]
    const present = live.dataSources.find((other) => other['uid'] === uid)
    const namesake = live.dataSources.find((other) => other['name'] === name && other['uid'] !== uid)
    if (namesake !== undefined) {
      plan.warnings.push(`data source ${name} is there under the uid ${textField(namesake, 'uid')}, not ${uid}; it was left alone, and what refers to ${uid} will not find it`)
      continue
    }
    const missing = secretsOf(secureJsonFields).filter((secret) => !secretsOf(present?.['secureJsonFields']).includes(secret))
    if (missing.length > 0) plan.toReenter.push(`data source ${name}: ${missing.join(', ')}`)
    const { secureJsonFields: _, ...other } = present ?? {}
    if (present === undefined || !sameContent(object, other)) plan.steps.push({ kind: 'data source', name, present: present !== undefined, object })
  }
}

function secretsOf(fields: unknown): string[] {
  return typeof fields === 'object' && fields !== null ? Object.entries(fields).filter(([, set]) => set === true).map(([name]) => name).sort() : []
}

function planContactPoint(plan: GrafanaPlan, point: GrafanaObject, live: readonly GrafanaObject[]): void {
  const name = textField(point, 'name')
  const present = live.find((other) => other['uid'] === point['uid'])
  if (present !== undefined) {
    if (!sameContent(point, present)) plan.steps.push({ kind: 'contact point', name, present: true, object: point })
    return
  }
  const secrets = redactedFields(point['settings'], '')
  if (secrets.length > 0) plan.toReenter.push(`contact point ${name}: ${secrets.join(', ')} (until then it sends nothing)`)
  plan.steps.push({ kind: 'contact point', name, present: false, object: replaceRedacted(point) as GrafanaObject })
}

function planNamed(plan: GrafanaPlan, { kind, object, among, key }: { kind: 'template' | 'mute timing'; object: GrafanaObject; among: readonly GrafanaObject[]; key: string }): void {
  const present = among.find((other) => other[key] === object[key])
  if (!sameContent(object, present)) plan.steps.push({ kind, name: textField(object, key), present: present !== undefined, object })
}

function planDashboard(plan: GrafanaPlan, dashboard: GrafanaContent['dashboards'][number], live: GrafanaContent): void {
  const present = live.dashboards.find(({ uid }) => uid === dashboard.uid)
  const namesake = live.dashboards.find(({ uid, title, folderUid }) => uid !== dashboard.uid && title === dashboard.title && folderUid === dashboard.folderUid)
  if (present === undefined && namesake !== undefined) {
    plan.warnings.push(`a dashboard ${dashboard.title} is in its folder under the uid ${namesake.uid}, not ${dashboard.uid}; it was left alone: rename it, and restore again`)
    return
  }
  if (!sameContent(dashboard, present)) plan.steps.push({ kind: 'dashboard', name: dashboard.title, present: present !== undefined, dashboard })
}

/** Paths of the secrets that stand as `[REDACTED]`. */
function redactedFields(value: unknown, path: string): string[] {
  if (value === redacted) return [path]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => redactedFields(inner, path === '' ? key : `${path}.${key}`))
}

function replaceRedacted(value: unknown): unknown {
  if (value === redacted) return placeholder
  if (Array.isArray(value)) return value.map(replaceRedacted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, replaceRedacted(inner)]))
}
