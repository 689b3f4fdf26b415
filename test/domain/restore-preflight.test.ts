import { describe, expect, test } from 'vitest'
import { type PreflightCheck, type PreflightRequest, type TargetFacts, preflight } from '../../src/domain/restore-preflight.ts'
import { firstMs, hourMs, namedBlock } from '../fakes/recovery-points.ts'

const dayMs = 24 * hourMs
const nowMs = firstMs + 10 * dayMs

const facts: TargetFacts = {
  path: '/var/lib/prometheus/metrics2', state: 'empty', names: [], writable: true, readOnly: false, freeBytes: 10_000_000_000, usedBy: [], repositories: [], otherRestore: undefined, resumes: false,
  version: { version: '2.42.0', reads: true, rule: 'the same or newer' },
  owner: { ok: true, detail: 'prometheus:prometheus (106:113)' },
}

const request: PreflightRequest = {
  replace: false, sideInstance: false, neededBytes: 1_000_000_000, retentionMs: 15 * dayMs, sourceVersion: '2.42.0', continuesSource: true,
  createdAt: nowMs - hourMs, sourceRetentionMs: 15 * dayMs, blocks: [namedBlock(0), namedBlock(117)], nowMs,
}

interface Case {
  title: string
  facts?: Partial<TargetFacts>
  request?: Partial<PreflightRequest>
}

const tooOld = [namedBlock(-90), namedBlock(-70), namedBlock(117)]
const aged = { blocks: tooOld, retentionMs: 15 * dayMs, sourceRetentionMs: 15 * dayMs, createdAt: nowMs - 3 * dayMs }

const passes: Case[] = [
  { title: 'an empty directory' },
  { title: 'a directory that does not exist yet', facts: { state: 'missing' } },
  { title: 'an occupied directory and --replace', facts: { state: 'occupied', names: ['wal'] }, request: { replace: true } },
  { title: 'an interrupted restore of something else and --replace', facts: { state: 'occupied', names: ['.prom-dr-staging'], otherRestore: '20261120T000000Z-00000000' }, request: { replace: true } },
  { title: 'what a half-finished restore of the same left beside other things, and --replace', facts: { state: 'occupied', names: ['data'], resumes: true }, request: { replace: true } },
  { title: 'exactly the space that is needed and the reserve', facts: { freeBytes: 1_000_000_000 + 64 * 1024 * 1024 } },
  { title: 'a block that ends ten minutes ahead: targets may date samples so far', request: { blocks: [namedBlock(0, { maxTime: nowMs + 600_000 })] } },
  { title: 'an out-of-order block aligned to the end of its two hours', request: { blocks: [namedBlock(0, { maxTime: nowMs + 2 * hourMs, inOrder: false })] } },
  { title: 'no block at all', request: { blocks: [] } },
  { title: 'no retention by time', request: { blocks: tooOld, retentionMs: null } },
  { title: 'a block that ends exactly where retention begins', request: { blocks: [namedBlock(0, { maxTime: nowMs - 15 * dayMs })] } },
  { title: 'history beyond retention for a side instance', request: { blocks: tooOld, sideInstance: true, continuesSource: false } },
  { title: 'the latest moment, with blocks that the lost server would have deleted by now as well', request: { ...aged, blocks: [namedBlock(-90, { maxTime: nowMs - 16 * dayMs }), namedBlock(117)] } },
  { title: 'no Prometheus on this host', facts: { version: undefined } },
]

const refusals: Case[] = [
  { title: 'a symbolic link', facts: { state: 'symbolic link' } },
  { title: 'a file', facts: { state: 'not a directory' } },
  { title: 'a symbolic link, also with --replace', facts: { state: 'symbolic link' }, request: { replace: true } },
  { title: 'a directory that cannot be written to', facts: { writable: false } },
  { title: 'a directory on a disk that is mounted read-only', facts: { writable: false, readOnly: true } },
  { title: 'an interrupted restore of something else', facts: { state: 'occupied', names: ['.prom-dr-staging'], otherRestore: '20261120T000000Z-00000000' } },
  { title: 'an occupied directory', facts: { state: 'occupied', names: ['wal', 'chunks_head'] } },
  { title: 'a directory that no server made, also with --replace', facts: { path: '/home/op', state: 'occupied', names: ['.bashrc', 'notes'] }, request: { replace: true } },
  { title: 'a target in a repository', facts: { repositories: ['file:///var/lib/prometheus/metrics2/prom-dr-repository'] }, request: { replace: true } },
  { title: 'a directory with more in it than fits a line', facts: { state: 'occupied', names: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] } },
  { title: 'a running server', facts: { usedBy: ['prometheus (pid 812)', 'http://127.0.0.1:9090'] } },
  { title: 'one byte too little space', facts: { freeBytes: 1_000_000_000 + 64 * 1024 * 1024 - 1 } },
  { title: 'a block in the future', request: { blocks: [namedBlock(0), namedBlock(0, { maxTime: nowMs + 600_001 })] } },
  { title: 'an out-of-order block beyond its alignment', request: { blocks: [namedBlock(0, { maxTime: nowMs + 2 * hourMs + 1, inOrder: false })] } },
  { title: 'history that the server would delete, at a chosen moment', request: { ...aged, continuesSource: false } },
  { title: 'history older than the lost server itself kept', request: { ...aged, createdAt: nowMs - dayMs } },
  { title: 'the latest moment, on a server that keeps less than the lost one did', request: { ...aged, blocks: [namedBlock(-40), namedBlock(117)], retentionMs: 10 * dayMs } },
  { title: 'the latest moment, when the lost server\'s retention is not known', request: { ...aged, blocks: [namedBlock(-90, { maxTime: nowMs - 16 * dayMs }), namedBlock(117)], sourceRetentionMs: null } },
  { title: 'the latest moment, of which nothing at all would be left', request: { ...aged, createdAt: nowMs - 30 * dayMs, blocks: [namedBlock(-240), namedBlock(-241)] } },
  { title: 'a Prometheus that cannot read it', facts: { version: { version: '2.42.0', reads: false, rule: 'data of 3.x needs 2.55 or newer' } }, request: { sourceVersion: '3.5.3' } },
  { title: 'an owner that cannot be given', facts: { owner: { ok: false, detail: 'files would belong to root instead of prometheus (106:113)', advice: 'run as root, or give --owner' } } },
]

const checksOf = (one: Case) => preflight({ ...facts, ...one.facts }, { ...request, ...one.request })

describe('a restore is allowed on', () => {
  test.each(passes.map((one) => [one.title, one] as const))('%s', (_, one) => {
    expect(checksOf(one).filter((check) => !check.ok)).toEqual([])
  })
})

describe('a restore is refused on', () => {
  test.each(refusals.map((one) => [one.title, one] as const))('%s', (_, one) => {
    const refused = checksOf(one).filter((check) => !check.ok)
    expect(refused.length).toBe(1)
    expect(refused[0]?.advice).toBeTruthy()
  })
})

test('everything that is wrong is said at once', () => {
  const all = preflight(
    { ...facts, state: 'occupied', names: ['wal'], usedBy: ['prometheus'], freeBytes: 0, version: { version: '2.1.0', reads: false, rule: 'too old' }, owner: { ok: false, detail: 'no', advice: 'run as root' } },
    { ...request, continuesSource: false, blocks: [namedBlock(-300), namedBlock(900)] },
  )
  expect(all.map((check) => [check.name, check.ok])).toEqual([
    ['target directory', false], ['no server on the target', false], ['space', false], ['no block in the future', false], ['retention', false], ['version', false], ['owner', false],
  ])
})

test('a check that passed gives no advice', () => {
  for (const one of passes) for (const check of checksOf(one)) expect('advice' in check && check.ok ? check : undefined).toBeUndefined()
})

test('the retention that is advised keeps every block of the restore', () => {
  const [check] = preflight(facts, { ...request, ...aged, continuesSource: false }).filter((one) => one.name === 'retention')
  const days = Number(/retention\.time=(\d+)d/.exec(check?.advice ?? '')?.[1])
  const oldest = tooOld[0]?.minTime ?? 0
  expect(days * dayMs).toBeGreaterThan(nowMs - oldest)
  expect(preflight(facts, { ...request, ...aged, continuesSource: false, retentionMs: days * dayMs }).every((one) => one.ok)).toBe(true)
})

test('what an operator reads at each refusal and each pass is that of the golden file', async () => {
  const show = (check: PreflightCheck) => `  ${check.ok ? 'ok    ' : 'REFUSE'} ${check.name}: ${check.detail}${check.advice === undefined ? '' : `\n         → ${check.advice}`}`
  const base = new Set(checksOf({ title: '' }).map(show))
  const section = (heading: string, cases: Case[]) => [`# ${heading}`, ...cases.flatMap((one) => ['', one.title, ...checksOf(one).map(show).filter((line) => one === passes[0] || !base.has(line))]), '']
  await expect([...section('allowed', passes), ...section('refused', refusals)].join('\n')).toMatchFileSnapshot('../golden/restore-preflight.txt')
})
