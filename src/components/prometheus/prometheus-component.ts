import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PromDrError, hasCode } from '../../errors.ts'
import type { PrometheusApi } from '../../integrations/prometheus/prometheus-api.ts'
import type { Clock } from '../../system/clock.ts'
import { restoredBy } from '../answers.ts'
import { inNameOrder } from '../archived-json.ts'
import type { CollectOptions, Collected, Component, RestoreComponentOptions, RestoredComponent } from '../component.ts'
import { collectConfiguration } from '../configuration/collect-configuration.ts'
import { type Layout, placeOf, readLayout } from '../configuration/layout.ts'
import { placesOf } from '../configuration/places.ts'
import { refuseBroken, restoreConfiguration } from '../configuration/restore-configuration.ts'
import { archivedFlags, checkConfiguration, flagsName } from './check.ts'
import { discoverPrometheus } from './discover.ts'
import { type LocalServer, type PrometheusComponentSettings, type RunningServer, locateServer, namedByServer } from './local-server.ts'
import { isBehind, takeOver } from './take-over.ts'

export interface PrometheusComponentContext {
  api: PrometheusApi
  settings: PrometheusComponentSettings
  clock: Clock
}

/** Flags that belong to a machine, or are compared otherwise. */
const ownFlags = new Set(['config.file', 'web.config.file', 'web.listen-address', 'web.external-url', 'storage.tsdb.path'])

/**
 * The configuration of a Prometheus server and everything that it names, as files:
 *
 *     prometheus.yml, rules/a.yml …   what lies below the configuration's directory, by its path from there
 *     absolute/srv/rules/b.yml …      what lies elsewhere, by its absolute path
 *     flags.json                      the command line, for people: it is not restored
 *     layout.json                     what each file is, and whose it was
 */
export function createPrometheusComponent(context: PrometheusComponentContext): Component {
  const { api, settings } = context
  const checked = (directory: string, layout: Layout, signal: AbortSignal) => checkConfiguration(directory, layout, { promtool: settings.promtool ?? 'promtool', signal })
  return {
    name: 'prometheus',
    kind: 'prometheus',
    discover: ({ signal }) => discoverPrometheus(api, settings, signal),
    collect: (into, options) => collect(into, options, context),
    check: async (directory, { signal }) => checked(directory, await readLayout(directory, [flagsName]), signal),
    async restore(from, options) {
      const server = await locateHere(context, options.signal)
      const layout = await readLayout(from, [flagsName])
      const broken = refuseBroken(await checked(from, layout, options.signal), { name: 'prometheus', force: options.force })
      const restored = await restoreFiles(from, { context, server, layout, options })
      restored.warnings.unshift(...broken, ...(await differingFlags(from, server.running)))
      if (options.dryRun) return restored
      const placed = Object.keys(layout.files).map((path) => placeOf(path, layout, dirname(server.configFile)))
      if (restored.actions.length === 0 && !(await isBehind(api, placed, options.signal))) return restored
      return restoredBy(restored, await takeOver(api, { command: settings.reload, known: broken, clock: context.clock, signal: options.signal }))
    },
  }
}

async function collect(into: string, options: CollectOptions, { api, settings }: PrometheusComponentContext): Promise<Collected> {
  const server = await locateServer(api, settings, options.signal)
  const { configFile, webConfigFile, knownAs, running, silence } = server
  const collected = await collectConfiguration(into, {
    roots: [{ path: configFile, role: 'config' }, ...(webConfigFile === undefined ? [] : [{ path: webConfigFile, role: 'web' as const }])],
    reserved: [flagsName],
    secrets: options.secrets,
    signal: options.signal,
    ...(knownAs && { knownAs }),
  })
  if (running === undefined) return { ...collected, warnings: [...collected.warnings, `the command line was not archived: ${silence?.message ?? 'Prometheus does not answer'}`] }
  if (!running.runtime.reloadConfigSuccess) collected.warnings.push('Prometheus refused its configuration when it last read it: what was archived is not what runs')
  const { version } = await api.buildInfo({ signal: options.signal })
  const flags = inNameOrder(Object.fromEntries(Object.entries(running.flags).map(([name, value]) => [name, withoutPassword(value)])))
  await writeFile(join(into, flagsName), `${JSON.stringify({ version, workingDirectory: running.runtime.cwd, flags }, null, 2)}\n`)
  return collected
}

/** Flags are for people: what stands in a URL is not worth keeping. */
function withoutPassword(value: string): string {
  return value.replace(/:\/\/[^/@\s]*@/, '://***@')
}

async function locateHere({ api, settings }: PrometheusComponentContext, signal: AbortSignal): Promise<LocalServer> {
  try {
    return await locateServer(api, settings, signal)
  } catch (error) {
    if (!hasCode(error, 'COMPONENT_FAILED')) throw error
    throw new PromDrError('COMPONENT_REFUSED', error.message, { hint: `${error.hint ?? ''}; nothing was changed`, cause: error })
  }
}

interface RestoreFiles {
  context: PrometheusComponentContext
  server: LocalServer
  layout: Layout
  options: RestoreComponentOptions
}

async function restoreFiles(from: string, { context, server, layout, options }: RestoreFiles): Promise<RestoredComponent> {
  const { configFile, webConfigFile, knownAs } = server
  const places = await placesOf({
    configFile, knownAs,
    directories: context.settings.places ?? [],
    files: webConfigFile === undefined ? [] : [webConfigFile],
    references: await namedByServer(context.api, server, options.signal),
  })
  return restoreConfiguration({ from, layout, configFile, places, now: context.clock.now(), options })
}

/** Command lines belong to units and containers: a restore only says where they differ. */
async function differingFlags(from: string, running: RunningServer | undefined): Promise<string[]> {
  const archived = await archivedFlags(from)
  if (archived === undefined || running === undefined) return []
  const differing = Object.entries(archived.flags).filter(([name, value]) => !ownFlags.has(name) && running.flags[name] !== undefined && running.flags[name] !== value)
  if (differing.length === 0) return []
  const shown = differing.slice(0, 5).map(([name, value]) => `--${name} was ${JSON.stringify(value)}, is ${JSON.stringify(running.flags[name])}`)
  return [`the command line is not restored, and differs from the archived one (${flagsName}): ${shown.join('; ')}${differing.length > 5 ? `; and ${differing.length - 5} more` : ''}`]
}
