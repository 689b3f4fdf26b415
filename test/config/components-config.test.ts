import { describe, expect, test } from 'vitest'
import type { ComponentsConfig } from '../../src/config/components-config.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { hasCode } from '../../src/errors.ts'
import { memoryFiles } from './memory-files.ts'

function load(yaml: string, env: Record<string, string> = {}): ComponentsConfig {
  return loadConfig({ env, workingDir: '/srv', hostName: 'prom-a', files: memoryFiles({ '/srv/prom-dr.yml': yaml, '/etc/token': 'x', '/srv/password': 'x' }) }).components
}

function refusal(yaml: string): string {
  try {
    load(yaml)
  } catch (error) {
    if (hasCode(error, 'CONFIG_INVALID')) return error.message
    throw error
  }
  throw new Error('the configuration was accepted')
}

const everything = `
components:
  prometheus: {configFile: prometheus.yml, promtool: /usr/bin/promtool, reload: [systemctl, reload, prometheus], places: [/etc/prometheus-rules]}
  alertmanager: {url: http://am:9093/, basicAuth: {username: dr, passwordFile: password}, configFile: /etc/am.yml, dataDir: /var/lib/am, amtool: amtool}
  grafana: {url: https://grafana, tokenFile: /etc/token, folders: [ops], provisioning: [/etc/grafana/provisioning], database: /var/lib/grafana/grafana.db}
  pushgateway: {persistenceFile: /var/lib/pushgateway.data}
  haproxy: {}
  nginx: {configFile: /etc/nginx/nginx.conf, paths: [/etc/nginx, conf/*.conf], reload: [systemctl, reload, nginx]}
  victoriametrics: {storageDataPath: /vm, authKeyFile: /etc/token, vmbackup: /opt/vmbackup}
  files: [{name: scripts, paths: ["/usr/local/bin/*.sh"]}, {name: haproxy-maps, paths: [/etc/haproxy/maps]}]
  commands: [{name: timescale, backup: [pg_dump, -Fc, metrics], restore: [pg_restore, -d, metrics], timeout: 1h, maxBytes: 20GiB}, {name: consul, backup: [consul, snapshot, save, /dev/stdout]}]
`

describe('components', () => {
  test('get what the file says, their defaults, and absolute paths', () => {
    expect(load(everything)).toEqual({
      prometheus: { enabled: true, configFile: '/srv/prometheus.yml', promtool: '/usr/bin/promtool', reload: ['systemctl', 'reload', 'prometheus'], places: ['/etc/prometheus-rules'] },
      alertmanager: { url: 'http://am:9093', basicAuth: { username: 'dr', passwordFile: '/srv/password' }, configFile: '/etc/am.yml', dataDir: '/var/lib/am', amtool: 'amtool' },
      grafana: { url: 'https://grafana', tokenFile: '/etc/token', folders: ['ops'], provisioning: ['/etc/grafana/provisioning'], database: '/var/lib/grafana/grafana.db', asideDirectory: '/srv/prom-dr-replaced' },
      pushgateway: { persistenceFile: '/var/lib/pushgateway.data' },
      haproxy: {},
      nginx: { configFile: '/etc/nginx/nginx.conf', paths: ['/etc/nginx', '/srv/conf/*.conf'], reload: ['systemctl', 'reload', 'nginx'] },
      victoriametrics: { url: 'http://127.0.0.1:8428', storageDataPath: '/vm', authKeyFile: '/etc/token', vmbackup: '/opt/vmbackup' },
      files: [{ name: 'scripts', paths: ['/usr/local/bin/*.sh'] }, { name: 'haproxy-maps', paths: ['/etc/haproxy/maps'] }],
      commands: [
        { name: 'timescale', backup: ['pg_dump', '-Fc', 'metrics'], restore: ['pg_restore', '-d', 'metrics'], timeoutMs: 3_600_000, maxBytes: 20 * 2 ** 30 },
        { name: 'consul', backup: ['consul', 'snapshot', 'save', '/dev/stdout'], timeoutMs: 600_000, maxBytes: 2 ** 30 },
      ],
    })
  })

  test('are Prometheus\'s configuration alone where nothing is said, and not even that where it is turned off', () => {
    const none = { files: [], commands: [] }
    expect(load('')).toEqual({ prometheus: { enabled: true }, ...none })
    expect(load('components:')).toEqual({ prometheus: { enabled: true }, ...none })
    expect(load('components: {prometheus: {enabled: false}}')).toEqual({ prometheus: { enabled: false }, ...none })
  })

  test('can come from the environment', () => {
    expect(load('', { PROM_DR_ALERTMANAGER_DATA_DIR: '/var/lib/am', PROM_DR_GRAFANA_TOKEN_FILE: '/etc/token' })).toMatchObject({
      alertmanager: { url: 'http://127.0.0.1:9093', dataDir: '/var/lib/am' },
      grafana: { url: 'http://127.0.0.1:3000', tokenFile: '/etc/token' },
    })
  })

  test.each([
    ['files: [{name: a, paths: [/x]}, {name: a, paths: [/y]}]', 'components.files[1].name is the same as that of components.files[0]'],
    ['files: [{name: a, paths: [/x]}], commands: [{name: a, backup: [x]}]', 'components.commands[0].name is the same as that of components.files[0]'],
    ['haproxy: {}, files: [{name: haproxy, paths: [/x]}]', 'components.files[0].name is the same as that of components.haproxy'],
    ['files: [{name: tsdb, paths: [/x]}]', 'components.files[0].name is tsdb, which means something else'],
    ['files: [{name: config, paths: [/x]}]', 'which means something else'],
    ['commands: [{name: prometheus, backup: [x]}]', 'which means something else'],
    ['files: [{name: ../x, paths: [/x]}]', 'components.files[0].name must be 1 to 63 lowercase letters'],
    ['files: [{name: x, paths: []}]', 'components.files[0].paths is empty'],
    ['commands: [{name: x, backup: []}]', 'components.commands[0].backup is empty'],
    ['commands: [{name: x, backup: "pg_dump | gzip"}]', 'components.commands[0].backup'],
    ['grafana: {tokenFile: /etc/token, basicAuth: {username: a, password: b}}', 'components.grafana.basicAuth stands beside tokenFile'],
    ['grafana: {basicAuth: {username: a}}', 'components.grafana.basicAuth needs password or passwordFile'],
    ['alertmanager: {basicAuth: {username: a, password: b, passwordFile: password}}', 'components.alertmanager.basicAuth has both'],
    ['alertmanager: {tls: {certFile: /etc/token}}', 'components.alertmanager.tls has certFile without keyFile'],
    ['grafana: {tokenFile: /missing}', 'components.grafana.tokenFile names /missing'],
    ['alertmanger: {}', 'did you mean "alertmanager"?'],
    ['alertmanager: {config: x}', 'components.alertmanager'],
    ['victoriametrics: {}', 'components.victoriametrics.storageDataPath'],
  ])('are refused with {%s}', (components, expected) => {
    expect(refusal(`components: {${components}}`)).toContain(expected)
  })

  test('with several mistakes are refused with all of them', () => {
    const message = refusal('components:\n  files: [{name: tsdb, paths: [/x]}]\n  pushgateway: {}\n')
    expect(message).toContain('tsdb')
    expect(message).toContain('persistenceFile')
  })
})
