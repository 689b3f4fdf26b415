import { describe, expect, test } from 'vitest'
import { PromDrError } from '../../src/errors.ts'
import { backupReport, damagedVerifyReport, listReport, refusedPlan, restoreReport, shipReport, statusReport, verifyReport } from './reports.ts'
import { type Scene, runInProcess } from './terminal.ts'

const id = '20261121T030000Z-79535b5f'
const yaml = 'repositories: [{name: primary, url: "s3://bkt"}, {name: near, url: /srv/near}]\nbackup: {head: never}\n'

async function requestOf(argv: readonly string[], scene: Scene = { yaml }): Promise<unknown> {
  const { calls, stderr } = await runInProcess(argv, scene)
  expect(stderr).toBe('')
  expect(calls.at(-1)?.verb).toBe('close')
  return calls[0]?.request
}

describe('what a command asks for', () => {
  test('backup', async () => {
    expect(await requestOf(['backup'])).toEqual({ head: 'never', adopt: false, repositories: [] })
    expect(await requestOf(['backup', '--head', 'always', '--adopt', '-r', 'near', '--repository', 'primary', '-r', 'near'])).toEqual({ head: 'always', adopt: true, repositories: ['near', 'primary'] })
  })

  test('list and show', async () => {
    expect(await requestOf(['list', '--instance', 'b', '--repository', 'near'])).toEqual({ instance: 'b', repositories: ['near'] })
    expect(await requestOf(['show', 'latest'])).toEqual({ id: 'latest', files: false, repositories: [] })
    expect(await requestOf(['show', id, '-i', 'b'])).toEqual({ id, files: false, instance: 'b', repositories: [] })
  })

  test('status', async () => {
    expect(await requestOf(['status', '-i', 'b'])).toEqual({ instance: 'b', repositories: [] })
    expect(await requestOf(['status', '--cost'])).toEqual({ repositories: [], cost: true })
  })

  test('expire', async () => {
    expect(await requestOf(['expire'])).toEqual({ allInstances: false, repositories: [], apply: false })
    expect(await requestOf(['expire', '--apply', '--all-instances', '-r', 'near', '--keep-daily', '7'])).toEqual({
      allInstances: true, repositories: ['near'], apply: true, retention: { keepLast: 0, keepHourly: 0, keepDaily: 7, keepWeekly: 0, keepMonthly: 0, keepYearly: 0 },
    })
  })

  test('hold', async () => {
    expect(await requestOf(['hold', id, '--until', '90d', '--reason', ' incident 4711 ', '-i', 'b'])).toEqual({ id, instance: 'b', repositories: [], hold: { until: new Date('2027-02-19T12:00:00Z'), reason: 'incident 4711' } })
    expect(await requestOf(['hold', id, '--release'])).toEqual({ id, repositories: [], hold: undefined })
    expect(await requestOf(['hold', 'latest', '--release'])).toMatchObject({ id: 'latest' })
    for (const until of ['1h ago', '2020-01-01T00:00:00Z', '2027-01-01']) {
      const { code, stderr, calls } = await runInProcess(['hold', id, '--until', until, '--reason', 'x'])
      expect({ code, verbs: calls.map(({ verb }) => verb) }).toEqual({ code: 2, verbs: ['close'] })
      expect(stderr).toContain(until)
    }
  })

  test('repository re-encrypt', async () => {
    expect(await requestOf(['repository', 're-encrypt', '-r', 'near'])).toEqual({ repositories: ['near'] })
    expect((await runInProcess(['repository', 're-encrypt'])).code).toBe(3)
    expect((await runInProcess(['repository', 'explode'])).code).toBe(2)
  })

  test('verify', async () => {
    expect(await requestOf(['verify', 'latest'])).toMatchObject({ ids: ['latest'] })
    expect(await requestOf(['verify'])).toEqual({ ids: [], repositories: [], readData: false, startServer: false })
    expect(await requestOf(['verify', id, '20261121T030000Z-00000000', '--start-server', '--read-data'])).toEqual({ ids: [id, '20261121T030000Z-00000000'], repositories: [], readData: true, startServer: true })
    expect(await requestOf(['verify', '--read-data-subset', '2/7'])).toMatchObject({ readData: true, subset: { kind: 'group', group: 2, groups: 7 } })
  })

  test('restore', async () => {
    const off = { repositories: [], dryRun: false, replace: false, nearest: false, includeDeletes: false, laterBlocks: false, start: false, sideInstance: false, all: false, force: false }
    expect(await requestOf(['restore', '--at', 'latest'])).toEqual({ at: { kind: 'latest' }, ...off })
    const argv = ['restore', '--at', '2h ago', '-t', '/t', '-i', 'b', '-r', 'near', '-n', '--replace', '--nearest', '--include-deletes', '--generation', 'g', '--start', '--owner', 'a:b', '--retention', '15d', '--side-instance', '--disaster-at', '2026-11-21T11:00:00Z']
    expect(await requestOf(argv)).toEqual({
      at: { kind: 'time', ms: Date.parse('2026-11-21T10:00:00Z') },
      target: '/t',
      instance: 'b',
      repositories: ['near'],
      dryRun: true,
      replace: true,
      nearest: true,
      includeDeletes: true,
      generation: 'g',
      laterBlocks: false,
      all: false,
      force: false,
      start: true,
      owner: 'a:b',
      retentionMs: 1_296_000_000,
      sideInstance: true,
      disasterAtMs: Date.parse('2026-11-21T11:00:00Z'),
    })
  })

  test('ship', async () => {
    expect(await requestOf(['ship'])).toEqual({ once: false, adopt: false, newGeneration: false, repositories: [] })
    expect(await requestOf(['ship', '--once', '--adopt', '--new-generation', '-r', 'near'])).toEqual({ once: true, adopt: true, newGeneration: true, repositories: ['near'] })
  })

  test('status', async () => {
    expect(await requestOf(['status'])).toEqual({ repositories: [] })
    expect(await requestOf(['status', '-i', 'b', '-r', 'near'])).toEqual({ instance: 'b', repositories: ['near'] })
  })

  test('init', async () => {
    expect(await requestOf(['init'])).toEqual({ output: './prom-dr.yml', stdout: false })
    const { stdout } = await runInProcess(['init', '--stdout'])
    expect(stdout).toBe('instance: prom-a\n')
  })
})

describe('mistakes in the command line are exit code 2, before anything is opened', () => {
  test.each([
    [['bakup'], "unknown command 'bakup'", 'did you mean backup?'],
    [['--quiet'], 'no command was given that prom-dr has', 'prom-dr --help'],
    [['help', 'bakup'], 'no command was given that prom-dr has', 'prom-dr --help'],
    [['backup', '--haed', 'x'], "unknown option '--haed'", 'did you mean --head?'],
    [['backup', '--head', 'some'], 'always, never', 'prom-dr --help'],
    [['backup', 'extra'], 'too many arguments', ''],
    [['--log-level', 'loud', 'list'], 'debug', ''],
    [['expire', '--keep-last', '-1'], '--keep-last: "-1" is not a whole number', '14'],
    [['expire', '--all-instances', '-i', 'b'], '--all-instances stands beside', ''],
    [['hold', id, '--until', '90d'], 'a hold needs --reason', 'incident'],
    [['hold', id, '--release', '--until', '90d'], '--release stands beside', ''],
    [['restore'], "required option '--at <moment>' not specified", ''],
    [['show'], "missing required argument 'id'", ''],
    [['show', 'newest'], '"newest" is not the id of a recovery point', 'prom-dr list'],
    [['verify', 'newest'], '"newest" is not the id of a recovery point', ''],
    [['verify', '--read-data-subset', '8/7'], '--read-data-subset: "8/7"', 'n/t'],
    [['restore', '--at', 'latest', '--retention', '15 days'], '--retention: "15 days" is not a duration', '15d'],
    [['restore', '--at', 'latest', '--owner', 'a b'], '--owner: "a b" is not an owner', ''],
    [['restore', '--at', 'latest', '--target', ''], '--target: the path is empty', 'variable'],
    [['completion', 'tcsh'], 'bash, zsh, fish', ''],
  ])('%j', async (argv, message, hint) => {
    const { code, stdout, stderr, openings } = await runInProcess(argv)
    expect({ code, stdout, opened: openings.length }).toEqual({ code: 2, stdout: '', opened: 0 })
    expect(stderr).toContain(`error: `)
    expect(stderr).toContain(message)
    expect(stderr).toContain(hint)
  })

  test('a moment without a zone is refused with both readings', async () => {
    const { code, stderr, calls } = await runInProcess(['restore', '--at', '2026-11-21T03:00:00'])
    expect(code).toBe(2)
    expect(stderr).toContain('--at: 2026-11-21T03:00:00 has no time zone: it could be 2026-11-21T03:00:00Z (UTC) or')
    expect(calls.map((call) => call.verb)).toEqual(['close'])
  })

  test('a repository that is not configured is refused with the nearest name', async () => {
    const { code, stderr } = await runInProcess(['list', '-r', 'primray'], { yaml })
    expect(code).toBe(2)
    expect(stderr).toContain('there is no repository "primray" in the configuration; did you mean "primary"?')
  })

  test('a bad configuration is exit code 2', async () => {
    const { code, stderr } = await runInProcess(['list'], { yaml: 'instanc: a' })
    expect(code).toBe(2)
    expect(stderr).toContain('line 1: instanc is not a known key; did you mean "instance"?')
  })

  test('with --json they are one document on stdout', async () => {
    for (const argv of [['--json', 'bakup'], ['show', 'newest', '--json'], ['list', '--json', '-r', 'x']]) {
      const { code, stdout, stderr } = await runInProcess(argv)
      expect({ code, stderr }).toEqual({ code: 2, stderr: '' })
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'USAGE', message: expect.any(String), hint: expect.any(String) } })
    }
  })
})

const failing = (code: PromDrError['code']) => ({ list: () => Promise.reject(new PromDrError(code, 'said no', { hint: 'try again' })) })
const failedPart = backupReport.repositories.slice(1)

describe('exit codes', () => {
  test.each([
    ['CONFIG_INVALID', 2], ['REPOSITORY_TOO_NEW', 2], ['INSTANCE_NOT_FOUND', 2], ['PREFLIGHT_REFUSED', 4], ['INSTANCE_TAKEN', 4], ['DAMAGED', 5], ['ANSWERS_DIFFER', 5],
    ['LOCKED', 6], ['LEASE_LOST', 6], ['NO_RECOVERY_POINT', 7], ['MOMENT_UNREACHABLE', 7], ['STORE_UNREACHABLE', 8], ['REPOSITORY_NOT_FOUND', 8], ['PROMETHEUS_UNREACHABLE', 8],
    ['INTERRUPTED', 130], ['STORE_DENIED', 1], ['ADMIN_API_DISABLED', 1], ['DISK_FULL', 1],
  ] as const)('%s is %i', async (code, expected) => {
    const failed = await runInProcess(['list'], { operations: failing(code) })
    expect(failed).toMatchObject({ code: expected, stdout: '', stderr: 'error: said no\nhint: try again\n' })
    expect(failed.calls.map((call) => call.verb)).toEqual(['close'])
  })

  test.each<[string, string[], Scene['operations'], number]>([
    ['a backup to every repository', ['backup'], { backup: async () => ({ ...backupReport, failedComponents: [], repositories: backupReport.repositories.slice(0, 1) }) }, 0],
    ['a backup without a component', ['backup'], { backup: async () => ({ ...backupReport, repositories: backupReport.repositories.slice(0, 1) }) }, 3],
    ['an archive without a component', ['archive'], {}, 3],
    ['a backup that missed one of two', ['backup'], {}, 3],
    ['a shipper of whose two repositories one is down', ['ship', '--once'], {}, 3],
    ['a shipper that met a corrupt WAL', ['ship', '--once'], { ship: async () => ({ ...shipReport, corruption: [{ path: '/d/wal/00000001', segment: 1, offset: 7, message: 'damaged at byte 7' }] }) }, 5],
    ['a backup that reached none', ['backup'], { backup: async () => ({ ...backupReport, repositories: failedPart }) }, 8],
    ['a sound verification', ['verify'], {}, 0],
    ['damage, also with a repository out of reach', ['verify'], { verify: async () => damagedVerifyReport }, 5],
    ['a verification that could not reach one repository', ['verify'], { verify: async () => ({ ...verifyReport, unreachable: damagedVerifyReport.unreachable }) }, 3],
    ['a list with a damaged manifest', ['list'], {}, 5],
    ['a list without one of two repositories', ['list'], { list: async () => ({ ...listReport, damaged: [] }) }, 3],
    ['a status', ['status'], {}, 0],
    ['a status without one of two repositories', ['status'], { status: async () => ({ ...statusReport, unreachable: damagedVerifyReport.unreachable }) }, 3],
    ['a status with a damaged heartbeat', ['status'], { status: async () => ({ ...statusReport, damaged: [{ repository: 'primary', key: 'k', reason: 'r' }] }) }, 5],
    ['a restore', ['restore', '--at', 'latest'], {}, 0],
    ['a restore whose answers differ', ['restore', '--at', 'latest'], { restore: async () => ({ ...restoreReport, answers: damagedVerifyReport.answers[0] ?? null }) }, 5],
    ['a dry run that would be refused', ['restore', '--at', 'latest', '-n'], { restore: async () => refusedPlan }, 4],
    ['a failed check', ['doctor'], {}, 1],
  ])('%s', async (_, argv, operations, expected) => {
    expect((await runInProcess(argv, { operations: operations ?? {} })).code).toBe(expected)
  })

  test('an interruption is 130 whatever it broke', async () => {
    const controller = new AbortController()
    const list = async () => {
      controller.abort()
      throw new TypeError('aborted')
    }
    const { code, stderr } = await runInProcess(['list'], { operations: { list }, signal: controller.signal })
    expect(code).toBe(130)
    expect(stderr).toContain('error: interrupted')
  })

  test('a mistake in prom-dr itself is 1, and shown with its trace', async () => {
    const list = () => Promise.reject(new TypeError('undefined is not a function'))
    const { code, stderr } = await runInProcess(['list'], { operations: { list } })
    expect(code).toBe(1)
    expect(stderr).toMatch(/error: this is a mistake in prom-dr: undefined is not a function\nhint: [^]*TypeError[^]*run-cli\.test/)
  })
})

describe('global options', () => {
  test('are taken before and after the verb', async () => {
    for (const argv of [['--json', '--log-level', 'debug', 'list'], ['list', '--json', '--log-level', 'debug']]) {
      const { stdout, openings } = await runInProcess(argv)
      expect(JSON.parse(stdout)).toEqual(listReport)
      expect(openings[0]?.logging.level).toBe('debug')
    }
    expect((await runInProcess(['-c', 'gone.yml', 'list'])).stderr).toContain('/srv/gone.yml does not exist')
    expect((await runInProcess(['list', '-c', 'gone.yml'])).stderr).toContain('/srv/gone.yml does not exist')
  })

  test('logs are JSON from info in a pipe, pretty from warn on a terminal, errors only with --quiet', async () => {
    const loggingOf = async (argv: string[], scene: Scene) => (await runInProcess(argv, scene)).openings[0]?.logging
    expect(await loggingOf(['list'], {})).toEqual({ level: 'info', pretty: false, colour: false })
    expect(await loggingOf(['list'], { tty: true })).toEqual({ level: 'warn', pretty: true, colour: true })
    expect(await loggingOf(['list', '--no-color'], { tty: true })).toEqual({ level: 'warn', pretty: true, colour: false })
    expect(await loggingOf(['list', '--quiet'], {})).toMatchObject({ level: 'error' })
  })

  test('--quiet silences summaries, not answers and not failures', async () => {
    expect((await runInProcess(['restore', '--at', 'latest', '--quiet'])).stdout).toBe('')
    expect((await runInProcess(['restore', '--at', 'latest', '--quiet'], { operations: { restore: async () => refusedPlan } })).stdout).toContain('would be refused')
    expect((await runInProcess(['backup', '--quiet'])).stdout).toContain('failed: s3://monitoring-dr/us did not answer')
    expect((await runInProcess(['verify', '-q'])).stdout).toBe('')
    expect((await runInProcess(['list', '-q'])).stdout).toContain('prom-a')
    expect((await runInProcess(['verify', '-q'], { operations: { verify: async () => damagedVerifyReport } })).stdout).toContain('damaged:')
    expect((await runInProcess(['backup', '-q', '--json'])).stdout).toContain('"recoveryPoint"')
  })

  test.each<[string, string[], Record<string, string>, boolean, boolean]>([
    ['a terminal', [], {}, true, true],
    ['a pipe', [], {}, false, false],
    ['NO_COLOR', [], { NO_COLOR: '1' }, true, false],
    ['an empty NO_COLOR', [], { NO_COLOR: '' }, true, true],
    ['FORCE_COLOR in a pipe', [], { FORCE_COLOR: '1' }, false, true],
    ['FORCE_COLOR=0', [], { FORCE_COLOR: '0' }, true, false],
    ['--no-color over FORCE_COLOR', ['--no-color'], { FORCE_COLOR: '1' }, true, false],
    ['a dumb terminal', [], { TERM: 'dumb' }, true, false],
    ['JSON on a terminal', ['--json'], {}, true, false],
  ])('colours: %s', async (_, options, env, tty, coloured) => {
    expect((await runInProcess(['doctor', ...options], { env, tty })).stdout.includes('\u001b[')).toBe(coloured)
  })

  test('--version prints the version alone', async () => {
    expect(await runInProcess(['--version'])).toMatchObject({ code: 0, stdout: '1.2.3\n', stderr: '' })
  })
})
