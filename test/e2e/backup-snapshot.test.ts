import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { stringify } from 'yaml'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { PromDrError } from '../../src/errors.ts'
import { createPrometheusApi } from '../../src/integrations/prometheus/http-prometheus-api.ts'
import type { BackupReport } from '../../src/operations/backup/backup-report.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { listSnapshots } from '../../src/tsdb/data-directory.ts'
import { promDr, start, launcher } from '../cli/launcher.ts'
import { makeBlocks } from '../support/blocks.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { startHttpProxy } from '../support/http-proxy.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { type TestPrometheus, missingPrograms, remoteWrite, startTestPrometheus, waitFor } from '../support/prometheus.ts'

describe.skipIf(missingPrograms('prometheus', 'promtool'))('the snapshot of a backup', () => {
  let server: TestPrometheus

  beforeAll(async () => {
    const { dataDir } = await makeBlocks({ series: 40, samples: 480, startMs: Math.floor(Date.now() / 7_200_000 - 6) * 7_200_000, value: (s, k) => Math.sin(s + k * 7919), dataDir: await dataDirectory() })
    server = await startTestPrometheus({ dataDir, retention: '10y', scrapeItself: false })
    await remoteWrite(server.url, [{ labels: { __name__: 'in_the_head' }, samples: [{ timestampMs: Date.now(), value: 1 }] }])
  })

  afterEach(async () => {
    for (const { path } of await listSnapshots(server.dataDir)) await rm(path, { recursive: true })
  })

  /** A working directory for the command line, whose uploads can be slowed down. */
  async function workingDirectory(options: { url?: string; uploadPerSecond?: string } = {}): Promise<string> {
    const cwd = await temporaryDirectory('cwd')
    await writeFile(join(cwd, 'prom-dr.yml'), stringify({
      instance: 'prom-a',
      prometheus: { url: options.url ?? server.url },
      repositories: [{ name: 'local', url: `file://${cwd}/repository` }],
      transfer: options.uploadPerSecond === undefined ? {} : { uploadPerSecond: options.uploadPerSecond },
    }))
    return cwd
  }

  async function backup(cwd: string): Promise<BackupReport> {
    const { code, stdout, stderr } = await promDr(['backup', '--json'], { cwd })
    expect({ code, stderr: code === 0 ? '' : stderr + stdout }).toEqual({ code: 0, stderr: '' })
    return JSON.parse(stdout) as BackupReport
  }

  const ownNames = async () => (await readdir(server.dataDir)).filter((name) => name.startsWith('.prom-dr'))

  it.each(['SIGINT', 'SIGTERM'] as const)('is gone after %s, with exit code 130 and nothing committed', async (signal) => {
    const cwd = await workingDirectory({ uploadPerSecond: '40KiB' })
    const run = start([process.execPath, launcher, 'backup', '--json'], { cwd })
    await waitFor(async () => (await readdir(join(cwd, 'repository'), { recursive: true }).catch(() => [])).some((name) => name.includes('/intents/')), { what: 'the intent', intervalMs: 5 })
    expect(await listSnapshots(server.dataDir)).toHaveLength(1)
    run.kill(signal)
    const { code, stdout } = await run.ended
    expect({ code, answer: JSON.parse(stdout) }).toMatchObject({ code: 130, answer: { error: { code: 'INTERRUPTED', hint: expect.stringMatching(/run the same command again/) } } })
    expect(await listSnapshots(server.dataDir)).toEqual([])
    expect(await ownNames()).toEqual([])
    const left = await readdir(join(cwd, 'repository', 'instances', 'prom-a'), { recursive: true })
    expect(left.filter((name) => /^(intents|heads|recovery-points)\/./.test(name) && name.endsWith('.json'))).toEqual([])
    expect((await promDr(['verify', '--json'], { cwd })).code).not.toBe(1)
  })

  it('is removed by the next backup after SIGKILL at any moment, or named where its name never arrived', async () => {
    const cwd = await workingDirectory()
    await backup(cwd)
    const { ms: typicalMs } = await timed(() => backup(cwd))
    let killed = 0
    const told: string[] = []
    for (const share of [0.5, 0.6, 0.7, 0.8, 0.9]) {
      const run = start([process.execPath, launcher, 'backup', '--json'], { cwd })
      await pause(typicalMs * share)
      const ended = await Promise.race([run.ended, undefined])
      if (ended === undefined) run.kill('SIGKILL')
      const { signal, stdout, stderr } = await run.ended
      // Killed once it has said so in its log, it does not say it again.
      told.push(stderr)
      if (signal === 'SIGKILL') killed += 1
      else told.push(...(JSON.parse(stdout) as BackupReport).warnings)
    }
    expect(killed).toBeGreaterThan(0)
    const before = await listSnapshots(server.dataDir)
    told.push(...(await backup(cwd)).warnings)
    const after = await listSnapshots(server.dataDir)
    expect(after.length).toBeLessThanOrEqual(before.length)
    for (const { path } of after) expect(told.join('\n')).toContain(path)
    expect(await ownNames()).toEqual([])
    expect(JSON.parse((await promDr(['verify', '--read-data', '--json'], { cwd })).stdout)).toMatchObject({ ok: true, damaged: [] })
  })

  it('is named by the next backup when its taker was killed while the server was answering', async () => {
    const { url, paths } = await startHttpProxy(server.url, { holdAnswerTo: (path) => path.includes('/snapshot') })
    const cwd = await workingDirectory({ url })
    const run = start([process.execPath, launcher, 'backup', '--json'], { cwd })
    await waitFor(() => paths.some((path) => path.includes('/snapshot')), { what: 'the request' })
    const [lost] = await waitFor(async () => (await listSnapshots(server.dataDir).then((found) => (found.length > 0 ? found : undefined))), { what: 'the snapshot' })
    run.kill('SIGKILL')
    await run.ended
    const next = await workingDirectory()
    expect((await backup(next)).warnings).toEqual([expect.stringContaining(`${lost?.path} appeared since a backup asked for a snapshot and was killed`)])
    expect(await listSnapshots(server.dataDir)).toEqual([lost])
    expect(await ownNames()).toEqual([])
    expect((await backup(next)).warnings).toEqual([])
  })

  it('is named although the server only came to it after the next backup had begun', async () => {
    let asked = 0
    const { url } = await startHttpProxy(server.url, {
      before: async (path) => {
        if (!path.includes('/snapshot')) return
        asked += 1
        if (asked === 1) await waitFor(() => asked === 2, { what: 'the request of the next' })
        else await waitFor(async () => (await listSnapshots(server.dataDir)).length > 0, { what: 'the snapshot of the first' })
      },
    })
    const cwd = await workingDirectory({ url })
    const run = start([process.execPath, launcher, 'backup', '--json'], { cwd })
    await waitFor(() => asked === 1, { what: 'the request' })
    run.kill('SIGKILL')
    await run.ended
    const { warnings } = await backup(cwd)
    const left = await listSnapshots(server.dataDir)
    expect(left).toHaveLength(1)
    expect(warnings).toEqual([expect.stringContaining(`${left[0]?.path} appeared since a backup asked for a snapshot and was killed`)])
    expect(await ownNames()).toEqual([])
  })

  it('is reported and left alone when the answer with its name is lost', async () => {
    const { url } = await startHttpProxy(server.url, { loseAnswerTo: (path) => path.includes('/snapshot') })
    const error = (await rejectionOf(operationsOn(createPrometheusApi({ url }), createMemoryStore()).backup())) as PromDrError
    const [lost] = await listSnapshots(server.dataDir)
    expect(error).toMatchObject({ code: 'PROMETHEUS_UNREACHABLE', hint: expect.stringContaining(`${lost?.path} appeared meanwhile and was left alone`) })
    // What a process leaves that is killed while it announces its request; no process has this id.
    await writeFile(join(server.dataDir, '.prom-dr-snapshot-request-99999999-x.json.tmp'), '')
    await operationsOn(server.api, createMemoryStore()).backup()
    expect(await listSnapshots(server.dataDir)).toEqual([lost])
    expect(await ownNames()).toEqual([])
  })

  it('is the only one to go: those that others took, or that a living process of ours works on, stay', async () => {
    const foreign = await server.api.takeSnapshot({ skipHead: true })
    const cwd = await workingDirectory({ uploadPerSecond: '20KiB' })
    const run = start([process.execPath, launcher, 'backup'], { cwd })
    const living = await waitFor(async () => (await listSnapshots(server.dataDir)).find(({ name }) => name !== foreign), { what: 'its snapshot' })
    await waitFor(async () => (await readdir(living.path)).includes('.prom-dr-snapshot.json'), { what: 'the note' })
    const { warnings } = await backup(await workingDirectory())
    expect(warnings).toEqual([expect.stringContaining(`${living.path} was taken by process ${run.pid}`)])
    expect((await listSnapshots(server.dataDir)).map(({ name }) => name).sort()).toEqual([foreign, living.name].sort())
    run.kill('SIGKILL')
    await run.ended
    await backup(await workingDirectory())
    expect((await listSnapshots(server.dataDir)).map(({ name }) => name)).toEqual([foreign])
  })
})

async function dataDirectory(): Promise<string> {
  const directory = join(await temporaryDirectory('data'), 'data')
  await mkdir(directory)
  return directory
}

async function timed<T>(task: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const startMs = performance.now()
  return { value: await task(), ms: performance.now() - startMs }
}
