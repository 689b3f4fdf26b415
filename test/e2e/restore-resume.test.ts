import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { createFileStore } from '../../src/stores/file-store.ts'
import { promDr, start } from '../cli/launcher.ts'
import { dyingDisk } from '../fakes/dying-disk.ts'
import { keysOf } from '../support/bodies.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { type TestOperations, operationsOn, rejectionOf } from '../support/operations.ts'
import { missingPrograms, waitFor } from '../support/prometheus.ts'
import { type Restorable, makeRestorable, recursiveListing } from '../support/restorable.ts'

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a restore that is killed', () => {
  let source: Restorable
  let operations: TestOperations
  let parent: string
  let wanted: string[]
  let targets = 0

  beforeAll(async () => {
    source = await makeRestorable()
    operations = operationsOn(source.api, createFileStore({ root: source.root }))
    parent = await temporaryDirectory('resume')
    await operations.restore(join(parent, 'whole'), { start: false })
    wanted = await placedIn(join(parent, 'whole'))
    expect(wanted.length).toBeGreaterThan(20)
  })

  it('ends right when the same command runs again, whichever change of the disk was its last', async () => {
    const changes = await countChanges(await newTarget(), {})
    for (const dieAt of placesToDie(changes)) {
      const target = await newTarget()
      await dieAndResume(target, { dieAt })
      expect(await readdir(target), `killed at change ${dieAt}`).toEqual(expect.not.arrayContaining(['.prom-dr-incomplete', '.prom-dr-staging']))
      expect(await placedIn(target), `killed at change ${dieAt}`).toEqual(wanted)
      await rm(target, { recursive: true })
    }
  }, 400_000)

  it('with --replace has moved all of the old content aside when it has been run again, and lost none of it', async () => {
    const counted = await oldTarget()
    const changes = await countChanges(counted.target, { replace: true })
    for (const dieAt of placesToDie(changes)) {
      const { target, old } = await oldTarget()
      await dieAndResume(target, { dieAt, replace: true })
      expect(await placedIn(target), `killed at change ${dieAt}`).toEqual(wanted)
      const names = (await readdir(target)).filter((name) => name.startsWith('.')).sort()
      expect(names, `killed at change ${dieAt}`).toEqual([expect.stringMatching(/^\.prom-dr-replaced-/), '.prom-dr-restored'])
      expect((await recursiveListing(join(target, names[0] ?? ''))).slice(1), `killed at change ${dieAt}`).toEqual(old)
      expect(await readdir(target)).toContain('lost+found')
      await rm(target, { recursive: true })
    }
  }, 400_000)

  it('says that all is in place when only the server that should be asked does not start, and keeps its record', async () => {
    const [cwd, target] = [await temporaryDirectory('cwd'), join(await newTarget(), 'data')]
    const broken = join(cwd, 'prometheus')
    await writeFile(broken, '#!/bin/sh\n[ "$1" = --version ] && exec prometheus --version\necho no room here >&2\nexit 1\n', { mode: 0o755 })
    const { root, store } = await source.copy()
    const records = async () => (await keysOf(store)).filter((key) => key.includes('/restores/'))
    const before = await records()
    await writeFile(join(cwd, 'prom-dr.yml'), `instance: prom-a\nprometheus: {url: 'http://127.0.0.1:9', binary: ${broken}}\nrepositories: [{name: primary, url: 'file://${root}'}]\n`)
    const { code, stdout } = await promDr(['restore', '--at', 'latest', '--target', target, '--side-instance', '--start', '--json'], { cwd })
    expect(code).not.toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ error: { message: expect.stringMatching(/^all is restored and in place in .*no room here/s), hint: expect.stringContaining('no need to restore it again'), details: { target } } })
    expect(await placedIn(target)).toEqual(wanted)
    expect(await records()).toHaveLength(before.length + 1)
  })

  it('does not fetch again what is there and right, and fetches what a power cut spoilt', async () => {
    const target = await newTarget()
    const changes = await countChanges(await newTarget(), {})
    const disk = await dyingDisk(changes.length - placingChanges(changes))
    await rejectionOf(operations.restore(target, { start: false })).finally(() => disk.revive())
    const [first = '', second = ''] = (await readdir(join(target, '.prom-dr-staging'))).sort()
    const spoilt = join(target, '.prom-dr-staging', first, 'chunks', '000001')
    const zeros = (await readFile(spoilt)).fill(0, 1000)
    await writeFile(spoilt, zeros)
    const cut = join(target, '.prom-dr-staging', second, 'index')
    const partial = (await readFile(cut)).subarray(0, -300)
    partial.fill(0, partial.length - 300)
    await rm(cut)
    await writeFile(`${cut}.partial`, partial)
    const report = await operations.restore(target, { start: false })
    expect(await placedIn(target)).toEqual(wanted)
    expect(report.resumedBytes).toBeGreaterThan(report.bytes / 2)
    expect(report.resumedBytes).toBeLessThan(report.bytes - zeros.length - partial.length)
    expect(report.bytes).toBe(report.plan.bytes)
  })

  it('refuses to put foreign content together with its own, and sets it aside when it is told to', async () => {
    const target = await newTarget()
    const changes = await countChanges(await newTarget(), {})
    const disk = await dyingDisk(changes.length - 8)
    await rejectionOf(operations.restore(target, { start: false })).finally(() => disk.revive())
    expect(JSON.parse(await readFile(join(target, '.prom-dr-incomplete'), 'utf8'))).toMatchObject({ phase: 'placing', replacedTo: null })
    await mkdir(join(target, 'wal'))
    await writeFile(join(target, 'wal', '00000000'), 'of a server that somebody started too early')
    expect(await rejectionOf(operations.restore(target, { start: false }))).toMatchObject({ code: 'PREFLIGHT_REFUSED', message: expect.stringContaining('not empty: wal') })
    const { replacedTo } = await operations.restore(target, { start: false, replace: true })
    expect(await readdir(replacedTo ?? '')).toEqual(['wal'])
    expect(await placedIn(target)).toEqual(wanted)
  })

  it('goes on after a SIGKILL and after Ctrl-C of the command itself', async () => {
    const target = join(parent, 'command')
    const configFile = join(parent, 'prom-dr.yml')
    const command = ['restore', '--at', 'latest', '--target', target, '--side-instance', '--json', '--config', configFile]
    const config = (limit: string) => writeFile(configFile, `instance: prom-a\nprometheus: {url: 'http://127.0.0.1:9'}\nrepositories:\n  - {name: primary, url: 'file://${source.root}'}\n${limit}`)
    await config('transfer: {downloadPerSecond: 20KiB}\n')
    for (const signal of ['SIGKILL', 'SIGINT'] as const) {
      const run = start([process.execPath, 'bin/prom-dr.js', ...command], { cwd: process.cwd() })
      const before = await staged(target)
      const early = await Promise.race([run.ended, waitFor(async () => (await staged(target)) > before, { what: 'bytes in staging' })])
      expect(early).toBe(true)
      run.kill(signal)
      const ended = await run.ended
      if (signal === 'SIGINT') expect(ended).toMatchObject({ code: 130, stdout: expect.stringContaining('INTERRUPTED') })
      else expect(ended.signal).toBe('SIGKILL')
    }
    await config('')
    const ended = await promDr(command, { cwd: process.cwd() })
    expect(ended).toMatchObject({ code: 0 })
    expect(JSON.parse(ended.stdout).resumedBytes).toBeGreaterThan(0)
    expect(await placedIn(target)).toEqual(wanted)
  })

  async function newTarget(): Promise<string> {
    const target = join(parent, `target-${++targets}`)
    await mkdir(target)
    return target
  }

  /** A directory with the content of a server whose blocks are in part those that come back. */
  async function oldTarget(): Promise<{ target: string; old: string[] }> {
    const target = await newTarget()
    const content = { [`${source.blocks[0]?.ulid}/meta.json`]: 'an older one', 'wal/00000003': 'log', 'queries.active': 'q', '.prom-dr-restored': 'of last year' }
    for (const [path, text] of Object.entries(content)) {
      await mkdir(join(target, path, '..'), { recursive: true })
      await writeFile(join(target, path), text)
    }
    const old = (await recursiveListing(target)).slice(1)
    await mkdir(join(target, 'lost+found'))
    return { target, old }
  }

  async function countChanges(target: string, request: { replace?: boolean }): Promise<string[]> {
    const disk = await dyingDisk()
    try {
      await operations.restore(target, { start: false, ...request })
      // The record that the restore leaves in the repository is not part of it.
      return disk.calls.slice(0, disk.calls.lastIndexOf('rm') + 2)
    } finally {
      disk.revive()
    }
  }

  async function dieAndResume(target: string, { dieAt, replace = false }: { dieAt: number; replace?: boolean }): Promise<void> {
    const disk = await dyingDisk(dieAt)
    await operations.restore(target, { start: false, replace }).then(
      () => expect(disk.calls.length, 'the restore ended before it was killed').toBeGreaterThanOrEqual(dieAt),
      (error: Error) => expect(error.message).toMatch(/dead at/),
    ).finally(() => disk.revive())
    // Killed after its last line, it is over: there is nothing to go on with.
    if ((await readdir(target)).includes('.prom-dr-restored') && !(await readdir(target)).includes('.prom-dr-incomplete') && (await placedIn(target)).length > 4) return
    await operations.restore(target, { start: false, replace })
  }
})

/** What the last part of a restore changes: handing over, setting aside, renames, notes. */
function placingChanges(changes: readonly string[]): number {
  return changes.length - changes.indexOf('chmod')
}

/** Each change from the moment at which the note and the names in the target move; a sample of those before. */
function placesToDie(changes: readonly string[]): number[] {
  const handedOver = changes.lastIndexOf('chmod')
  return [...steps(1, changes.indexOf('chmod'), 23), ...steps(changes.indexOf('chmod'), handedOver, 11), ...steps(handedOver, changes.length, 1)]
}

function steps(from: number, to: number, step: number): number[] {
  const numbers: number[] = []
  for (let at = from; at < to; at += step) numbers.push(at)
  return numbers
}

async function placedIn(target: string): Promise<string[]> {
  return (await recursiveListing(target)).filter((line) => /^[0-9A-HJKMNP-TV-Z]{26}/.test(line))
}

async function staged(target: string): Promise<number> {
  const files = await readdir(join(target, '.prom-dr-staging'), { recursive: true, withFileTypes: true }).catch(() => [])
  const sizes = await Promise.all(files.filter((file) => file.isFile()).map(async (file) => (await readFile(join(file.parentPath, file.name)).catch(() => Buffer.alloc(0))).length))
  return sizes.reduce((sum, size) => sum + size, 0)
}
