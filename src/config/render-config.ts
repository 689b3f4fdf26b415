import { stringify } from 'yaml'
import { formatDuration } from '../domain/duration.ts'

/** What is known about a host; absent facts could not be found out. */
export interface ConfigFacts {
  instance: string
  prometheusUrl: string
  version: string | undefined
  dataDir: string | undefined
  adminApi: boolean | undefined
  retentionMs: number | undefined
  repositoryUrl: string
}

/** A commented `prom-dr.yml` that loads without an error, whatever the facts. */
export function renderConfig(facts: ConfigFacts): string {
  return `# Configuration of prom-dr. "prom-dr doctor" checks it. Values may hold \${VARIABLES} from the environment or .env.

# The name this host's backups are kept under. It must differ between hosts that share a repository.
instance: ${scalar(facts.instance)}

prometheus:
${serverComment(facts)}  url: ${scalar(facts.prometheusUrl)}
${dataDirLines(facts)}  # basicAuth: {username: prom-dr, passwordFile: /etc/prom-dr/password}
  # bearerTokenFile: /etc/prom-dr/token
  # tls: {caFile: /etc/prom-dr/ca.pem}

# Every backup goes to all of them. An object store elsewhere is what survives the loss of this site:
#  - name: remote
#    url: s3://bucket/prefix
#    s3: {region: eu-west-1, endpoint: "https://…", forcePathStyle: true}
repositories:
  - name: local
    url: ${scalar(facts.repositoryUrl)}
    # What "prom-dr expire" keeps. A retention that is given replaces this one: what it leaves out keeps none.
    # retention: {keepLast: 3, keepHourly: 48, keepDaily: 14, keepWeekly: 8, keepMonthly: 12, keepYearly: 3}

backup:
  # Whether the samples still in memory are stored too: auto, always, never.
  head: auto
  # What is asked of the server at backup and asked again of what was restored.
  knownAnswers:
    series: 50
    queries: ["count(up)"]
  timezone: UTC

# What else belongs to the stack, collected with every backup. Prometheus's own configuration is found and archived by itself.
# components:
#   alertmanager: {url: "http://127.0.0.1:9093", configFile: /etc/prometheus/alertmanager.yml, dataDir: /var/lib/prometheus/alertmanager}
#   grafana: {url: "http://127.0.0.1:3000", tokenFile: /etc/prom-dr/grafana-token}
#   haproxy: {}
#   files: [{name: scripts, paths: ["/usr/local/bin/*.sh"]}]
#   commands: [{name: timescale, backup: [pg_dump, -Fc, metrics], restore: [pg_restore, -d, metrics], timeout: 1h}]

restore:
${restoreLines(facts)}  # owner: prometheus:prometheus

# How often what is new in the WAL is sent by "prom-dr ship": what a lost host loses at most, with one scrape. Within the window,
# any moment can be restored. Of metricsFile node_exporter's textfile collector tells whether shipping goes on, gaps and damage; alerts on
# them are in runbooks/ship-alerts.md.
# ship: {interval: 10s, window: 72h, metricsFile: /var/lib/prometheus/node-exporter/prom_dr_ship.prom}

# transfer: {concurrency: 4, uploadPerSecond: 20MiB, retryBudget: 2m}

# Who can read what is stored. "age-keygen -o key.txt" makes a key pair: its public key stands here, key.txt is kept elsewhere, and more than
# once: without it nothing that was encrypted comes back. Hosts that only back up need no identityFile. With "data: true" blocks and WAL
# are encrypted too, not only configuration and dashboards.
# encryption: {recipients: [age1…], identityFile: /etc/prom-dr/key.txt, data: false}

# What a restore is measured against: samples lost, and time to the first correct answer.
objectives: {rpo: 60s, rto: 5m}
`
}

function serverComment({ version, adminApi }: ConfigFacts): string {
  if (version === undefined) return '  # The server did not answer when this was written.\n'
  const warning = adminApi === false ? '  # Its admin API is off: backups need --web.enable-admin-api.\n' : ''
  return `  # Prometheus ${comment(version)} when this was written.\n${warning}`
}

function dataDirLines({ dataDir }: ConfigFacts): string {
  if (dataDir === undefined) return '  # dataDir: /var/lib/prometheus/metrics2    # default: the server is asked\n'
  return `  # As the server said; without it the server is asked each time, which a restore after its loss cannot do.\n  dataDir: ${scalar(dataDir)}\n`
}

function restoreLines({ dataDir, retentionMs }: ConfigFacts): string {
  const target = dataDir === undefined ? '/var/lib/prometheus/metrics2' : comment(dataDir)
  const retention = retentionMs === undefined || retentionMs <= 0 ? '  # retention: 15d\n' : `  # Of the server that will use the target: history beyond it would be deleted within minutes.\n  retention: ${formatDuration(retentionMs)}\n`
  return `  # Where "prom-dr restore" puts the data; default: prometheus.dataDir.\n  # target: ${target}\n${retention}`
}

/** A YAML scalar on one line that says exactly `value`; `\${` is kept from being taken for a variable. */
function scalar(value: string): string {
  const escaped = value.replaceAll('${', () => '$${')
  return /^[\w:/][\w:/.@-]*$/.test(escaped) ? stringify(escaped, { lineWidth: 0 }).trimEnd() : JSON.stringify(escaped)
}

function comment(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, ' ')
}
