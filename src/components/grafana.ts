import { copyFile, mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { PromDrError, hasCode } from '../errors.ts'
import type { GrafanaApi } from '../integrations/grafana/grafana-api.ts'
import type { GrafanaContent } from '../integrations/grafana/grafana-content.ts'
import { ifThere } from '../system/if-there.ts'
import { runProgram } from '../system/process.ts'
import { failedFinding, restoredBy } from './answers.ts'
import { collectTree } from './collect-tree.ts'
import type { Collected, Component, Finding, RestoreComponentOptions, RestoredComponent } from './component.ts'
import { readFiles, writeContent } from './grafana-files.ts'
import { type GrafanaStep, planGrafana } from './grafana-plan.ts'
import type { PathPattern } from './path-patterns.ts'
import { placeTree } from './place-tree.ts'
import { compactTime } from './placing/restore-names.ts'

export interface GrafanaSettings {
  api: GrafanaApi
  /** Folders, by uid or title, that are restored unless others are asked for; empty means everything. */
  folders: readonly string[]
  /** Files and directories of provisioning. */
  provisioning: readonly PathPattern[]
  /** `grafana.db`, where it is an SQLite file. */
  database?: string
  /** Gets what a restore overwrites. */
  asideDirectory: string
  now: () => Date
}

/** Actions that a backup and a restore through the API need. */
const neededActions = ['folders:read', 'dashboards:read', 'datasources:read', 'alert.provisioning:read', 'folders:create', 'dashboards:create', 'dashboards:write', 'datasources:create', 'datasources:write', 'alert.provisioning:write'] as const

const [apiDirectory, filesDirectory] = ['api', 'files']
const databaseTimeoutMs = 10 * 60_000

/** Folders, dashboards, data sources and alerting through the API; provisioning and the database as files. */
export function createGrafanaComponent(settings: GrafanaSettings): Component {
  const { api, provisioning, database } = settings
  const paths = [...provisioning, ...(database === undefined ? [] : [database])]
  return {
    name: 'grafana',
    kind: 'grafana',
    discover: (options) => discover(settings, options),
    async collect(into, options) {
      await writeContent(await made(into, apiDirectory), await api.readContent(options))
      if (paths.length === 0) return { leftOut: [], warnings: [] }
      return collectFiles(into, { settings, secrets: options.secrets, signal: options.signal })
    },
    async check(directory) {
      const content = await readFiles(join(directory, apiDirectory))
      return [{ name: 'content', level: 'ok', detail: `${content.folders.length} folders, ${content.dashboards.length} dashboards, ${content.dataSources.length} data sources, ${content.ruleGroups.length} rule groups, ${content.contactPoints.length} contact points` }]
    },
    async restore(from, options) {
      const archived = await readFiles(join(from, apiDirectory))
      const files = await hasFiles(from)
      const live = await liveContent(settings, { ...options, fallBack: files && database !== undefined })
      const through = live === undefined ? restoredBy() : await restoreThroughApi(settings, { archived, live, options })
      // The database of a running Grafana is not ours to replace; the API has brought its content.
      const patterns = live === undefined ? paths : provisioning
      if (!files || patterns.length === 0) return through
      const placed = await placeTree(join(from, filesDirectory), { patterns, others: 'skip', dryRun: options.dryRun, now: settings.now(), signal: options.signal })
      return restoredBy(through, placed)
    },
  }
}

async function discover({ api }: GrafanaSettings, options: { signal: AbortSignal }): Promise<Finding[]> {
  try {
    const version = await api.version(options)
    const allowed = await api.permissions(options)
    const missing = allowed === undefined ? [] : neededActions.filter((action) => !allowed.has(action))
    const rights: Finding = allowed === undefined
      ? { name: 'grafana rights', level: 'warn', detail: 'this Grafana does not tell what the token may do', advice: 'use a service account with the role Admin' }
      : missing.length === 0
        ? { name: 'grafana rights', level: 'ok', detail: 'the token may read and restore everything' }
        : { name: 'grafana rights', level: missing.some((action) => action.endsWith(':read')) ? 'fail' : 'warn', detail: `the token lacks ${missing.join(', ')}`, advice: 'give the service account the role Admin, or these rights' }
    return [{ name: 'grafana', level: 'ok', detail: `Grafana ${version} answers at ${api.url}` }, rights]
  } catch (error) {
    if (!hasCode(error, 'COMPONENT_FAILED', 'CONFIG_INVALID')) throw error
    return [failedFinding('grafana', error)]
  }
}

async function collectFiles(into: string, { settings, secrets, signal }: { settings: GrafanaSettings; secrets: boolean; signal: AbortSignal }): Promise<Collected> {
  const { database, provisioning } = settings
  // It holds password hashes and every secret.
  const leftOut = database !== undefined && !secrets ? [{ path: database, reason: 'holds secrets: archives are not encrypted' }] : []
  const paths = [...provisioning, ...(database === undefined || !secrets ? [] : [database])]
  if (paths.length === 0) return { leftOut, warnings: [] }
  const copy = async (source: string, destination: string) => (source === database ? copyDatabase(source, destination, signal) : copyFile(source, destination))
  const collected = await collectTree(await made(into, filesDirectory), paths, { secrets, signal, copy })
  return { leftOut: [...leftOut, ...collected.leftOut], warnings: collected.warnings }
}

/** Consistent while Grafana writes to it. */
async function copyDatabase(source: string, destination: string, signal: AbortSignal): Promise<void> {
  if (/["'\n]/.test(destination)) throw new PromDrError('COMPONENT_FAILED', `cannot copy ${source} to ${destination}: quotes in the path`)
  const { exitCode, stderr } = await runProgram('sqlite3', ['-readonly', '-cmd', '.timeout 10000', source, `.backup '${destination}'`], { timeoutMs: databaseTimeoutMs, signal })
  if (exitCode !== 0) throw new PromDrError('COMPONENT_FAILED', `sqlite3 could not copy ${source}: ${stderr.trim()}`, { hint: 'is it an SQLite database, and may this user read it?' })
}

/** Undefined when Grafana does not answer and its database can be put in place instead. */
async function liveContent({ api }: GrafanaSettings, { signal, fallBack }: { signal: AbortSignal; fallBack: boolean }): Promise<GrafanaContent | undefined> {
  try {
    return await api.readContent({ signal })
  } catch (error) {
    if (!fallBack || !hasCode(error, 'COMPONENT_FAILED') || error.details?.['status'] !== undefined) throw error
    return undefined
  }
}

async function restoreThroughApi(settings: GrafanaSettings, { archived, live, options }: { archived: GrafanaContent; live: GrafanaContent; options: RestoreComponentOptions }): Promise<RestoredComponent> {
  const { api, folders, asideDirectory, now } = settings
  const { steps, toReenter, warnings } = planGrafana(archived, live, options.parts.length > 0 ? options.parts : folders)
  const restored: RestoredComponent = { actions: [], movedAside: [], toReenter, warnings }
  if (steps.some(({ present }) => present)) {
    const to = join(asideDirectory, `grafana-${compactTime(now())}`)
    restored.movedAside.push({ from: api.url, to })
    if (!options.dryRun) await writeContent(to, live)
  }
  const failures: string[] = []
  for (const step of steps) {
    options.signal.throwIfAborted()
    try {
      if (!options.dryRun) await apply(api, step, options)
      restored.actions.push(`${options.dryRun ? 'would ' : ''}${step.present ? 'replace' : 'create'}${options.dryRun ? '' : 'd'} ${step.kind} ${step.name}`)
    } catch (error) {
      // What else can be brought back is: in an outage, one broken rule is no reason to go without dashboards.
      if (!hasCode(error, 'COMPONENT_FAILED')) throw error
      failures.push(`${step.kind} ${step.name}: ${error.message}`)
    }
  }
  if (failures.length === 0) return restored
  throw new PromDrError('COMPONENT_FAILED', `${failures.length} of ${steps.length} parts of Grafana could not be restored: ${failures.join('; ')}`, { hint: 'the others are in place; mend the cause, and restore again', details: { actions: restored.actions } })
}

async function apply(api: GrafanaApi, step: GrafanaStep, options: { signal: AbortSignal }): Promise<void> {
  switch (step.kind) {
    case 'folder':
      return step.present ? api.renameFolder(step.folder, options) : api.createFolder(step.folder, options)
    case 'data source':
      return step.present ? api.updateDataSource(step.object, options) : api.createDataSource(step.object, options)
    case 'template':
      return api.putTemplate(step.object, options)
    case 'mute timing':
      return step.present ? api.updateMuteTiming(step.object, options) : api.createMuteTiming(step.object, options)
    case 'contact point':
      return step.present ? api.updateContactPoint(step.object, options) : api.createContactPoint(step.object, options)
    case 'policies':
      return api.putPolicies(step.object, options)
    case 'rule group':
      return api.putRuleGroup(step.group, options)
    case 'dashboard':
      return api.putDashboard(step.dashboard, options)
  }
}

async function made(into: string, name: string): Promise<string> {
  await mkdir(join(into, name), { recursive: true, mode: 0o700 })
  return join(into, name)
}

async function hasFiles(from: string): Promise<boolean> {
  return (await ifThere(stat(join(from, filesDirectory))))?.isDirectory() ?? false
}
