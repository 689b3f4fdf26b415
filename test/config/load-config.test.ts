import { describe, expect, test } from 'vitest'
import type { Config } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { defaultPrices } from '../../src/domain/storage-cost.ts'
import { PromDrError } from '../../src/errors.ts'
import { memoryFiles } from './memory-files.ts'

interface Given {
  yaml?: string
  env?: Record<string, string>
  files?: Record<string, string>
  file?: string
  hostName?: string
}

function load(given: Given): Config {
  return loadConfig({
    env: given.env ?? {},
    workingDir: '/srv',
    hostName: given.hostName ?? 'prom-a',
    files: memoryFiles({ ...(given.yaml !== undefined && { '/srv/prom-dr.yml': given.yaml }), ...given.files }),
    ...(given.file !== undefined && { file: given.file }),
  })
}

function refusal(given: Given): string {
  try {
    load(given)
  } catch (error) {
    if (error instanceof PromDrError && error.code === 'CONFIG_INVALID') return error.message
    throw error
  }
  throw new Error('the configuration was accepted')
}

describe('without any configuration', () => {
  test('everything has a default, and the repository lies below the working directory', () => {
    expect(load({})).toEqual({
      source: null,
      instance: 'prom-a',
      prometheus: { url: 'http://127.0.0.1:9090', timeoutMs: 30_000 },
      repositories: [{ name: 'local', url: 'file:///srv/prom-dr-repository', retention: { keepLast: 3, keepHourly: 48, keepDaily: 14, keepWeekly: 8, keepMonthly: 12, keepYearly: 3 }, tiers: {} }],
      backup: { head: 'auto', knownAnswers: { series: 50, samplesPerSeries: 60, queries: [] }, timezone: 'UTC' },
      ship: { intervalMs: 10_000, partBytes: 8 * 1024 * 1024, holdBytes: 2 * 1024 * 1024 * 1024, windowMs: 72 * 3_600_000, niceness: 10, cpuCores: 0.5, backupAfterGap: true },
      restore: {},
      components: { prometheus: { enabled: true }, files: [], commands: [] },
      transfer: { concurrency: 4, retryBudgetMs: 120_000 },
      encryption: { recipients: [], data: false },
      objectives: { rpoMs: 60_000, rtoMs: 300_000 },
      prices: defaultPrices,
    })
  })

  test('a host name that cannot be a key segment is refused', () => {
    expect(refusal({ hostName: '-bad name-' })).toContain('instance must be 1 to 63')
  })

  test('the value is frozen to the bottom', () => {
    const config = load({})
    expect(Object.isFrozen(config)).toBe(true)
    expect(Object.isFrozen(config.backup.knownAnswers.queries)).toBe(true)
    expect(Object.isFrozen(config.repositories[0])).toBe(true)
  })
})

const everything = `
instance: prom-b
prometheus:
  url: https://prom.example:9443/base/
  dataDir: data
  binary: /usr/bin/prometheus
  basicAuth: {username: dr, passwordFile: secrets/password}
  tls: {caFile: ca.pem, certFile: c.pem, keyFile: k.pem, serverName: prom, insecureSkipVerify: false}
  timeout: 5s
repositories:
  - name: primary
    url: s3://monitoring-dr/eu//
    s3: {region: eu-west-1, endpoint: https://s3.example, forcePathStyle: true, profile: dr, partSize: 16MiB, concurrency: 8, tiers: {daily: {lock: {days: 7}}, monthly: {storageClass: GLACIER_IR, lock: {mode: COMPLIANCE, days: 365}}}}
    retention: {keepLast: 2, keepDaily: 30}
  - name: near
    url: ../near
backup:
  head: always
  compactedSpan: 9d
  knownAnswers: {series: 10, samplesPerSeries: 5, queries: [up, "count(up)"]}
  timezone: Europe/Berlin
ship: {interval: 2s, maxBytes: 1MiB, holdLimit: 100MB, window: 2d, niceness: 19, cpuLimit: 0.25, backupAfterGap: false, metricsFile: /var/lib/node-exporter/../prom_dr.prom}
restore: {target: /var/lib/prometheus, owner: "prometheus:prometheus", retention: 15d}
transfer: {concurrency: 2, uploadPerSecond: 20MB, downloadPerSecond: 1MiB, retryBudget: 1m}
encryption: {recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p], identityFile: keys/age.txt, data: true}
objectives: {rpo: 30s, rto: 1m30s}
prices: {currency: EUR, perGibMonth: {STANDARD: 0.02, COLD: 0.001}}
`

describe('a file', () => {
  test('gives every key its place, and relative paths are taken from its directory', () => {
    const at = '/etc/dr/prom-dr.yml'
    const files = Object.fromEntries(['secrets/password', 'ca.pem', 'c.pem', 'k.pem'].map((name) => [`/etc/dr/${name}`, 'x']))
    expect(load({ file: at, files: { [at]: everything, ...files } })).toEqual({
      source: at,
      instance: 'prom-b',
      prometheus: {
        url: 'https://prom.example:9443/base',
        dataDir: '/etc/dr/data',
        binary: '/usr/bin/prometheus',
        basicAuth: { username: 'dr', passwordFile: '/etc/dr/secrets/password' },
        tls: { caFile: '/etc/dr/ca.pem', certFile: '/etc/dr/c.pem', keyFile: '/etc/dr/k.pem', serverName: 'prom', insecureSkipVerify: false },
        timeoutMs: 5000,
      },
      repositories: [
        {
          name: 'primary',
          url: 's3://monitoring-dr/eu',
          s3: { region: 'eu-west-1', endpoint: 'https://s3.example', forcePathStyle: true, profile: 'dr', partSizeBytes: 16_777_216, concurrency: 8 },
          retention: { keepLast: 2, keepHourly: 0, keepDaily: 30, keepWeekly: 0, keepMonthly: 0, keepYearly: 0 },
          tiers: { daily: { lock: { mode: 'GOVERNANCE', days: 7 } }, monthly: { storageClass: 'GLACIER_IR', lock: { mode: 'COMPLIANCE', days: 365 } } },
        },
        { name: 'near', url: 'file:///etc/near', retention: { keepLast: 3, keepHourly: 48, keepDaily: 14, keepWeekly: 8, keepMonthly: 12, keepYearly: 3 }, tiers: {} },
      ],
      backup: {
        head: 'always',
        compactedSpan: 777_600_000,
        knownAnswers: { series: 10, samplesPerSeries: 5, queries: ['up', 'count(up)'] },
        timezone: 'Europe/Berlin',
      },
      ship: { intervalMs: 2_000, partBytes: 1_048_576, holdBytes: 100_000_000, windowMs: 48 * 3_600_000, niceness: 19, cpuCores: 0.25, backupAfterGap: false, metricsFile: '/var/lib/prom_dr.prom' },
      restore: { target: '/var/lib/prometheus', owner: 'prometheus:prometheus', retentionMs: 1_296_000_000 },
      components: { prometheus: { enabled: true }, files: [], commands: [] },
      transfer: { concurrency: 2, uploadBytesPerSecond: 20_000_000, downloadBytesPerSecond: 1_048_576, retryBudgetMs: 60_000 },
      encryption: { recipients: ['age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p'], identityFile: '/etc/dr/keys/age.txt', data: true },
      objectives: { rpoMs: 30_000, rtoMs: 90_000 },
      prices: { currency: 'EUR', perGibMonth: { ...defaultPrices.perGibMonth, STANDARD: 0.02, COLD: 0.001 } },
    })
  })

  test('gives each repository its retention: one that is given replaces the defaults, in the environment too', () => {
    const retentionOf = (given: Given) => load(given).repositories.map((repository) => repository.retention)
    expect(retentionOf({ yaml: 'repositories: [{name: a, url: /a, retention: {keepYearly: 7}}]' })).toMatchObject([{ keepLast: 0, keepHourly: 0, keepYearly: 7 }])
    expect(retentionOf({ env: { PROM_DR_REPOSITORY_URL: '/a', PROM_DR_KEEP_HOURLY: '5' } })).toMatchObject([{ keepLast: 0, keepHourly: 5, keepYearly: 0 }])
    expect(refusal({ yaml: 'repositories: [{name: a, url: /a, retention: {keepDayly: -1, keepLast: 1.5}}]' })).toMatch(/keepLast must be a whole number[^]*keepDayly is not a known key; did you mean "keepDaily"\?/)
  })

  test('refuses a class of storage that cannot be read at once, and one that there is not', () => {
    const of = (name: string) => ({ yaml: `repositories: [{name: a, url: "s3://bkt", s3: {tiers: {yearly: {storageClass: ${name}}}}}]` })
    expect(load(of('STANDARD_IA')).repositories[0]?.tiers).toEqual({ yearly: { storageClass: 'STANDARD_IA' } })
    expect(refusal(of('DEEP_ARCHIVE'))).toMatch(/storageClass is refused: DEEP_ARCHIVE has to be asked for hours before/)
    expect(refusal(of('COLD'))).toMatch(/storageClass must be one of STANDARD, /)
  })

  test.each([['prom_dr.prom', 'must be an absolute path, not prom_dr.prom'], ['./a/b.prom', 'must be an absolute path'], ['/var/lib/metrics', 'must end in .prom, not /var/lib/metrics: other files are not collected'], ['/a.prom/', 'must end in .prom'], ['', 'must be an absolute path']])('names no file for metrics that would not be collected: %j', (path, message) => {
    expect(refusal({ yaml: `ship: {metricsFile: ${JSON.stringify(path)}}` })).toContain(`line 1: ship.metricsFile ${message}`)
    expect(refusal({ env: { PROM_DR_SHIP_METRICS_FILE: path || 'x' } })).toContain('PROM_DR_SHIP_METRICS_FILE')
  })

  test('is looked for in the order --config, PROM_DR_CONFIG, working directory, /etc', () => {
    const files = {
      '/a.yml': 'instance: a',
      '/srv/b.yml': 'instance: b',
      '/srv/prom-dr.yml': 'instance: c',
      '/etc/prom-dr/prom-dr.yml': 'instance: d',
    }
    const env = { PROM_DR_CONFIG: 'b.yml' }
    expect(load({ file: '/a.yml', env, files }).instance).toBe('a')
    expect(load({ env, files }).instance).toBe('b')
    expect(load({ files }).instance).toBe('c')
    expect(load({ files: { '/etc/prom-dr/prom-dr.yml': 'instance: d' } }).instance).toBe('d')
  })

  test('that was named and is not there is an error, never a silent default', () => {
    expect(() => load({ file: 'gone.yml' })).toThrow('/srv/gone.yml does not exist')
    expect(() => load({ env: { PROM_DR_CONFIG: '/gone.yml' } })).toThrow('/gone.yml does not exist')
    const hintOf = (surroundings: Parameters<typeof load>[0]) => { try { load(surroundings) } catch (error) { return (error as PromDrError).hint } }
    expect(hintOf({ file: 'gone.yml' })).toContain('"prom-dr init --output /srv/gone.yml" writes one')
    expect(hintOf({ env: { PROM_DR_CONFIG: '/gone.yml' } })).toContain('"env -u PROM_DR_CONFIG prom-dr init --output /gone.yml" writes one')
  })

  test.each(['', '# nothing yet\n', 'prometheus:\n  # url: …\nbackup:\n'])('may be empty or have empty sections: %j', (yaml) => {
    expect(load({ yaml }).prometheus.url).toBe('http://127.0.0.1:9090')
  })

  test.each([['- a', 'must be a mapping, not a list'], ['just text', 'must be a mapping, not text']])('that is not a mapping is refused: %s', (yaml, message) => {
    expect(refusal({ yaml })).toContain(message)
  })

  test('with broken YAML or a key twice is refused with the line', () => {
    expect(refusal({ yaml: 'instance: a\nprometheus: {url: [\n' })).toMatch(/line \d+: /)
    expect(refusal({ yaml: 'instance: a\n\ninstance: b\n' })).toMatch(/line 3: .*unique/)
  })
})

test('every mistake is reported at once, each with its line', () => {
  const yaml = `instanc: prom-a
prometheus:
  url: ftp://x
  timeout: soon
  tls: {caFile: missing.pem, certFile: c.pem}
  bearerTokenFile: token
repositories:
  - name: one
    url: s3://x
  - name: one
    ulr: s3://bucket
    url: relative/path
backup:
  head: maybe
  knownAnswers: {series: -1}
  timezone: Mars/Olympus
transfer:
objectives: {rpo: 0s}
schedule: {backup: "0 * * * *"}
restore: {owner: "a b", target: \${UNSET_TARGET}}
`
  expect(refusal({ yaml: `${yaml}`.replace('${UNSET_TARGET}', '"${UNSET_TARGET}"'), files: { '/srv/c.pem': 'x' } })).toMatchInlineSnapshot(`
    "/srv/prom-dr.yml has 18 mistakes:
      line 1: instanc is not a known key; did you mean "instance"?
      line 3: prometheus.url must begin with http:// or https://, not ftp:
      line 4: prometheus.timeout is wrong: "soon" is not a duration: write it as Prometheus does, large units first: 10s, 1h30m, 15d
      line 5: prometheus.tls.caFile names /srv/missing.pem, which does not exist
      line 5: prometheus.tls has certFile without keyFile
      line 6: prometheus.bearerTokenFile names /srv/token, which does not exist
      line 9: repositories[0].url must be s3://bucket/prefix, with a bucket name of 3 to 63 letters, digits, dots and dashes
      line 10: repositories[1].name is the same as that of repositories[0]: each repository needs its own
      line 11: repositories[1].ulr is not a known key; did you mean "url"?
      line 12: repositories[1].url must be file:///directory, s3://bucket/prefix, or a path that begins with / or ./
      line 14: backup.head must be one of auto, always, never
      line 15: backup.knownAnswers.series must be a whole number from 0 to 10000, not -1
      line 16: backup.timezone must be a time zone such as UTC or Europe/Berlin
      line 18: objectives.rpo 0s is too short: at least 1ms
      line 19: schedule is not a known key; known here: instance, prometheus, repositories, backup, ship, restore, components, transfer, encryption, prices, objectives
      line 20: the variable UNSET_TARGET is not set (in the environment or in .env); \${UNSET_TARGET:-default} would give it a default
      line 20: restore.target is empty
      line 20: restore.owner must be user or user:group"
  `)
})

describe('variables', () => {
  test('are put into values from the environment, which wins over .env', () => {
    const yaml = 'instance: ${NAME}-${PART:-x}\nrestore: {owner: "${WHO:-root}"}\ntransfer: {concurrency: "${N}"}'
    const config = load({ yaml, env: { NAME: 'env' }, files: { '/srv/.env': 'NAME=dotenv\nWHO=prometheus\nN=7\n' } })
    expect(config.instance).toBe('env-x')
    expect(config.restore.owner).toBe('prometheus')
    expect(config.transfer.concurrency).toBe(7)
  })

  test('cannot add structure to the file', () => {
    expect(load({ yaml: 'backup: {knownAnswers: {queries: ["${Q}"]}}', env: { Q: 'up"]}\nevil: true' } }).backup.knownAnswers.queries).toEqual(['up"]}\nevil: true'])
  })

  test('that are unset are all named, with their lines', () => {
    const message = refusal({ yaml: 'instance: ${A}\nrestore:\n  owner: ${B}\n' })
    expect(message).toContain('line 1: the variable A is not set')
    expect(message).toContain('line 3: the variable B is not set')
  })

  test('are left alone in comments, and $${ is a literal', () => {
    expect(load({ yaml: '# ${NOPE}\nbackup: {knownAnswers: {queries: ["a$${b}"]}}' }).backup.knownAnswers.queries).toEqual(['a${b}'])
  })
})

describe('settings from the environment', () => {
  test('win over the file', () => {
    expect(load({ yaml: 'instance: file', env: { PROM_DR_INSTANCE: 'env' } }).instance).toBe('env')
    expect(load({ yaml: 'instance: file', env: { PROM_DR_INSTANCE: '' } }).instance).toBe('file')
  })

  test('describe a whole host without a file, from .env too', () => {
    const config = load({
      env: { PROM_DR_REPOSITORY_URL: 's3://bucket/x', PROM_DR_S3_FORCE_PATH_STYLE: 'true', PROM_DR_S3_PART_SIZE: '8MiB' },
      files: { '/srv/.env': 'PROM_DR_S3_ACCESS_KEY_ID=id\nPROM_DR_S3_SECRET_ACCESS_KEY=key\nPROM_DR_KNOWN_ANSWERS_QUERIES="up\ncount(up)"\n' },
    })
    expect(config.repositories).toEqual([
      { name: 'default', url: 's3://bucket/x', s3: { forcePathStyle: true, partSizeBytes: 8_388_608, accessKeyId: 'id', secretAccessKey: 'key' }, retention: expect.objectContaining({ keepLast: 3 }), tiers: {} },
    ])
    expect(config.backup.knownAnswers.queries).toEqual(['up', 'count(up)'])
  })

  test('are reported by their name', () => {
    const message = refusal({ env: { PROM_DR_PROMETHEUS_TIMEOUT: 'soon', PROM_DR_S3_CONCURRENCY: '0', PROM_DR_REPOSITORY_URL: 's3://bucket', PROM_DR_PROMETHEUS_CA_FILE: 'no.pem' } })
    expect(message).toContain('PROM_DR_PROMETHEUS_TIMEOUT: is wrong: "soon" is not a duration')
    expect(message).toContain('PROM_DR_S3_CONCURRENCY: must be a whole number from 1 to 64, not 0')
    expect(message).toContain('PROM_DR_PROMETHEUS_CA_FILE: names /srv/no.pem, which does not exist')
  })

  test('never silently replace the repositories of a file', () => {
    const yaml = 'repositories: [{name: a, url: /srv/a}]'
    expect(refusal({ yaml, env: { PROM_DR_REPOSITORY_URL: '/srv/b' } })).toContain('PROM_DR_REPOSITORY_URL: is set while the file has repositories')
  })

  test('of a repository need its URL', () => {
    expect(refusal({ env: { PROM_DR_S3_REGION: 'eu' } })).toContain('PROM_DR_S3_REGION: is set without PROM_DR_REPOSITORY_URL')
  })

  test('that look misspelt are refused; others of the same prefix are left alone', () => {
    expect(refusal({ env: { PROM_DR_INSTANSE: 'a' } })).toContain('PROM_DR_INSTANSE: is not a known variable; did you mean PROM_DR_INSTANCE?')
    expect(load({ env: { PROM_DR_REQUIRE_PROGRAMS: '1' } }).instance).toBe('prom-a')
    expect(load({ yaml: 'instance: ${PROM_DR_INSTANCES}', env: { PROM_DR_INSTANCES: 'mine' } }).instance).toBe('mine')
  })
})

describe('secrets', () => {
  test('in an address are refused without being repeated', () => {
    for (const yaml of ['prometheus: {url: "http://u:s3cret@host"}', 'repositories: [{name: a, url: "s3://b-k", s3: {endpoint: "https://u:s3cret@host"}}]']) {
      const message = refusal({ yaml })
      expect(message).toContain('has credentials in it')
      expect(message).not.toContain('s3cret')
    }
  })
})

describe('what contradicts itself is refused', () => {
  test.each([
    ['prometheus: {basicAuth: {username: a}}', 'needs password or passwordFile'],
    ['prometheus: {basicAuth: {username: a, password: b, passwordFile: /f}}', 'has both password and passwordFile'],
    ['prometheus: {basicAuth: {username: a, password: b}, bearerTokenFile: /f}', 'stands beside bearerTokenFile'],
    ['prometheus: {tls: {certFile: /f}}', 'has certFile without keyFile'],
    ['repositories: [{name: a, url: /x}, {name: b, url: /x}]', 'repositories[1].url is the same as that of repositories[0]'],
    ['repositories: [{name: a, url: /x, s3: {region: eu}}]', 'whose url is not s3://'],
    ['repositories: [{name: a, url: "s3://bkt", s3: {accessKeyId: x}}]', 'has accessKeyId without secretAccessKey'],
    ['repositories: [{name: a, url: "s3://bkt", s3: {sessionToken: x}}]', 'has sessionToken without accessKeyId'],
    ['repositories: []', 'repositories is empty'],
    ['repositories: [{name: a, url: "s3://bkt/../x"}]', 'prefix that stores disagree on'],
    ['repositories: [{name: a, url: "file://host/x"}]', 'must be file:///directory'],
    ['repositories: [{name: a, url: "file:///"}]', 'must not be the root directory'],
  ])('%s', (yaml, message) => {
    expect(refusal({ yaml, files: { '/f': 'x' } })).toContain(message)
  })
})
