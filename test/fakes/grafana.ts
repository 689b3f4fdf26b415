import type { IncomingMessage, ServerResponse } from 'node:http'
import { startHttpServer } from '../support/http-server.ts'

type Thing = Record<string, unknown>

/** An answer that is not 200: what Grafana says no with. */
class Refusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

interface Call {
  body: Thing
  query: URLSearchParams
  /** Set unless the caller disclaims provenance. */
  provenance: string
}

const requiredSettings: Record<string, string[]> = { email: ['addresses'], webhook: ['url'], slack: ['url'], pagerduty: ['integrationKey'] }
const secretSettings: Record<string, string[]> = { webhook: ['password'], slack: ['url', 'token'], pagerduty: ['integrationKey'] }

/**
 * Stands in for Grafana, of which there is no package: the part of its HTTP API that a backup uses, with its state and its refusals
 * (409 for what exists, 412 for versions, provenance, write-only secrets, redacted contact points, references that must exist, pages).
 * Written from Grafana's API documentation for 10 and 11.
 */
export class FakeGrafana {
  readonly token = 'glsa_0123456789abcdef'
  url = ''
  readonly calls: string[] = []
  readonly folders = new Map<string, Thing>()
  readonly dashboards = new Map<string, { dashboard: Thing; folderUid: string; provisioned: boolean }>()
  readonly dataSources = new Map<string, Thing>()
  /** Secret values by data source: nobody gets them back. */
  readonly dataSourceSecrets = new Map<string, Record<string, string>>()
  readonly rules = new Map<string, Thing>()
  readonly intervals = new Map<string, number>()
  readonly contactPoints = new Map<string, Thing>()
  readonly muteTimings = new Map<string, Thing>()
  readonly templates = new Map<string, Thing>()
  policies: Thing = { receiver: 'grafana-default-email', provenance: '' }
  /** Most that one page of anything has, whatever limit is asked for. */
  pageSize = 2
  permissions: string[] | undefined = ['folders:read', 'folders:create', 'dashboards:read', 'dashboards:create', 'dashboards:write', 'datasources:read', 'datasources:create', 'datasources:write', 'alert.provisioning:read', 'alert.provisioning:write']
  #number = 0

  static async start(): Promise<FakeGrafana> {
    const grafana = new FakeGrafana()
    grafana.contactPoints.set('default-email', { uid: 'default-email', name: 'grafana-default-email', type: 'email', settings: { addresses: '<example@email.com>' }, disableResolveMessage: false, provenance: '' })
    grafana.url = await startHttpServer((request, response) => void grafana.#answer(request, response))
    return grafana
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const url = new URL(request.url ?? '/', 'http://grafana')
    this.calls.push(`${request.method} ${url.pathname}`)
    const reply = (status: number, value: unknown) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    try {
      if (url.pathname !== '/api/health' && request.headers.authorization !== `Bearer ${this.token}`) throw new Refusal(401, 'Invalid API key')
      const body = chunks.length === 0 ? {} : (JSON.parse(Buffer.concat(chunks).toString('utf8')) as Thing)
      const path = url.pathname.split('/').slice(2).map(decodeURIComponent)
      const [status, value] = this.#route(request.method ?? 'GET', path, { body, query: url.searchParams, provenance: request.headers['x-disable-provenance'] === undefined ? 'api' : '' })
      reply(status, value)
    } catch (error) {
      if (error instanceof Refusal) return void reply(error.status, { message: error.message })
      reply(500, { message: String(error) })
    }
  }

  #route(method: string, path: string[], call: Call): [number, unknown] {
    const [first, second = '', third = ''] = path
    switch (`${method} ${first}`) {
      case 'GET health':
        return [200, { database: 'ok', version: '11.2.0', commit: '0' }]
      case 'GET access-control':
        if (this.permissions === undefined) throw new Refusal(404, 'Not found')
        return [200, Object.fromEntries(this.permissions.map((action) => [action, ['*']]))]
      case 'GET folders':
        return [200, this.#page([...this.folders.values()].filter((folder) => (folder['parentUid'] ?? null) === call.query.get('parentUid')).map(({ uid, title }) => ({ id: 1, uid, title })), call)]
      case 'POST folders':
        return [200, this.#createFolder(call.body)]
      case 'PUT folders':
        return [200, Object.assign(found(this.folders, second, 'folder not found'), { title: call.body['title'] })]
      case 'GET search':
        return [200, this.#page([...this.dashboards.values()].map(({ dashboard, folderUid }) => ({ uid: dashboard['uid'], title: dashboard['title'], type: 'dash-db', folderUid })), call)]
      case 'GET dashboards': {
        const { dashboard, folderUid, provisioned } = found(this.dashboards, third, 'Dashboard not found')
        return [200, { dashboard, meta: { folderUid, provisioned, version: dashboard['version'], updated: new Date().toISOString() } }]
      }
      case 'POST dashboards':
        return [200, this.#saveDashboard(call.body)]
      case 'GET datasources':
        if (second === '') return [200, [...this.dataSources.values()]]
        return [200, { ...found(this.dataSources, third, 'Data source not found'), secureJsonFields: Object.fromEntries(Object.keys(this.dataSourceSecrets.get(third) ?? {}).map((name) => [name, true])) }]
      case 'POST datasources':
        return [200, this.#createDataSource(call.body)]
      case 'PUT datasources': {
        const present = found(this.dataSources, third, 'Data source not found')
        if (present['readOnly'] === true) throw new Refusal(403, 'Cannot update read-only data source')
        this.dataSources.set(third, { ...call.body, id: present['id'], version: Number(present['version']) + 1 })
        Object.assign(this.#secretsOf(third), call.body['secureJsonData'])
        return [200, { message: 'Datasource updated' }]
      }
      default:
        if (first === 'v1' && second === 'provisioning') return this.#provisioning(method, path.slice(2), call)
        throw new Refusal(404, 'Not found')
    }
  }

  #provisioning(method: string, [kind = '', name = '', groups = '', title = '']: string[], call: Call): [number, unknown] {
    switch (`${method} ${kind}`) {
      case 'GET alert-rules':
        return [200, [...this.rules.values()]]
      case 'GET folder':
        return [200, { title, folderUid: name, interval: this.intervals.get(`${name}/${title}`) ?? 60, rules: [...this.rules.values()].filter((rule) => rule['folderUID'] === name && rule['ruleGroup'] === title) }]
      case 'PUT folder':
        if (groups !== 'rule-groups') break
        return [200, this.#putRuleGroup(name, title, call)]
      case 'GET contact-points':
        return [200, [...this.contactPoints.values()].map((point) => ({ ...point, settings: this.#redacted(point) }))]
      case 'POST contact-points':
        if (this.contactPoints.has(String(call.body['uid']))) throw new Refusal(409, 'contact point exists')
        return [202, this.#putContactPoint(call)]
      case 'PUT contact-points':
        this.#mayChange(found(this.contactPoints, name, 'contact point not found'), call)
        return [202, this.#putContactPoint({ ...call, body: { ...call.body, uid: name } })]
      case 'GET policies':
        return [200, this.policies]
      case 'PUT policies':
        this.#mayChange(this.policies, call)
        this.#checkPolicy(call.body)
        this.policies = { ...call.body, provenance: call.provenance }
        return [202, { message: 'policies updated' }]
      case 'GET mute-timings':
        return [200, [...this.muteTimings.values()]]
      case 'POST mute-timings':
        if (this.muteTimings.has(String(call.body['name']))) throw new Refusal(409, 'mute timing exists')
        return [201, this.#put(this.muteTimings, String(call.body['name']), call)]
      case 'PUT mute-timings':
        this.#mayChange(found(this.muteTimings, name, 'mute timing not found'), call)
        return [202, this.#put(this.muteTimings, name, call)]
      case 'GET templates':
        return [200, [...this.templates.values()]]
      case 'PUT templates': {
        const present = this.templates.get(name)
        if (present !== undefined) this.#mayChange(present, call)
        return [202, this.#put(this.templates, name, { ...call, body: { ...call.body, name } })]
      }
    }
    throw new Refusal(404, 'Not found')
  }

  #page<T>(all: T[], { query }: Call): T[] {
    const size = Math.min(this.pageSize, Number(query.get('limit') ?? 1000))
    const page = Number(query.get('page') ?? 1)
    return all.slice((page - 1) * size, page * size)
  }

  #createFolder(body: Thing): Thing {
    const { uid, title, parentUid = null } = body
    if (typeof title !== 'string' || title === '') throw new Refusal(400, 'folder title cannot be empty')
    if (this.folders.has(String(uid))) throw new Refusal(409, 'a folder with the same UID already exists')
    if (parentUid !== null) found(this.folders, String(parentUid), 'parent folder not found')
    if ([...this.folders.values()].some((folder) => folder['title'] === title && (folder['parentUid'] ?? null) === parentUid)) throw new Refusal(409, 'a folder with the same name already exists in the current location')
    const folder = { uid, title, parentUid, version: 1 }
    this.folders.set(String(uid), folder)
    return folder
  }

  #saveDashboard(body: Thing): Thing {
    const dashboard = body['dashboard'] as Thing
    const folderUid = String(body['folderUid'] ?? '')
    if (typeof dashboard['title'] !== 'string' || dashboard['title'] === '') throw new Refusal(400, 'Dashboard title cannot be empty')
    if (dashboard['id'] !== null && dashboard['id'] !== undefined) throw new Refusal(404, 'Dashboard not found')
    if (folderUid !== '') found(this.folders, folderUid, 'folder not found')
    const uid = String(dashboard['uid'])
    const present = this.dashboards.get(uid)
    if (present?.provisioned === true) throw new Refusal(400, 'Cannot save provisioned dashboard')
    if (present !== undefined && body['overwrite'] !== true) throw new Refusal(412, 'The dashboard has been changed by someone else')
    const version = Number(present?.dashboard['version'] ?? 0) + 1
    this.dashboards.set(uid, { dashboard: { ...dashboard, id: (this.#number += 1), version }, folderUid, provisioned: false })
    return { uid, version, status: 'success' }
  }

  #createDataSource(body: Thing): Thing {
    const { secureJsonData, secureJsonFields: _, ...rest } = body
    if ([...this.dataSources.values()].some((other) => other['name'] === body['name'] || other['uid'] === body['uid'])) throw new Refusal(409, 'data source with the same name already exists')
    const uid = String(body['uid'])
    this.dataSources.set(uid, { ...rest, id: (this.#number += 1), version: 1, readOnly: false })
    this.dataSourceSecrets.set(uid, { ...(secureJsonData as Record<string, string> | undefined) })
    return { message: 'Datasource added', datasource: { uid } }
  }

  #secretsOf(uid: string): Record<string, string> {
    const secrets = this.dataSourceSecrets.get(uid) ?? {}
    this.dataSourceSecrets.set(uid, secrets)
    return secrets
  }

  #putRuleGroup(folderUid: string, title: string, call: Call): Thing {
    found(this.folders, folderUid, 'folder not found')
    const rules = call.body['rules'] as Thing[]
    for (const rule of rules) {
      for (const query of (rule['data'] as Thing[] | undefined) ?? []) if (query['datasourceUid'] !== '__expr__') found(this.dataSources, String(query['datasourceUid']), `invalid alert rule: data source not found`)
      const present = this.rules.get(String(rule['uid']))
      if (present !== undefined) this.#mayChange(present, call)
    }
    for (const [uid, rule] of this.rules) if (rule['folderUID'] === folderUid && rule['ruleGroup'] === title) this.rules.delete(uid)
    for (const rule of rules) this.rules.set(String(rule['uid']), { ...rule, id: (this.#number += 1), folderUID: folderUid, ruleGroup: title, updated: new Date().toISOString(), provenance: call.provenance })
    this.intervals.set(`${folderUid}/${title}`, Number(call.body['interval']))
    return call.body
  }

  #putContactPoint(call: Call): Thing {
    const { body } = call
    const type = String(body['type'])
    const settings = { ...(body['settings'] as Thing) }
    const stored = this.contactPoints.get(String(body['uid']))
    for (const [key, value] of Object.entries(settings)) if (value === '[REDACTED]' && stored !== undefined) settings[key] = (stored['settings'] as Thing)[key]
    for (const key of requiredSettings[type] ?? []) if (typeof settings[key] !== 'string' || settings[key] === '') throw new Refusal(400, `invalid contact point: ${key} is required`)
    const point = { ...body, settings, provenance: call.provenance }
    this.contactPoints.set(String(body['uid']), point)
    return point
  }

  #redacted(point: Thing): Thing {
    const secrets = secretSettings[String(point['type'])] ?? []
    return Object.fromEntries(Object.entries(point['settings'] as Thing).map(([key, value]) => [key, secrets.includes(key) ? '[REDACTED]' : value]))
  }

  #checkPolicy(policy: Thing): void {
    const receiver = policy['receiver']
    if (receiver !== undefined && ![...this.contactPoints.values()].some((point) => point['name'] === receiver)) throw new Refusal(400, `invalid policy: receiver '${String(receiver)}' does not exist`)
    for (const name of (policy['mute_time_intervals'] as string[] | undefined) ?? []) if (!this.muteTimings.has(name)) throw new Refusal(400, `invalid policy: mute timing '${name}' does not exist`)
    for (const route of (policy['routes'] as Thing[] | undefined) ?? []) this.#checkPolicy(route)
  }

  #put(into: Map<string, Thing>, name: string, { body, provenance }: Call): Thing {
    const thing = { ...body, provenance }
    into.set(name, thing)
    return thing
  }

  /** What has a provenance is changed only by where it came from. */
  #mayChange(present: Thing, { provenance }: Call): void {
    const stored = String(present['provenance'] ?? '')
    if (stored !== '' && stored !== provenance) throw new Refusal(409, `cannot change provenance from '${stored}' to '${provenance}'`)
  }
}

function found<T>(among: Map<string, T>, key: string, message: string): T {
  const value = among.get(key)
  if (value === undefined) throw new Refusal(404, message)
  return value
}
