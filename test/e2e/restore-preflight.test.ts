import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, readdir, rename, rm, statfs, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type TestContext, beforeAll, describe, expect, it } from 'vitest'
import type { RestoreRequest } from '../../src/operations/restore/restore-report.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { readSources } from '../../src/operations/repository-sources.ts'
import { commitRecoveryPoint } from '../../src/repository/recovery-points.ts'
import type { StoredRecoveryPoint } from '../../src/repository/recovery-point-schema.ts'
import { promDr } from '../cli/launcher.ts'
import { atEndOfFile, temporaryDirectory } from '../support/cleanup.ts'
import { type TestOperations, operationsOn, rejectionOf } from '../support/operations.ts'
import { missingPrograms, startTestPrometheus } from '../support/prometheus.ts'
import { type Restorable, makeRestorable, recursiveListing } from '../support/restorable.ts'

const hourMs = 3_600_000

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a restore that must not begin', () => {
  let source: Restorable
  let operations: TestOperations
  let parent: string

  beforeAll(async () => {
    source = await makeRestorable({ recoveryPoints: 2 })
    operations = operationsOn(source.api, createFileStore({ root: source.root }))
    parent = await temporaryDirectory('preflight')
  })

  it('is refused by the command with exit code 4, and leaves everything as it was', async () => {
    const target = await occupied('by-command')
    const configFile = join(parent, 'prom-dr.yml')
    await writeFile(configFile, `instance: prom-a\nprometheus: {url: 'http://127.0.0.1:9'}\nrepositories:\n  - {name: primary, url: 'file://${source.root}'}\n`)
    const before = await recursiveListing(parent)
    const ended = await promDr(['restore', '--at', 'latest', '--target', target, '--side-instance', '--config', configFile], { cwd: process.cwd() })
    expect(ended).toMatchObject({ code: 4, stdout: '', stderr: expect.stringMatching(/not empty: queries\.active, wal[^]*hint:.*--replace/) })
    const dry = await promDr(['restore', '--at', 'latest', '--dry-run', '--target', target, '--side-instance', '--config', configFile, '--json'], { cwd: process.cwd() })
    expect(dry.code).toBe(4)
    expect(JSON.parse(dry.stdout).plan.preflight).toContainEqual({ name: 'target directory', ok: false, detail: expect.stringContaining('not empty'), advice: expect.stringContaining('--replace') })
    expect(await recursiveListing(parent)).toEqual(before)
  })

  it('is refused where the target is a file, below a file, or a symbolic link', async () => {
    await writeFile(join(parent, 'file'), 'x')
    await mkdir(join(parent, 'led-to'))
    await symlink(join(parent, 'led-to'), join(parent, 'link'))
    await expectRefused(join(parent, 'file'), 'is not a directory')
    await expectRefused(join(parent, 'file', 'below'), 'is not a directory')
    await expectRefused(join(parent, 'link'), 'is a symbolic link')
  })

  it('is refused in and around a repository, and --replace takes no home for a data directory', async () => {
    const replace = { replace: true }
    await expectRefused(source.root, 'lie one in the other', operations, replace)
    await expectRefused(join(source.root, 'not', 'there', 'yet'), 'lie one in the other', operations, replace)
    await expectRefused(join(source.root, '..'), 'lie one in the other', operations, replace)
    const home = join(parent, 'home')
    await mkdir(home)
    await writeFile(join(home, '.bashrc'), '')
    await expectRefused(home, 'is no data directory of Prometheus: it holds .bashrc', operations, replace)
  })

  it('is refused where this user may not write, or not give the files to the group of the directory', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('needs root to become nobody')
    const target = join(parent, 'of-root')
    await mkdir(target)
    const copy = await source.copy()
    await open(copy.root)
    await open(parent)
    const configFile = join(parent, 'as-nobody.yml')
    await writeFile(configFile, `instance: prom-a\nprometheus: {url: 'http://127.0.0.1:9'}\nrepositories:\n  - {name: primary, url: 'file://${copy.root}'}\n`)
    const foreign = join(parent, 'of-another-group')
    await mkdir(foreign)
    await chown(foreign, 65534, 0)
    const before = await recursiveListing(parent)
    // The checkout may lie where nobody else may look: everything is loaded before the process becomes another user's.
    const modules = ['main.js', 'compose.js', 'system/logger.js'].map((name) => JSON.stringify(String(new URL(`../../dist/${name}`, import.meta.url))))
    const script = `const [{ main }] = await Promise.all([${modules.map((name) => `import(${name})`).join(', ')}]); process.setgroups([]); process.setgid(65534); process.setuid(65534); process.exitCode = await main()`
    for (const [into, refusals] of [[target, [/of-root is not writable for this user/, /runs as 65534 and cannot hand files over/]], [foreign, [/is not in group 0 and cannot hand files over to it/]]] as const) {
      const args = ['restore', '--at', 'latest', '--target', into, '--side-instance', '--json', '--config', configFile]
      const run = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, '--', 'prom-dr', ...args]).then(() => undefined, (error: unknown) => error as { code: number; stdout: string })
      expect(run?.code, run?.stdout).toBe(4)
      for (const refusal of refusals) expect(run?.stdout).toMatch(refusal)
    }
    expect(await recursiveListing(parent)).toEqual(before)
  })

  it.skipIf(process.getuid?.() !== 0)('is refused below a directory that may not be entered, and in one that may not be read', async () => {
    const copy = await source.copy()
    await open(copy.root)
    await open(parent)
    const closed = join(parent, 'closed')
    await mkdir(join(closed, 'there'), { recursive: true })
    await chmod(closed, 0o700)
    const unread = join(parent, 'unread')
    await mkdir(unread, { mode: 0o711 })
    const { restore } = operationsOn(source.api, copy.store)
    for (const [target, named] of [[join(closed, 'there'), join(closed, 'there')], [join(closed, 'not', 'there'), join(closed, 'not', 'there')], [unread, unread]] as const) {
      for (const dryRun of [false, true]) {
        expect(await asNobody(() => rejectionOf(restore(target, { start: false, dryRun })))).toMatchObject({
          code: 'PREFLIGHT_REFUSED', message: expect.stringContaining(`nothing was changed: target directory: ${named} may not be accessed (EACCES)`), hint: expect.stringContaining('--target'),
        })
      }
    }
    expect(await recursiveListing(closed)).toEqual(['. 40700 0:0', 'there 40755 0:0'])
  })

  it('is refused where the file system is too small, and a mount point with lost+found is a normal target', async (context) => {
    const small = await tmpfs(context, 'small', '60m')
    await mkdir(join(small, 'lost+found'))
    await expectRefused(small, /space: \S+ MiB free/)
    const large = await tmpfs(context, 'large', '80m')
    await mkdir(join(large, 'lost+found'))
    await operations.restore(large, { start: false })
    expect((await readdir(large)).sort()).toEqual(['.prom-dr-restored', 'lost+found', ...(await namesOf(source.ids[1] ?? ''))].sort())
  })

  it('goes on with an interrupted restore where what is left to fetch still fits', async (context) => {
    const target = await tmpfs(context, 'nearly-full', '80m')
    const plan = (await operations.restore(target, { start: false, dryRun: true })).plan
    const [block = { ulid: '', bytes: 0 }] = plan.blocks
    await mkdir(join(target, '.prom-dr-staging', block.ulid, 'chunks'), { recursive: true })
    await writeFile(join(target, '.prom-dr-incomplete'), JSON.stringify({ version: 1, instance: 'prom-a', recoveryPoint: plan.recoveryPoint, names: plan.blocks.map(({ ulid }) => ulid), replacedTo: null, phase: 'staging', startedAt: '2026-01-01T00:00:00Z' }))
    const { bavail, bsize } = await statfs(target)
    await writeFile(join(target, '.prom-dr-staging', block.ulid, 'chunks', '000001.partial'), Buffer.alloc(20_000))
    await writeFile(join(target, 'lost+found'), Buffer.alloc(bavail * bsize - 64 * 1024 * 1024 - plan.bytes + 8192 - 20_480))
    await operations.restore(target, { start: false })
  })

  it('is refused where something is already, unless it is told to move it aside', async () => {
    const target = await occupied('occupied')
    await expectRefused(target, 'not empty: queries.active, wal')
    const report = await operations.restore(target, { start: false, replace: true })
    expect(await readdir(report.replacedTo ?? '')).toEqual(['queries.active', 'wal'])
    expect(await operations.restore(join(parent, 'was-empty'), { start: false, replace: true })).toMatchObject({ replacedTo: null })
  })

  it('is refused while a server runs there, also one that knows the directory by another name', async () => {
    const dataDir = await temporaryDirectory('in-use')
    const server = await startTestPrometheus({ dataDir })
    const before = (await readdir(dataDir)).sort()
    const refusal = await rejectionOf(operations.restore(dataDir, { start: false, replace: true }))
    expect(refusal).toMatchObject({ code: 'PREFLIGHT_REFUSED', message: expect.stringMatching(/in use by prometheus \(pid \d+\)/) })
    const parentLink = join(parent, 'parent-link')
    await symlink(join(dataDir, '..'), parentLink)
    expect(await rejectionOf(operations.restore(join(parentLink, dataDir.split('/').at(-1) ?? ''), { start: false, replace: true }))).toMatchObject({ message: expect.stringMatching(/in use by prometheus/) })
    // Where processes cannot be seen (another user's, another host's), the server itself is asked.
    const asked = operationsOn(server.api, createFileStore({ root: source.root }))
    expect(await rejectionOf(asked.restore(dataDir, { start: false, replace: true }))).toMatchObject({ message: expect.stringContaining(`the server at ${server.url}`) })
    expect((await readdir(dataDir)).sort()).toEqual(before)
    await server.kill()
    await operations.restore(dataDir, { start: false, replace: true })
  })

  it('is refused on top of the interrupted restore of another recovery point, or of one that cannot be told', async () => {
    const target = join(parent, 'other-restore')
    await mkdir(join(target, '.prom-dr-staging'), { recursive: true })
    const note = { version: 1, instance: 'prom-a', recoveryPoint: source.ids[0], names: [], replacedTo: null, phase: 'staging', startedAt: '2026-01-01T00:00:00Z' }
    await writeFile(join(target, '.prom-dr-incomplete'), JSON.stringify(note))
    await expectRefused(target, `interrupted restore of ${source.ids[0]}`)
    await writeFile(join(target, '.prom-dr-incomplete'), JSON.stringify({ ...note, replacedTo: '../../etc' }))
    await expectRefused(target, 'cannot be read: replacedTo')
    await writeFile(join(target, '.prom-dr-incomplete'), '{"version": 1, "insta')
    await expectRefused(target, 'cannot be read')
  })

  it('is refused with a block from the future, which would make the server reject every sample', async () => {
    const changed = await withPoint((point) => ({ ...point, blocks: point.blocks.map((block, at) => (at === 0 ? { ...block, maxTime: Date.now() + hourMs } : block)) }))
    await expectRefused(join(parent, 'future'), 'no block in the future', changed)
  })

  it('is refused when the live server would delete history within a minute, unless the server has aged with it', async () => {
    const target = join(parent, 'retention')
    await expectRefused(target, /retention: \d of 4 blocks are older than 6h counted from now/, operations, { sideInstance: false, retentionMs: 6 * hourMs })
    await operations.restore(join(parent, 'side'), { sideInstance: true, retentionMs: 6 * hourMs, start: false })
    await operations.restore(join(parent, 'long'), { sideInstance: false, retentionMs: 30 * 24 * hourMs, start: false })
    // The lost server kept six hours when the recovery point was made, of which some have passed since.
    const aged = await withPoint((point) => ({
      ...point, createdAt: point.createdAt - 4 * hourMs, id: point.id.replace(/T\d\d/, (hour) => `T${String((Number(hour.slice(1)) + 20) % 24).padStart(2, '0')}`),
      source: { ...point.source, retention: { timeMs: 11 * hourMs, sizeBytes: null } },
    }))
    const report = await aged.restore(join(parent, 'aged'), { sideInstance: false, start: false, retentionMs: 11 * hourMs })
    expect(report.plan.preflight.find(({ name }) => name === 'retention')).toMatchObject({ ok: true, detail: expect.stringMatching(/as the lost one would have by now|every block is younger/) })
  })

  it('is refused where the installed version cannot read the data', async () => {
    const newer = await withPoint((point) => ({ ...point, source: { ...point.source, prometheusVersion: '99.1.0' } }))
    await expectRefused(join(parent, 'version'), 'version: data of Prometheus 99.1.0', newer)
  })

  it('is refused for an owner that does not exist here, asked for or recorded', async () => {
    await expectRefused(join(parent, 'owner'), 'no user or group nobody-of-that-name', operations, { owner: 'nobody-of-that-name' })
    const foreign = await withPoint((point) => ({ ...point, source: { ...point.source, owner: { uid: 4242, gid: 4242, user: 'monitoring', group: null } } }))
    await expectRefused(join(parent, 'foreign'), 'belonged to monitoring, and this host has no such user', foreign)
    if (process.getuid?.() !== 0) return
    const report = await foreign.restore(join(parent, 'numbers'), { owner: '4242:4243', start: false })
    expect(report.plan.preflight.find(({ name }) => name === 'owner')).toMatchObject({ ok: true, detail: expect.stringContaining('4242:4243') })
    const held = join(parent, 'held')
    await mkdir(held)
    await chown(held, 4244, 4244)
    expect((await foreign.restore(held, { start: false })).plan.preflight.find(({ name }) => name === 'owner')?.detail).toContain('4244:4244')
  })

  it('changes nothing in a dry run, and shows every check that fails', async () => {
    const target = await occupied('dry')
    const before = await recursiveListing(parent)
    const { plan, dryRun } = await operations.restore(target, { dryRun: true, owner: 'nobody-of-that-name', sideInstance: false, retentionMs: 6 * hourMs })
    expect(dryRun).toBe(true)
    expect(plan.preflight.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(['target directory', 'retention', 'owner'])
    for (const { ok, advice } of plan.preflight) expect(advice === undefined).toBe(ok)
    await operations.restore(join(parent, 'never-made'), { dryRun: true })
    expect(await recursiveListing(parent)).toEqual(before)
  })

  async function expectRefused(target: string, reason: string | RegExp, by: TestOperations = operations, request: Partial<RestoreRequest> = {}): Promise<void> {
    const before = await recursiveListing(parent)
    const message = typeof reason === 'string' ? expect.stringContaining(reason) : expect.stringMatching(reason)
    expect(await rejectionOf(by.restore(target, { start: false, ...request }))).toMatchObject({ code: 'PREFLIGHT_REFUSED', message })
    expect(await recursiveListing(parent)).toEqual(before)
  }

  async function occupied(name: string): Promise<string> {
    const target = join(parent, name)
    await mkdir(join(target, 'wal'), { recursive: true })
    await writeFile(join(target, 'wal', '00000000'), 'log')
    await writeFile(join(target, 'queries.active'), '')
    return target
  }

  async function namesOf(id: string): Promise<string[]> {
    const { plan } = await operations.restore(join(parent, 'never'), { at: { kind: 'recovery-point', id }, dryRun: true })
    return plan.blocks.map(({ ulid }) => ulid)
  }

  /** A repository whose only recovery point says something else about its server. */
  async function withPoint(change: (point: StoredRecoveryPoint) => StoredRecoveryPoint): Promise<TestOperations> {
    const { store, root } = await source.copy()
    const { repositories } = await readSources([{ name: 'copy', store }], { repositories: [], instance: 'prom-a' })
    const point = repositories[0]?.instances[0]?.points.at(-1) as StoredRecoveryPoint
    await rename(join(root, 'instances/prom-a/recovery-points'), join(root, 'instances/prom-a/old'))
    await rm(join(root, 'instances/prom-a/old'), { recursive: true })
    await commitRecoveryPoint(store, change(point))
    return operationsOn(source.api, store)
  }

  async function open(directory: string): Promise<void> {
    await promisify(execFile)('chmod', ['-R', 'a+rX', directory])
    for (let above = join(directory, '..'); above !== '/tmp' && above !== '/'; above = join(above, '..')) await chmod(above, 0o755)
  }
})

/** Runs the task with the rights of nobody; threads of the file system included. */
async function asNobody<T>(task: () => Promise<T>): Promise<T> {
  process.setegid?.(65534)
  process.seteuid?.(65534)
  try {
    return await task()
  } finally {
    process.seteuid?.(0)
    process.setegid?.(0)
  }
}

async function tmpfs(context: TestContext, name: string, size: string): Promise<string> {
  const path = join(await temporaryDirectory('mount'), name)
  await mkdir(path)
  const mounted = await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path]).then(() => true, () => false)
  if (!mounted) {
    if (process.env['PROM_DR_REQUIRE_PROGRAMS'] === '1' && process.getuid?.() === 0) throw new Error('tmpfs cannot be mounted')
    context.skip('needs the right to mount a tmpfs')
  }
  atEndOfFile(async () => void (await promisify(execFile)('umount', ['-l', path])))
  return path
}
