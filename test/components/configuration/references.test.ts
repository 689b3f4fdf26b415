import { describe, expect, it } from 'vitest'
import { readConfiguration } from '../../../src/components/configuration/references.ts'

const prometheus = `global:
  query_log_file: /var/log/queries.log
  external_labels: {key_file: "not a path"}
rule_files: [rules/*.yml, "/srv/a b.yml"]
scrape_config_files:
- 'scrape/*.yml'
alerting:
  alertmanagers:
  - authorization: {credentials_file: am.token}
    tls_config: &tls
      ca_file: ca.crt
      key: |
        -----BEGIN PRIVATE KEY-----
scrape_configs:
- job_name: a
  tls_config:
    <<: *tls
    cert_file: client.crt
  basic_auth: {username: u, password: hunter2}
  file_sd_configs:
  - files:
    - targets/*.json
  http_headers:
    X-Token: {files: [header.secret], secrets: [s3cret]}
  static_configs:
  - targets: [a]
    labels: {some_file: no}
remote_write:
- url: https://user:pw@example.org/write
  oauth2: {client_id: x, client_secret_file: oauth.secret, tls_config: {ca_file: oauth.crt}}
`

describe('readConfiguration', () => {
  it('finds every file that a configuration of Prometheus reads, and none that it writes', () => {
    const found = readConfiguration(prometheus, 'prometheus.yml').references.map(({ role, value }) => [role, value])
    expect(found).toEqual([
      ['rules', 'rules/*.yml'],
      ['rules', '/srv/a b.yml'],
      ['scrapes', 'scrape/*.yml'],
      ['credential', 'am.token'],
      ['credential', 'ca.crt'],
      ['credential', 'client.crt'],
      ['targets', 'targets/*.json'],
      ['credential', 'header.secret'],
      ['credential', 'oauth.secret'],
      ['credential', 'oauth.crt'],
    ])
  })

  it('says where in the text each one stands, quotes included', () => {
    const written = readConfiguration(prometheus, 'prometheus.yml').references.map(({ start, end }) => prometheus.slice(start, end))
    expect(written.slice(0, 3)).toEqual(['rules/*.yml', '"/srv/a b.yml"', "'scrape/*.yml'"])
  })

  it('names the keys and lines of secrets, never the secrets', () => {
    const { secrets } = readConfiguration(prometheus, 'prometheus.yml')
    expect(secrets).toEqual([
      { key: 'alerting.alertmanagers.0.tls_config.key', line: 12 },
      { key: 'scrape_configs.0.basic_auth.password', line: 19 },
      { key: 'scrape_configs.0.http_headers.X-Token.secrets.0', line: 24 },
      { key: 'remote_write.0.url', line: 29 },
    ])
    expect(JSON.stringify(secrets)).not.toMatch(/hunter2|s3cret|pw@/)
  })

  it('knows the templates and secrets of Alertmanager, and the users of a web configuration', () => {
    const alertmanager = 'global: {slack_api_url: https://hooks.example.org/x, smtp_auth_password_file: smtp.secret}\ntemplates: [templates/*.tmpl]\nreceivers: [{name: a, pagerduty_configs: [{routing_key: abc, details: {token: x}}]}]\n'
    const read = readConfiguration(alertmanager, 'alertmanager.yml')
    expect(read.references.map(({ role, value }) => `${role} ${value}`)).toEqual(['credential smtp.secret', 'templates templates/*.tmpl'])
    expect(read.secrets.map(({ key }) => key)).toEqual(['global.slack_api_url', 'receivers.0.pagerduty_configs.0.routing_key'])
    expect(readConfiguration('basic_auth_users: {admin: $2y$10$x}\n', 'web.yml').secrets).toEqual([{ key: 'basic_auth_users', line: 1 }])
  })

  it('refuses what is no YAML mapping, and takes an empty file for an empty configuration', () => {
    expect(() => readConfiguration('a: [', 'x.yml')).toThrow(/x\.yml cannot be read as YAML/)
    expect(() => readConfiguration('- a\n', 'x.yml')).toThrow(/no mapping/)
    expect(readConfiguration('', 'x.yml').references).toEqual([])
  })
})
