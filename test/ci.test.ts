import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { start } from './cli/launcher.ts'
import { temporaryDirectory } from './support/cleanup.ts'

const ofProject = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

const good = "it('is good', () => expect(1).toBe(1))"
const busyForEver = `it('is first', () => {})\nit('is busy', async () => { await new Promise((resolve) => setTimeout(resolve, 500)); for (;;); })`
const neverLoaded = "await new Promise((resolve) => setTimeout(resolve, 2 ** 30))\nit('is never reached', () => {})"
const bad = "it('is bad', () => expect(1).toBe(2))"

/** Runs test files under CI's reporter, in a project of their own; nothing may be silent for longer than some seconds. */
async function run(files: Record<string, string>) {
  const cwd = await temporaryDirectory('ci')
  for (const [name, text] of Object.entries(files)) await writeFile(join(cwd, `${name}.test.js`), text)
  await writeFile(join(cwd, 'vitest.config.mjs'), `import { workerFlags } from ${JSON.stringify(ofProject('.ci/standstill.js'))}
    export default { test: { globals: true, pool: 'forks', maxWorkers: 3, execArgv: workerFlags, reporters: [${JSON.stringify(ofProject('.ci/reporter.js'))}, ['json', { outputFile: 'results/test.json' }]] } }`)
  const ended = await start([process.execPath, ofProject('node_modules/vitest/vitest.mjs'), 'run'], { cwd, env: { PROM_DR_TEST_STILL_MS: '6000', NO_COLOR: '1' } }).ended
  const requestPath = join(cwd, '.cache', 'test-results', 'stood-still')
  return { ...ended, cwd, onceMore: existsSync(requestPath) ? await readFile(requestPath, 'utf8') : undefined }
}

describe('the report of a run', () => {
  it('kills a worker that stands still, says where, and asks for one more try of its file', async () => {
    const { code, stdout, stderr, onceMore, cwd } = await run({ good, busyForEver, neverLoaded })
    expect(code, stderr).toBe(1)
    expect(stdout).toContain(' ok good.test.js (1 tests)')
    expect(stdout).toMatch(/ stood still: busyForEver\.test\.js, the last that was heard of it, \d+ s ago: /)
    expect(stdout).toMatch(/ stood still: neverLoaded\.test\.js, the last that was heard of it, \d+ s ago: a worker has it/)
    expect(stdout).toMatch(/^ +worker \d+ \(R.*\n +it writes no report/m)
    expect(stdout).toMatch(/^ +handles: .*timer in \d+ ms/m)
    expect(onceMore?.trim().split('\n').sort()).toEqual(['busyForEver.test.js', 'neverLoaded.test.js'])
    expect(await summaryOf(join(cwd, 'results'), 1)).toMatchObject({ code: 1, stdout: expect.stringMatching(/, [1-9]\d* failed\n$/) })
  })

  it('asks for no other try when a test failed too', async () => {
    const { code, stdout, onceMore } = await run({ neverLoaded, bad })
    expect(code).toBe(1)
    expect(stdout).toContain('stood still: neverLoaded.test.js')
    expect(stdout).toContain(' failed: bad.test.js > is bad')
    expect(onceMore).toBeUndefined()
  })
})

interface FileResult {
  name: string
  status?: string
  states: string[]
}

async function results(reports: Record<string, FileResult[]>): Promise<string> {
  const folder = join(await temporaryDirectory('ci-results'), 'results')
  await mkdir(folder)
  for (const [name, files] of Object.entries(reports)) {
    const testResults = files.map((file) => ({ name: file.name, status: file.status ?? 'passed', assertionResults: file.states.map((status) => ({ status })) }))
    await writeFile(join(folder, name), JSON.stringify({ testResults }))
  }
  await writeFile(join(folder, 'stood-still'), 'a.test.ts\n')
  return folder
}

function summaryOf(folder: string, failedSteps: number) {
  return start([process.execPath, ofProject('.ci/summary.js'), folder, String(failedSteps)], { cwd: folder }).ended
}

describe('the last line of CI', () => {
  it.each([
    ['every test once', { 'test.json': [{ name: 'a', states: ['passed', 'passed', 'pending'] }], 'matrix.json': [{ name: 'b', states: ['passed'] }] }, 0, '1 skipped\n3 passed, 0 failed\n', 0],
    ['a file that was run again as it ended then', { 'test.json': [{ name: 'a', states: ['passed', 'pending'] }, { name: 'b', states: ['passed'] }], 'test.json.again': [{ name: 'a', states: ['passed', 'passed'] }] }, 0, '3 passed, 0 failed\n', 0],
    ['one that failed when it was run again', { 'test.json': [{ name: 'a', states: [] }], 'test.json.again': [{ name: 'a', status: 'failed', states: ['failed'] }] }, 1, '0 passed, 1 failed\n', 1],
    ['a file without a single test as a failure', { 'test.json': [{ name: 'a', states: [] }, { name: 'b', states: ['passed'] }] }, 0, '1 passed, 1 failed\n', 1],
    ['a file that failed outside of its tests', { 'test.json': [{ name: 'a', status: 'failed', states: ['passed'] }] }, 0, '1 passed, 1 failed\n', 1],
    ['a step that failed without saying where', { 'test.json': [{ name: 'a', states: ['passed'] }] }, 1, '1 passed, 1 failed\n', 1],
    ['no report at all as a failure', {}, 0, '0 passed, 1 failed\n', 1],
  ])('counts %s', async (_what, reports, failedSteps, stdout, code) => {
    expect(await summaryOf(await results(reports), failedSteps)).toMatchObject({ stdout, code })
  })
})
