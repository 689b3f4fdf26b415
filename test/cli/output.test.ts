import { describe, expect, test } from 'vitest'
import { expectGolden } from '../support/golden.ts'
import { componentsRestored, costReport, damagedVerifyReport, refusedPlan, restoreReport, shownFiles, verifyReport } from './reports.ts'
import { runInProcess } from './terminal.ts'

const verbs = ['init', 'doctor', 'backup', 'archive', 'ship', 'status', 'list', 'show', 'verify', 'restore', 'expire', 'hold', 'repository', 'completion']
const id = '20261121T030000Z-79535b5f'

describe('help', () => {
  test.each(verbs)('of %s has its options and examples', async (verb) => {
    const { code, stdout, stderr } = await runInProcess([verb, '--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('Examples:')
    await expectGolden(`help/${verb}.txt`, stdout)
  })

  test('names every command and the exit codes', async () => {
    const { stdout } = await runInProcess(['--help'])
    await expectGolden('help/prom-dr.txt', stdout)
    expect((await runInProcess(['help', 'backup'])).stdout).toBe((await runInProcess(['backup', '--help'])).stdout)
  })

  test('goes to stderr with exit code 2 when no command was given', async () => {
    const { code, stdout, stderr } = await runInProcess([])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('Usage: prom-dr')
  })

  test('is coloured on a terminal only', async () => {
    expect((await runInProcess(['--help'], { tty: true })).stdout).toContain('\u001b[1m')
    expect((await runInProcess(['--help', '--no-color'], { tty: true })).stdout).not.toContain('\u001b')
  })
})

describe('reports for people', () => {
  test.each([
    ['backup', ['backup'], {}],
    ['archive', ['archive'], {}],
    ['list', ['list'], {}],
    ['show', ['show', id], {}],
    ['verify', ['verify'], {}],
    ['verify-damaged', ['verify', '--read-data-subset', '3/10'], { verify: async () => damagedVerifyReport }],
    ['verify-read', ['verify', '--read-data'], { verify: async () => ({ ...verifyReport, checkedBytes: 5_000_000_000, checkedChunks: 1_200_000 }) }],
    ['restore', ['restore', '--at', 'latest'], {}],
    ['restore-components', ['restore', '--at', 'latest', '--only', 'config,grafana'], { restore: async () => componentsRestored }],
    ['show-files', ['show', id, '--files'], { show: async () => shownFiles }],
    ['diff', ['show', id, '--diff', 'latest'], {}],
    ['ship', ['ship', '--once'], {}],
    ['status', ['status'], {}],
    ['restore-plan', ['restore', '--at', 'latest', '--dry-run'], { restore: async () => refusedPlan }],
    ['expire', ['expire'], {}],
    ['status-cost', ['status', '--cost'], { status: async () => ({ instances: [], damaged: [], unreachable: [], cost: costReport }) }],
    ['hold', ['hold', id, '--until', '90d', '--reason', 'incident 4711'], {}],
    ['re-encrypt', ['repository', 're-encrypt'], {}],
    ['doctor', ['doctor'], {}],
    ['init', ['init'], {}],
    ['empty-list', ['list'], { list: async () => ({ instances: [], damaged: [], unreachable: [] }) }],
  ])('%s', async (name, argv, operations) => {
    const { stdout, stderr } = await runInProcess(argv, { operations })
    expect(stderr).toBe('')
    expect(stdout).not.toContain('\u001b')
    await expectGolden(`output/${name}.txt`, stdout)
  })

  test('are coloured on a terminal', async () => {
    await expectGolden('output/doctor-coloured.txt', (await runInProcess(['doctor'], { tty: true })).stdout)
  })

  test.each([
    ['no server was started (--start)', null],
    ['the server gave no correct answer', damagedVerifyReport.answers[0] ?? null],
    ['there was no known answer to ask', { recoveryPoint: '20261121T030000Z-0000000a', equal: true, series: 0, samples: 0, queries: 0, skipped: 4, differences: [] }],
  ])('a restore says why its RTO is not known: %s', async (reason, answers) => {
    const { stdout } = await runInProcess(['restore', '--at', 'latest'], { operations: { restore: async () => ({ ...restoreReport, answers, rtoSeconds: null, stoppedBy: 'damaged' }) } })
    expect(stdout).toMatch(new RegExp(`RTO +not measured: ${reason.replace(/[()]/g, '\\$&')}`))
    expect(stdout).toContain('(newest restored sample; what is newer is damaged)')
  })
})

describe('hostile text from a repository', () => {
  const evil = '\u001b[2J\u001b]0;owned\u0007\r\nfake line\u202egnp.exe\u009b31m'
  const list = async () => ({
    instances: [{ name: evil, recoverable: [], gaps: [], branches: [], recoveryPoints: [] }],
    damaged: [{ repository: 'r', key: evil, reason: evil }],
    unreachable: [],
  })

  test('cannot reach the terminal', async () => {
    const { stdout } = await runInProcess(['list'], { operations: { list } })
    expect(stdout).toContain('�[2J')
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/)
    expect(stdout.split('\n').some((line) => line.startsWith('fake line'))).toBe(false)
  })

  test('is escaped in JSON, which still says exactly what was there', async () => {
    const { stdout } = await runInProcess(['list', '--json'], { operations: { list } })
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/)
    expect(JSON.parse(stdout).instances[0].name).toBe(evil)
  })
})
