import pLimit from 'p-limit'
import { PromDrError } from '../../errors.ts'
import type { RequestOptions } from './grafana-api.ts'
import type { AskGrafana } from './grafana-call.ts'
import { type GrafanaContent, type GrafanaDashboard, type GrafanaFolder, type GrafanaObject, type GrafanaRuleGroup, contentOf, textField } from './grafana-content.ts'

const requestsAtOnce = 4
const folderPage = 1000
const dashboardPage = 5000
/** More than any Grafana has: an API that ignores `page` would be asked for ever. */
const maxPages = 10_000

/** Reads everything, each kind sorted. What changes in the middle is read as it then is. */
export async function readContent(ask: AskGrafana, options: RequestOptions = {}): Promise<GrafanaContent> {
  const limit = pLimit(requestsAtOnce)
  const provisioned = async (path: string, key: string) => sortedBy(objects(await ask(`/api/v1/provisioning/${path}`, { ...options, missing: 'undefined' })).map((object) => contentOf('provisioned', object)), key)
  const policies = await ask('/api/v1/provisioning/policies', { ...options, missing: 'undefined' })
  return {
    folders: await readFolders(ask, options),
    dataSources: await readDataSources(ask, { ...options, limit }),
    templates: await provisioned('templates', 'name'),
    muteTimings: await provisioned('mute-timings', 'name'),
    contactPoints: await provisioned('contact-points', 'uid'),
    policies: policies === undefined ? null : contentOf('provisioned', policies as GrafanaObject),
    ruleGroups: await readRuleGroups(ask, { ...options, limit }),
    dashboards: await readDashboards(ask, { ...options, limit }),
  }
}

type Limited = RequestOptions & { limit: ReturnType<typeof pLimit> }

/** Folders lie in folders. */
async function readFolders(ask: AskGrafana, options: RequestOptions): Promise<GrafanaFolder[]> {
  const found = new Map<string, GrafanaFolder>()
  const below = async (parentUid: string | null) => {
    const children = await allPages(ask, '/api/folders', { ...options, query: { ...(parentUid !== null && { parentUid }), limit: String(folderPage) } })
    for (const child of children) {
      const uid = textField(child, 'uid')
      // A Grafana without nested folders answers with those at the top for any parent.
      if (found.has(uid) || uid === parentUid) continue
      found.set(uid, { uid, title: textField(child, 'title'), parentUid })
      await below(uid)
    }
  }
  await below(null)
  return [...found.values()].sort((a, b) => (a.uid < b.uid ? -1 : 1))
}

/** The list does not tell which secrets are set: each data source is asked for. */
async function readDataSources(ask: AskGrafana, { limit, ...options }: Limited): Promise<GrafanaObject[]> {
  const listed = objects(await ask('/api/datasources', options))
  const full = await Promise.all(listed.map((dataSource) => limit(() => ask(`/api/datasources/uid/${encodeURIComponent(textField(dataSource, 'uid'))}`, { ...options, missing: 'undefined' }))))
  return sortedBy(full.filter((found) => found !== undefined).map((dataSource) => contentOf('dataSource', dataSource as GrafanaObject)), 'uid')
}

async function readRuleGroups(ask: AskGrafana, { limit, ...options }: Limited): Promise<GrafanaRuleGroup[]> {
  const rules = objects(await ask('/api/v1/provisioning/alert-rules', { ...options, missing: 'undefined' }))
  const names = new Map(rules.map((rule) => [JSON.stringify([rule['folderUID'], rule['ruleGroup']]), { folderUid: textField(rule, 'folderUID'), title: textField(rule, 'ruleGroup') }]))
  const groups = await Promise.all([...names.values()].map(({ folderUid, title }) => limit(async () => {
    const group = (await ask(`/api/v1/provisioning/folder/${encodeURIComponent(folderUid)}/rule-groups/${encodeURIComponent(title)}`, { ...options, missing: 'undefined' })) as GrafanaObject | undefined
    return group && { folderUid, title, interval: Number(group['interval']), rules: objects(group['rules']).map((rule) => contentOf('provisioned', rule)) }
  })))
  return groups.filter((group) => group !== undefined).sort((a, b) => (`${a.folderUid}/${a.title}` < `${b.folderUid}/${b.title}` ? -1 : 1))
}

async function readDashboards(ask: AskGrafana, { limit, ...options }: Limited): Promise<GrafanaDashboard[]> {
  const listed = await allPages(ask, '/api/search', { ...options, query: { type: 'dash-db', limit: String(dashboardPage) } })
  const full = await Promise.all(listed.map((hit) => limit(async (): Promise<GrafanaDashboard | undefined> => {
    const uid = textField(hit, 'uid')
    const answer = (await ask(`/api/dashboards/uid/${encodeURIComponent(uid)}`, { ...options, missing: 'undefined' })) as { dashboard?: GrafanaObject; meta?: GrafanaObject } | undefined
    if (answer?.dashboard === undefined) return undefined
    const folderUid = textField(answer.meta ?? {}, 'folderUid')
    return { uid, title: textField(answer.dashboard, 'title'), folderUid: folderUid === '' ? null : folderUid, dashboard: contentOf('dashboard', answer.dashboard) }
  })))
  return full.filter((found) => found !== undefined).sort((a, b) => (a.uid < b.uid ? -1 : 1))
}

/** Until a page is empty: a server may give fewer a page than were asked for. */
async function allPages(ask: AskGrafana, path: string, call: RequestOptions & { query: Record<string, string> }): Promise<GrafanaObject[]> {
  const found = new Map<string, GrafanaObject>()
  for (let page = 1; page <= maxPages; page += 1) {
    const before = found.size
    for (const object of objects(await ask(path, { ...call, query: { ...call.query, page: String(page) } }))) found.set(textField(object, 'uid'), object)
    if (found.size === before) break
  }
  return [...found.values()]
}

function objects(answer: unknown): GrafanaObject[] {
  if (answer === undefined || answer === null) return []
  if (!Array.isArray(answer) || answer.some((entry) => typeof entry !== 'object' || entry === null)) throw new PromDrError('COMPONENT_FAILED', 'Grafana answered with something else than a list of objects', { hint: 'is this version of Grafana supported? see the README' })
  return answer as GrafanaObject[]
}

function sortedBy(found: GrafanaObject[], key: string): GrafanaObject[] {
  return found.sort((a, b) => (textField(a, key) < textField(b, key) ? -1 : 1))
}
