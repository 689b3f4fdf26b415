import { describe, expect, test } from 'vitest'
import { archiveExitCode } from '../../src/cli/commands/archive.ts'
import { backupExitCode } from '../../src/cli/commands/backup.ts'
import { restoreExitCode } from '../../src/cli/commands/restore.ts'
import { archiveReport, backupReport, componentsRestored, restoreReport } from './reports.ts'
import { runInProcess } from './terminal.ts'

const id = '20261121T030000Z-79535b5f'

async function asked(...argv: string[]): Promise<unknown> {
  return (await runInProcess(argv)).calls[0]?.request
}

describe('the command line of restore', () => {
  test('hands over what is to be restored, and by default nothing but the TSDB', async () => {
    expect(await asked('restore', '--at', 'latest')).toMatchObject({ all: false, force: false })
    expect(await asked('restore', '--at', 'latest')).not.toHaveProperty('only')
    expect(await asked('restore', '--at', 'latest', '--only', 'config, alertmanager', '--only', 'grafana')).toMatchObject({ only: ['config', 'alertmanager', 'grafana'] })
    expect(await asked('restore', '--at', 'latest', '--only', 'grafana', '--part', 'Ops', '--part', 'Dev', '--force', '--components-target', '/tmp/look')).toMatchObject({ only: ['grafana'], parts: ['Ops', 'Dev'], force: true, componentsTarget: '/tmp/look' })
    expect(await asked('restore', '--at', 'latest', '--all')).toMatchObject({ all: true })
  })

  test.each([
    [['--all', '--only', 'tsdb'], '--all and --only'],
    [['--part', 'Ops'], '--part needs --only with one component'],
    [['--part', 'Ops', '--only', 'grafana,files'], '--part needs --only with one component'],
    [['--components-target', ''], 'the path is empty'],
  ])('refuses %j', async (more, expected) => {
    const { code, stderr, calls } = await runInProcess(['restore', '--at', 'latest', ...more])
    expect(code).toBe(2)
    expect(stderr).toContain(expected)
    expect(calls.filter(({ verb }) => verb === 'restore')).toEqual([])
  })
})

describe('the command line of show', () => {
  test('asks for files, for a difference, for one file', async () => {
    expect((await runInProcess(['show', id, '--files'])).calls[0]).toMatchObject({ verb: 'show', request: { id, files: true } })
    expect((await runInProcess(['show', id, '--diff', 'latest'])).calls[0]).toMatchObject({ verb: 'diff', request: { from: id, to: 'latest' } })
  })

  test('prints one file byte by byte, and in JSON as text or base64', async () => {
    const file = (content: Buffer) => ({ showFile: async () => ({ recoveryPoint: id, component: 'prometheus', path: 'prometheus.yml', sizeBytes: content.byteLength, mode: 0o644, sha256: 'a'.repeat(64), content }) })
    const text = Buffer.from('global: {}\n\u001b[31m\n')
    expect((await runInProcess(['show', id, '--cat', 'prometheus/prometheus.yml'], { operations: file(text) })).stdout).toBe(text.toString())
    const json = async (content: Buffer) => JSON.parse((await runInProcess(['show', id, '--cat', 'prometheus/prometheus.yml', '--json'], { operations: file(content) })).stdout) as unknown
    expect(await json(text)).toMatchObject({ encoding: 'utf8', content: text.toString() })
    expect(await json(Buffer.from([0xff, 0]))).toMatchObject({ encoding: 'base64', content: '/wA=' })
  })

  test.each([['--cat', 'a/b', '--diff', 'latest'], ['--files', '--diff', 'latest'], ['--files', '--cat', 'a/b']])('refuses %s %s %s', async (...more) => {
    expect((await runInProcess(['show', id, ...more.filter((part) => part !== undefined)])).code).toBe(2)
  })
})

describe('the answer of a restore of components', () => {
  const [good] = componentsRestored.components
  const shown = async (components: typeof componentsRestored.components, dryRun: boolean) => (await runInProcess(['restore', '--at', 'latest', '--only', 'x'], { operations: { restore: async () => ({ ...componentsRestored, dryRun, components, repaired: [], warnings: [] }) } })).stdout

  test('of a dry run tells what would be moved aside, and that it would be refused', async () => {
    const planned = await shown([good!], true)
    expect(planned).toContain('would move aside: /etc/prometheus/prometheus.yml to ')
    expect(planned).toContain('dry run: nothing was changed')
    const why = 'keepalived refuses keepalived.conf: Line 3'
    const refused = await shown([{ ...good!, ok: false, findings: [{ name: 'check', level: 'fail', detail: why }], error: { code: 'COMPONENT_REFUSED', message: `keepalived: ${why}` } }], true)
    expect(refused.split(why)).toHaveLength(2)
    expect(refused).toContain('dry run: a restore would be refused')
  })

  test('says so where nothing was to be done', async () => {
    expect(await shown([{ ...good!, actions: [], movedAside: [] }], false)).toContain('nothing to do: everything is as it was archived')
    expect(await shown([good!], false)).not.toContain('nothing to do')
  })
})

describe('the exit code', () => {
  const whole = { ...backupReport, repositories: backupReport.repositories.slice(0, 1) }
  test('of backup and archive is 3 where a component is missing', () => {
    expect(backupExitCode(whole)).toBe(3)
    expect(backupExitCode({ ...whole, failedComponents: [] })).toBe(0)
    expect(archiveExitCode(archiveReport)).toBe(3)
    expect(archiveExitCode({ ...archiveReport, failedComponents: [] })).toBe(0)
  })

  test('of restore is 3 where some components were not restored, and that of the first where none was', () => {
    const [good, bad] = componentsRestored.components
    expect(restoreExitCode(componentsRestored)).toBe(3)
    expect(restoreExitCode({ ...componentsRestored, components: [good!] })).toBe(0)
    expect(restoreExitCode({ ...componentsRestored, components: [bad!] })).toBe(1)
    expect(restoreExitCode({ ...componentsRestored, components: [{ ...bad!, error: { code: 'COMPONENT_REFUSED', message: '' } }] })).toBe(4)
    expect(restoreExitCode({ ...restoreReport, components: [good!, bad!] })).toBe(3)
    const broken = { ...good!, findings: [{ name: 'x', level: 'fail' as const, detail: 'y' }] }
    expect(restoreExitCode({ ...componentsRestored, dryRun: true, components: [broken] })).toBe(4)
    expect(restoreExitCode({ ...componentsRestored, dryRun: true, components: [broken] }, { force: true })).toBe(0)
    expect(restoreExitCode({ ...componentsRestored, components: [broken] })).toBe(0)
  })
})
