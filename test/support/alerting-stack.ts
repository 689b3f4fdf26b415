import { mkdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { type PrometheusServer, startPrometheus } from '../../src/integrations/prometheus/prometheus-server.ts'
import { freePort } from '../../src/system/ports.ts'
import { type TestAlertmanager, alertStates, inSeconds, startTestAlertmanager } from './alertmanager.ts'
import { atEndOfFile, temporaryDirectory } from './cleanup.ts'
import { writeFiles } from './configuration-files.ts'
import { startHttpServer } from './http-server.ts'
import { prometheusBinary } from './prometheus.ts'
import { waitFor } from './wait-for.ts'

/** What a person on call would see of a stack: the same before a disaster and after. */
export interface SeenStack {
  /** By alert: `active`, or `suppressed` by a silence. */
  alerts: Record<string, string>
  /** Comments of silences, by state. */
  silences: Record<string, string[]>
  rules: string[]
  recorded: string
}

export interface AlertingStack {
  /** Holds `prometheus/` (prometheus.yml, rules) , `alertmanager/` (alertmanager.yml, templates, data) and `tsdb/`. */
  directory: string
  prometheus: PrometheusServer
  alertmanager: TestAlertmanager
  /** Everything that was notified, as the template printed it: `firing Notified`. */
  notified: string[]
  seen(): Promise<SeenStack>
  /** What was notified before the call is in the notification log on disk. */
  notificationsWritten(): Promise<void>
  /** Kills both and deletes all that they had. */
  wipe(): Promise<void>
  startAlertmanager(): Promise<void>
  startPrometheus(): Promise<void>
}

const template = '{{ define "ours" }}{{ .Status }} {{ .GroupLabels.alertname }}{{ end }}'
export const alerts = ['Notified', 'Silenced', 'SilencedLater', 'SilencedBefore'] as const

/**
 * A Prometheus whose rules fire four alerts into an Alertmanager that notifies a receiver of the test by a template, and three silences: one
 * active, one still to come, one that has expired. All that is to be notified was, and one more alert was notified and resolved.
 */
export async function startAlertingStack(): Promise<AlertingStack> {
  const directory = await temporaryDirectory('stack')
  const notified: string[] = []
  const receiver = await startHttpServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => void chunks.push(chunk))
    request.on('end', () => {
      const { attachments } = JSON.parse(Buffer.concat(chunks).toString()) as { attachments: { text: string }[] }
      notified.push(attachments[0]?.text ?? '')
      response.end('ok')
    })
  })
  const ports = { alertmanager: await freePort(), prometheus: await freePort() }
  await writeFiles(directory, {
    'alertmanager/alertmanager.yml': stringify({
      templates: ['templates/*.tmpl'],
      route: { receiver: 'test', group_by: ['alertname'], group_wait: '0s', group_interval: '1s', repeat_interval: '12h' },
      receivers: [{ name: 'test', slack_configs: [{ api_url: receiver, text: '{{ template "ours" . }}', send_resolved: true }] }],
    }),
    'alertmanager/templates/ours.tmpl': template,
    'prometheus/prometheus.yml': stringify({
      global: { evaluation_interval: '1s', external_labels: { site: 'a' } },
      rule_files: ['rules/*.yml'],
      alerting: { alertmanagers: [{ static_configs: [{ targets: [`127.0.0.1:${ports.alertmanager}`] }] }] },
    }),
    'prometheus/rules/alerts.yml': stringify({ groups: [{ name: 'alerts', rules: alerts.map((alert) => ({ alert, expr: 'vector(1)', labels: { severity: 'page' } })) }] }),
    'prometheus/rules/records.yml': stringify({ groups: [{ name: 'records', rules: [{ record: 'recorded:answer', expr: 'vector(42)' }] }] }),
  })
  const stack = new TestStack(directory, notified, ports)
  await stack.startAlertmanager()
  await stack.alertmanager.api.createSilence(silenceOf('Silenced', 0))
  await stack.alertmanager.api.createSilence(silenceOf('SilencedLater', 3600))
  const { url } = stack.alertmanager
  const expired = await stack.alertmanager.api.createSilence(silenceOf('SilencedBefore', 0))
  await fetch(`${url}/api/v2/silence/${expired}`, { method: 'DELETE' })
  await stack.startPrometheus()
  await postAlert(url, 'Resolved', 600)
  await waitFor(() => notified.includes('firing Resolved'), { what: 'the notification of an alert' })
  await postAlert(url, 'Resolved', -1)
  const expected = ['firing Resolved', 'resolved Resolved', 'firing Notified', 'firing SilencedLater', 'firing SilencedBefore']
  await waitFor(() => expected.every((text) => notified.includes(text)), { what: expected.join(', ') })
  await stack.evaluated()
  return stack
}

/** As Prometheus sends an alert, also one that was resolved, again and again for a while. */
export async function postAlert(url: string, alertname: string, endsInSeconds: number): Promise<void> {
  const alert = { labels: { alertname, severity: 'page', site: 'a' }, startsAt: inSeconds(-60), endsAt: inSeconds(endsInSeconds) }
  const response = await fetch(`${url}/api/v2/alerts`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify([alert]) })
  if (!response.ok) throw new Error(`the alert was refused: ${response.status} ${await response.text()}`)
}

/** Waits until every group of alerts was looked at several times, whether it was to be notified, and a new alert was notified. */
export async function waitForRounds({ alertmanager, notified }: Pick<AlertingStack, 'alertmanager' | 'notified'>, fence: string): Promise<void> {
  const looks = async () => Number(/^alertmanager_nflog_queries_total (\S+)/m.exec(await (await fetch(`${alertmanager.url}/metrics`)).text())?.[1])
  const start = await looks()
  await waitFor(async () => (await looks()) >= start + 15, { what: 'Alertmanager to have looked at each group again' })
  await postAlert(alertmanager.url, fence, 600)
  await waitFor(() => notified.includes(`firing ${fence}`), { what: 'the notification of a new alert' })
}

function silenceOf(alertname: string, startsInSeconds: number) {
  const matchers = [{ name: 'alertname', value: alertname, isRegex: false, isEqual: true }]
  return { matchers, startsAt: inSeconds(startsInSeconds), endsAt: inSeconds(7200), createdBy: 'on call', comment: alertname }
}

class TestStack implements AlertingStack {
  readonly directory: string
  readonly notified: string[]
  readonly #ports: { alertmanager: number; prometheus: number }
  #prometheus: PrometheusServer | undefined
  #alertmanager: TestAlertmanager | undefined

  constructor(directory: string, notified: string[], ports: { alertmanager: number; prometheus: number }) {
    this.directory = directory
    this.notified = notified
    this.#ports = ports
  }

  get prometheus(): PrometheusServer {
    return this.#prometheus as PrometheusServer
  }

  get alertmanager(): TestAlertmanager {
    return this.#alertmanager as TestAlertmanager
  }

  async startAlertmanager(): Promise<void> {
    this.#alertmanager = await startTestAlertmanager({ directory: join(this.directory, 'alertmanager'), port: this.#ports.alertmanager })
  }

  async startPrometheus(): Promise<void> {
    await mkdir(join(this.directory, 'tsdb'), { recursive: true })
    const server = await startPrometheus({
      binary: prometheusBinary(),
      dataDir: join(this.directory, 'tsdb'),
      config: { file: join(this.directory, 'prometheus/prometheus.yml') },
      listen: `127.0.0.1:${this.#ports.prometheus}`,
      // It knows no Alertmanager in its first seconds, and tries again after a minute unless told otherwise.
      flags: ['--web.enable-lifecycle', '--web.enable-admin-api', '--rules.alert.resend-delay=1s'],
      logFile: join(this.directory, 'prometheus.log'),
      readyTimeoutMs: 40_000,
    })
    atEndOfFile(() => server.kill())
    this.#prometheus = server
  }

  async wipe(): Promise<void> {
    await Promise.all([this.prometheus.kill(), this.alertmanager.kill()])
    await Promise.all(['prometheus', 'alertmanager', 'tsdb'].map((name) => rm(join(this.directory, name), { recursive: true })))
  }

  async seen(): Promise<SeenStack> {
    await this.evaluated()
    const states = await alertStates(this.alertmanager)
    const silences: Record<string, string[]> = { active: [], pending: [], expired: [] }
    for (const { state, comment } of await this.alertmanager.api.silences()) silences[state]?.push(comment)
    const rules = (await (await fetch(`${this.prometheus.url}/api/v1/rules`)).json()) as { data: { groups: { rules: { name: string; health: string }[] }[] } }
    return {
      alerts: Object.fromEntries(alerts.map((name) => [name, states[name] ?? 'unknown'])),
      silences,
      rules: rules.data.groups.flatMap((group) => group.rules.map(({ name, health }) => `${name} ${health}`)).sort(),
      recorded: await this.prometheus.api.query('recorded:answer * 1', Date.now()).then((answer) => /"(\d+)"\]/.exec(answer)?.[1] ?? answer),
    }
  }

  async notificationsWritten(): Promise<void> {
    const path = join(this.alertmanager.dataDir, 'nflog')
    const later = (ms: number) => waitFor(async () => {
      const { mtimeMs } = await stat(path)
      return mtimeMs > ms && mtimeMs
    }, { what: 'the notification log' })
    // The first file that is newer may have been begun before.
    await later(await later(Date.now()))
  }

  /** The rules were evaluated, and their alerts have arrived. */
  async evaluated(): Promise<void> {
    await waitFor(async () => {
      const states = await alertStates(this.alertmanager)
      const recorded = await this.prometheus.api.query('recorded:answer', Date.now())
      // A new alert is `unprocessed` until its group was looked at.
      return recorded.includes('"42"') && alerts.every((name) => ['active', 'suppressed'].includes(states[name] ?? ''))
    }, { what: 'alerts and records of the rules' })
  }
}
