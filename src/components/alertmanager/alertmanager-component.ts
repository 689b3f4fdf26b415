import { dirname } from 'node:path'
import { hasCode } from '../../errors.ts'
import { restoredBy } from '../answers.ts'
import type { Component, RestoreComponentOptions, RestoredComponent } from '../component.ts'
import { type Layout, placeOf } from '../configuration/layout.ts'
import { placesOf } from '../configuration/places.ts'
import { refuseBroken, restoreConfiguration } from '../configuration/restore-configuration.ts'
import { readArchivedState } from './archived-silences.ts'
import { archivedLayout, checkAlertmanager } from './check.ts'
import { collectAlertmanager } from './collect.ts'
import { discoverAlertmanager } from './discover.ts'
import { recreateSilences } from './restore-silences.ts'
import { refuseStateInUse, restoreState } from './restore-state.ts'
import type { AlertmanagerComponentContext } from './settings.ts'
import { isBehind, takeOver } from './take-over.ts'

/**
 * The configuration of an Alertmanager, its templates, silences and notification log, as files:
 *
 *     alertmanager.yml, templates/a.tmpl …   what lies below the configuration's directory; what lies elsewhere below absolute/
 *     silences.json                          silences as its API has them
 *     data/silences, data/nflog              its state files, their records sorted
 *     layout.json                            what each file is, and whose it was
 *
 * A restore puts the state files, silences with their ids, into the directory of a stopped server. In a running one it makes silences
 * that are active or still to come through the API, where they get new ids.
 */
export function createAlertmanagerComponent(context: AlertmanagerComponentContext): Component {
  const amtool = context.settings.amtool ?? 'amtool'
  return {
    name: 'alertmanager',
    kind: 'alertmanager',
    discover: ({ signal }) => discoverAlertmanager(context, signal),
    collect: (into, options) => collectAlertmanager(into, options, context),
    check: (directory, { signal }) => checkAlertmanager(directory, { amtool, signal }),
    async restore(from, options) {
      const layout = await archivedLayout(from)
      const findings = await checkAlertmanager(from, { amtool, signal: options.signal })
      // A broken state file keeps Alertmanager from starting: no force installs one.
      const warnings = refuseBroken(findings.filter(({ name }) => name === 'state'), { name: 'alertmanager', force: false })
      warnings.push(...refuseBroken(findings.filter(({ name }) => name !== 'state'), { name: 'alertmanager', force: options.force }))
      const isRunning = await answers(context, options.signal)
      if (!isRunning) await refuseStateInUse(context)
      const files = layout === undefined ? {} : await restoreFiles(from, { context, layout, options, isRunning })
      if (!isRunning) return restoredBy({ warnings }, files, await restoreState(from, options, { ...context, stateOwner: layout?.stateOwner ?? layout?.owner }))
      const silences = await recreateSilences(from, options, context)
      const log = (await readArchivedState(from, 'nflog')) === undefined ? [] : ['the notification log was not restored, since Alertmanager runs: stop it and restore again where what fires must not be notified twice']
      return restoredBy({ warnings }, files, silences, { warnings: log })
    },
  }
}

interface RestoreFiles {
  context: AlertmanagerComponentContext
  layout: Layout
  options: RestoreComponentOptions
  isRunning: boolean
}

async function restoreFiles(from: string, { context, layout, options, isRunning }: RestoreFiles): Promise<Partial<RestoredComponent>> {
  const { configFile, places = [] } = context.settings
  if (configFile === undefined) return { warnings: ['the configuration was not restored: components.alertmanager.configFile is not set'] }
  const restored = await restoreConfiguration({
    from, layout, configFile, options,
    places: await placesOf({ configFile, directories: places, files: [], references: [] }),
    now: context.clock.now(),
  })
  if (options.dryRun || !isRunning) return restored
  const placed = Object.keys(layout.files).map((path) => placeOf(path, layout, dirname(configFile)))
  if (restored.actions.length === 0 && !(await isBehind(context, placed, options.signal))) return restored
  return restoredBy(restored, await takeOver(context, options.signal))
}

async function answers({ api }: AlertmanagerComponentContext, signal: AbortSignal): Promise<boolean> {
  try {
    await api.status({ signal })
    return true
  } catch (error) {
    if (hasCode(error, 'ALERTMANAGER_UNREACHABLE')) return false
    throw error
  }
}
