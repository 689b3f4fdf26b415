import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createAlertmanagerComponent } from '../../src/components/alertmanager/alertmanager-component.ts'
import { createCommandComponent } from '../../src/components/command.ts'
import { createFilesComponent } from '../../src/components/files.ts'
import { createGrafanaComponent } from '../../src/components/grafana.ts'
import { createProgramConfiguration } from '../../src/components/program-configuration.ts'
import { createPrometheusComponent } from '../../src/components/prometheus/prometheus-component.ts'
import { createPushgatewayComponent } from '../../src/components/pushgateway.ts'
import { createGrafanaApi } from '../../src/integrations/grafana/http-grafana-api.ts'
import { systemClock } from '../../src/system/clock.ts'
import { FakeGrafana } from '../fakes/grafana.ts'
import { routeToNowhere, startTestAlertmanager } from '../support/alertmanager.ts'
import { temporaryDirectory as ofFile } from '../support/cleanup.ts'
import { readFiles, ruleFile, writeFiles } from '../support/configuration-files.ts'
import { needPrograms, startTestPrometheus } from '../support/prometheus.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { componentContract } from './component-contract.ts'

const now = () => systemClock.now()

async function live(files: Record<string, string>): Promise<string> {
  const directory = join(await temporaryDirectory(), 'live')
  await mkdir(directory)
  await writeFiles(directory, files)
  return directory
}

componentContract('files', async () => {
  const directory = await live({ 'app.conf': 'a = 1\n', 'sub/b.conf': 'b = 2\n' })
  return { component: createFilesComponent({ name: 'etc', paths: [directory], now }), state: () => readFiles(directory), change: () => writeFile(join(directory, 'app.conf'), 'a = 2\n') }
})

componentContract('the Pushgateway\'s file', async () => {
  // As Go's gob begins.
  const directory = await live({ 'pushgateway.data': '\x0f\x7f\x04\x01\x02 pushed' })
  const persistenceFile = join(directory, 'pushgateway.data')
  return { component: createPushgatewayComponent({ persistenceFile, now }), state: () => readFile(persistenceFile), change: () => writeFile(persistenceFile, '\x0f\x7f\x04\x01\x02 pushed later') }
})

componentContract('a pair of commands', async () => {
  const directory = await live({ database: 'rows' })
  const database = join(directory, 'database')
  const run = (script: string) => [process.execPath, '-e', `const fs = require('fs'); ${script}`, database]
  const component = createCommandComponent({ name: 'dump', backup: run('process.stdout.write(fs.readFileSync(process.argv[1]))'), restore: run('fs.writeFileSync(process.argv[1], fs.readFileSync(0))'), timeoutMs: 60_000, maxBytes: 1_000_000 })
  return { component, state: () => readFile(database, 'utf8'), change: () => writeFile(database, 'other rows') }
})

componentContract('the configuration of HAProxy', async (context) => {
  needPrograms(context, 'haproxy')
  const directory = await live({ 'haproxy.cfg': 'defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\nfrontend in\n  bind 127.0.0.1:18099\n' })
  const configFile = join(directory, 'haproxy.cfg')
  return { component: createProgramConfiguration('haproxy', { configFile, now }), state: () => readFiles(directory), change: async () => writeFile(configFile, `${await readFile(configFile, 'utf8')}# changed\n`) }
})

componentContract('the configuration of Prometheus', async (context) => {
  needPrograms(context, 'prometheus', 'promtool')
  const server = await startTestPrometheus({ config: { rule_files: ['rules/*.yml'] }, flags: ['--web.enable-lifecycle'], scrapeItself: false })
  const etc = join(server.directory, 'rules')
  await writeFiles(etc, { 'a.yml': ruleFile('a') })
  const component = createPrometheusComponent({ api: server.api, settings: {}, clock: systemClock })
  const state = async () => ({ rules: await readFiles(etc), config: await readFile(server.configFile, 'utf8') })
  return { component, state, change: () => writeFile(join(etc, 'a.yml'), ruleFile('b')), dispose: async () => void (await server.kill()) }
})

componentContract('Alertmanager', async (context) => {
  needPrograms(context, 'prometheus-alertmanager', 'amtool')
  const directory = await ofFile('alertmanager')
  await writeFiles(directory, { 'secrets/smtp': 'hunter2-of-smtp', 'templates/a.tmpl': '{{ define "a" }}A{{ end }}' })
  const config = { global: { smtp_auth_password_file: 'secrets/smtp', smtp_smarthost: 'localhost:25', smtp_from: 'a@example.org' }, templates: ['templates/*.tmpl'], ...routeToNowhere }
  const { api, configFile, dataDir, kill } = await startTestAlertmanager({ directory, config, maintenanceInterval: '1h' })
  const state = async () => ({ templates: await readFiles(join(directory, 'templates')), secret: await readFile(join(directory, 'secrets/smtp'), 'utf8'), config: await readFile(configFile, 'utf8') })
  return { component: createAlertmanagerComponent({ api, settings: { configFile, dataDir }, clock: systemClock }), state, change: () => writeFile(join(directory, 'templates/a.tmpl'), '{{ define "a" }}B{{ end }}'), secret: 'hunter2-of-smtp', dispose: async () => void (await kill()) }
})

componentContract('Grafana', async () => {
  const grafana = await FakeGrafana.start()
  const headers = { authorization: `Bearer ${grafana.token}`, 'content-type': 'application/json' }
  const api = createGrafanaApi({ url: grafana.url, tokenFile: await tokenFileOf(grafana.token) })
  const post = async (path: string, body: unknown) => {
    const answer = await fetch(`${grafana.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
    if (!answer.ok) throw new Error(await answer.text())
  }
  const dashboard = (title: string, overwrite: boolean) => post('/api/dashboards/db', { dashboard: { id: null, uid: 'cpu', title, panels: [] }, folderUid: 'ops', overwrite })
  await post('/api/folders', { uid: 'ops', title: 'Operations' })
  await dashboard('CPU', false)
  const component = createGrafanaComponent({ api, folders: [], provisioning: [], asideDirectory: join(await temporaryDirectory(), 'aside'), now })
  return { component, state: async () => api.readContent(), change: () => dashboard('CPU, changed', true) }
})

async function tokenFileOf(token: string): Promise<string> {
  const path = join(await temporaryDirectory(), 'token')
  await writeFile(path, token, { mode: 0o600 })
  return path
}
