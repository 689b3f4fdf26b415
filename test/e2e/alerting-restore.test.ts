import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createAlertmanagerComponent } from '../../src/components/alertmanager/alertmanager-component.ts'
import type { Component } from '../../src/components/component.ts'
import { createPrometheusComponent } from '../../src/components/prometheus/prometheus-component.ts'
import { systemClock } from '../../src/system/clock.ts'
import { type AlertingStack, postAlert, startAlertingStack, waitForRounds } from '../support/alerting-stack.ts'
import { amtoolBinary, startTestAlertmanager } from '../support/alertmanager.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { missingPrograms } from '../support/programs.ts'
import { promtoolBinary } from '../support/prometheus.ts'
import { waitFor } from '../support/wait-for.ts'

const { signal } = new AbortController()

function componentsOf({ directory, prometheus, alertmanager }: AlertingStack): { prometheus: Component; alertmanager: Component } {
  const { configFile, dataDir, api } = alertmanager
  return {
    prometheus: createPrometheusComponent({ api: prometheus.api, settings: { promtool: promtoolBinary(), configFile: join(directory, 'prometheus/prometheus.yml') }, clock: systemClock }),
    alertmanager: createAlertmanagerComponent({ api, settings: { amtool: amtoolBinary(), configFile, dataDir }, clock: systemClock }),
  }
}

/** Into a directory of its own each. */
async function collect(stack: AlertingStack): Promise<{ prometheus: string; alertmanager: string }> {
  const directory = await temporaryDirectory('archives')
  const components = componentsOf(stack)
  await stack.notificationsWritten()
  for (const component of Object.values(components)) {
    await mkdir(join(directory, component.name))
    const { leftOut } = await component.collect(join(directory, component.name), { secrets: true, signal })
    expect(leftOut).toEqual([])
  }
  return { prometheus: join(directory, 'prometheus'), alertmanager: join(directory, 'alertmanager') }
}

async function restore(component: Component, from: string): Promise<void> {
  expect((await component.check(from, { signal })).filter(({ level }) => level !== 'ok')).toEqual([])
  await component.restore(from, { force: false, dryRun: false, parts: [], signal })
}

describe.skipIf(missingPrograms('prometheus', 'promtool', 'prometheus-alertmanager', 'amtool'))('alerting, when both machines are lost', () => {
  it('comes back: the same is silenced, the same rules fire, and nothing is notified twice', async () => {
    const stack = await startAlertingStack()
    const before = await stack.seen()
    expect(before).toEqual({
      alerts: { Notified: 'active', Silenced: 'suppressed', SilencedLater: 'active', SilencedBefore: 'active' },
      silences: { active: ['Silenced'], pending: ['SilencedLater'], expired: ['SilencedBefore'] },
      rules: ['Notified ok', 'Silenced ok', 'SilencedBefore ok', 'SilencedLater ok', 'recorded:answer ok'],
      recorded: '42',
    })
    const archives = await collect(stack)
    const ids = (await stack.alertmanager.api.silences()).map(({ id }) => id)
    await stack.wipe()

    const components = componentsOf(stack)
    await restore(components.alertmanager, archives.alertmanager)
    await restore(components.prometheus, archives.prometheus)
    const alreadyNotified = stack.notified.length
    await stack.startAlertmanager()
    await stack.startPrometheus()
    expect(await stack.seen()).toEqual(before)
    expect((await stack.alertmanager.api.silences()).map(({ id }) => id)).toEqual(ids)
    await postAlert(stack.alertmanager.url, 'Resolved', -1)
    await waitForRounds(stack, 'Fence')
    expect(stack.notified.slice(alreadyNotified)).toEqual(['firing Fence'])

    // The same without the notification log: it is what kept them quiet.
    const other = await startTestAlertmanager()
    const forgetful = createAlertmanagerComponent({ api: other.api, settings: { configFile: other.configFile, dataDir: other.dataDir, amtool: amtoolBinary() }, clock: systemClock })
    await other.stop()
    await rm(join(archives.alertmanager, 'data/nflog'))
    await restore(forgetful, archives.alertmanager)
    const again = await startTestAlertmanager({ directory: other.directory })
    await postAlert(again.url, 'Notified', 600)
    await waitFor(() => stack.notified.slice(alreadyNotified).includes('firing Notified'), { what: 'a second notification' })
  }, 400_000)
})
