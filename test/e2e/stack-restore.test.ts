import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { describe, expect, it } from 'vitest'
import { runProgram } from '../../src/system/process.ts'
import { promDr } from '../cli/launcher.ts'
import { startAlertingStack, waitForRounds } from '../support/alerting-stack.ts'
import { startTestAlertmanager } from '../support/alertmanager.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { writeFiles } from '../support/configuration-files.ts'
import { missingPrograms } from '../support/programs.ts'

interface Backup {
  recoveryPoint: { id: string; archives: { component: string }[] }
}

/** As runbooks/alerting.md says: with tar alone. */
async function silencesByHand(archives: string): Promise<string[]> {
  const [archive = ''] = await readdir(archives)
  const directory = await temporaryDirectory('by-hand')
  expect(await runProgram('tar', ['-xzf', join(archives, archive), '-C', directory])).toMatchObject({ exitCode: 0, stderr: '' })
  // Its --storage.path is data/ in its directory.
  const alertmanager = await startTestAlertmanager({ directory })
  const silences = await alertmanager.api.silences()
  await alertmanager.kill()
  return silences.map(({ id }) => id)
}

describe.skipIf(missingPrograms('prometheus', 'promtool', 'prometheus-alertmanager', 'amtool'))('a stack in one recovery point', () => {
  it('comes back by one command: samples, rules, silences, and what was notified already', async () => {
    const stack = await startAlertingStack()
    const home = await temporaryDirectory('home')
    await writeFile(join(home, 'prom-dr.yml'), stringify({
      instance: 'prom-a',
      prometheus: { url: stack.prometheus.url, dataDir: join(stack.directory, 'tsdb') },
      repositories: [{ name: 'primary', url: `file://${join(home, 'repository')}` }],
      components: {
        prometheus: { configFile: join(stack.directory, 'prometheus/prometheus.yml') },
        alertmanager: { url: stack.alertmanager.url, configFile: stack.alertmanager.configFile, dataDir: stack.alertmanager.dataDir },
      },
    }), { mode: 0o600 })
    const run = async (...args: string[]) => {
      const { code, stdout, stderr } = await promDr(args, { cwd: home })
      expect({ code, stderr: code === 0 ? '' : stderr + stdout }).toEqual({ code: 0, stderr: '' })
      return stdout
    }
    await stack.notificationsWritten()
    const before = await stack.seen()
    const ids = (await stack.alertmanager.api.silences()).map(({ id }) => id)
    const askedAtMs = Date.now()
    const recorded = await stack.prometheus.api.query('count_over_time(recorded:answer[1h]) > 0', askedAtMs)
    const { recoveryPoint } = JSON.parse(await run('backup', '--head', 'always', '--json')) as Backup
    expect(recoveryPoint.archives.map(({ component }) => component).sort()).toEqual(['alertmanager', 'prometheus'])
    const config = await readFile(join(stack.directory, 'prometheus/prometheus.yml'), 'utf8')
    expect(await run('show', recoveryPoint.id, '--cat', 'prometheus/prometheus.yml')).toBe(config)

    // What somebody changes is told apart, and comes back by itself where that is all that is wanted.
    await writeFiles(stack.directory, { 'prometheus/rules/records.yml': 'groups: []\n', 'prometheus/rules/broken.yml': 'groups: {}\n' })
    await run('restore', '--at', 'latest', '--only', 'config')
    expect(await stack.seen()).toEqual(before)

    await stack.wipe()
    const alreadyNotified = stack.notified.length
    expect(await silencesByHand(join(home, 'repository/instances/prom-a/archives/alertmanager'))).toEqual(ids)
    const restored = JSON.parse(await run('restore', '--at', 'latest', '--all', '--target', join(stack.directory, 'tsdb'), '--json')) as { stages: { name: string; durationMs: number }[] }
    const [start, preparing] = restored.stages
    expect([start?.name, preparing?.name]).toEqual(['start prom-dr', 'prepare components'])
    expect(Math.min(start?.durationMs ?? 0, preparing?.durationMs ?? 0)).toBeGreaterThan(0)
    await stack.startAlertmanager()
    await stack.startPrometheus()
    expect(await stack.prometheus.api.query('count_over_time(recorded:answer[1h]) > 0', askedAtMs)).toBe(recorded)
    expect(await stack.seen()).toEqual(before)
    expect((await stack.alertmanager.api.silences()).map(({ id }) => id)).toEqual(ids)
    await waitForRounds(stack, 'Fence')
    expect(stack.notified.slice(alreadyNotified)).toEqual(['firing Fence'])
  }, 400_000)
})
