import { execFile } from 'node:child_process'
import { chmod, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { hashSync } from 'bcryptjs'
import { beforeAll, describe, expect, it } from 'vitest'
import type { TierStorages } from '../../src/domain/tier-storage.ts'
import { createPrometheusApi } from '../../src/integrations/prometheus/http-prometheus-api.ts'
import { doctor } from '../../src/operations/doctor/doctor.ts'
import type { DoctorContext } from '../../src/operations/doctor/doctor-context.ts'
import type { DoctorCheck } from '../../src/operations/doctor/doctor-report.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { openObjectStore, openObjectTiering } from '../../src/stores/open-store.ts'
import { systemClock } from '../../src/system/clock.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { ownerNumbers, thisProcess } from '../../src/system/machine.ts'
import { distDir, launcher, promDr, start } from '../cli/launcher.ts'
import { startS3FaultProxy } from '../fakes/s3-fault-proxy.ts'
import { overwrite } from '../support/both-stores.ts'
import { atEndOfFile, temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { type TestPrometheus, missingPrograms, needPrograms, startTestPrometheus, waitForSamples } from '../support/prometheus.ts'
import { createTestBucket } from '../support/s3-server.ts'

describe.skipIf(missingPrograms('prometheus'))('doctor', () => {
  let server: TestPrometheus
  let whole: DoctorContext

  beforeAll(async () => {
    server = await startTestPrometheus({ retention: '30d' })
    await waitForSamples(server, 'up', 2)
    const root = join(await temporaryDirectory('repository'), 'repository')
    await operationsOn(server.api, createFileStore({ root })).backup()
    whole = {
      instance: 'prom-a', prometheus: server.api, repositories: [{ name: 'primary', store: createFileStore({ root }) }],
      host: { nodeVersion: 'v22.15.0', machineId: thisProcess().machineId, uid: process.getuid?.() ?? 0, config: { path: '/etc/prom-dr/prom-dr.yml', mode: 0o600, holdsSecrets: true } },
      settings: { target: server.dataDir }, ownerNumbers, localVersion: async () => ({ major: 2, minor: 42, patch: 0 }),
      clock: systemClock, signal: new AbortController().signal,
    }
  })

  async function check(changed: Partial<DoctorContext>, area: string, name: string): Promise<DoctorCheck | undefined> {
    const report = await doctor({ ...whole, ...changed })
    for (const { status, advice, ...rest } of report.checks) expect(status === 'ok' || advice !== undefined, JSON.stringify(rest)).toBe(true)
    expect(report.ok).toBe(report.checks.every(({ status }) => status !== 'fail'))
    return report.checks.find((candidate) => candidate.area === area && candidate.name === name)
  }

  it('finds nothing to fail in a set-up that is in order', async () => {
    const report = await doctor(whole)
    expect(report.checks.filter(({ status }) => status === 'fail')).toEqual([])
    expect(report.ok).toBe(true)
    expect(report.checks.filter(({ status }) => status === 'warn').map(({ area, name }) => `${area}: ${name}`)).toEqual(['repository primary: encryption', 'repository primary: placement'])
  })

  it('tells a metrics file that ship could not write, and nothing of one where none is wanted', async () => {
    const directory = await temporaryDirectory('metrics')
    const of = (metricsFile: string) => check({ settings: { ...whole.settings, metricsFile } }, 'ship', 'metrics file')
    expect(await check({}, 'ship', 'metrics file')).toBeUndefined()
    expect(await of(join(directory, 'ship.prom'))).toMatchObject({ status: 'ok', detail: join(directory, 'ship.prom') })
    await writeFile(join(directory, 'file'), '')
    for (const none of ['gone', 'file']) expect(await of(join(directory, none, 'ship.prom'))).toMatchObject({ status: 'fail', detail: expect.stringContaining(`no directory ${join(directory, none)}`), advice: expect.stringContaining('--collector.textfile.directory') })
    // Root may write everywhere.
    await chmod(directory, 0o555)
    const asNobody = `const { checkShipping } = await import(${JSON.stringify(new URL('operations/doctor/doctor-shipping.js', pathToFileURL(distDir)))})
      if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534) }
      console.log(JSON.stringify(await checkShipping({ settings: { metricsFile: ${JSON.stringify(join(directory, 'ship.prom'))} }, host: { uid: process.getuid() } })))`
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', asNobody])
    expect(JSON.parse(stdout)).toMatchObject([{ status: 'warn', detail: expect.stringContaining(`${directory} is not writable`), advice: expect.any(String) }])
  })

  it('tells a server that is down, one that refuses the password, and one without the admin API', async () => {
    expect(await check({ prometheus: createPrometheusApi({ url: 'http://127.0.0.1:9' }) }, 'prometheus', 'looked at')).toMatchObject({ status: 'fail', detail: expect.stringContaining('127.0.0.1:9') })
    const guarded = await startTestPrometheus({ webConfig: { basic_auth_users: { ops: hashSync('right', 4) } }, access: { basicAuth: { username: 'ops', password: 'right' } }, adminApi: false })
    const wrong = createPrometheusApi({ url: guarded.url, basicAuth: { username: 'ops', password: 'wrong-one' } })
    const refused = await check({ prometheus: wrong }, 'prometheus', 'looked at')
    expect(refused).toMatchObject({ status: 'fail', detail: expect.stringContaining('refuses the credentials') })
    expect(JSON.stringify(refused)).not.toContain('wrong-one')
    expect(await check({ prometheus: guarded.api }, 'prometheus', 'admin API')).toMatchObject({ status: 'fail', advice: expect.stringContaining('--web.enable-admin-api') })
  })

  it('judges clocks: seconds are a warning, minutes a failure', async () => {
    const shifted = (byMs: number) => createPrometheusApi({ url: server.url }, { clock: { ...systemClock, monotonicMs: () => systemClock.monotonicMs(), sleep: (ms, signal) => systemClock.sleep(ms, signal), now: () => new Date(Date.now() + byMs) } })
    expect(await check({ prometheus: shifted(20_000) }, 'prometheus', 'clock')).toMatchObject({ status: 'warn', detail: expect.stringMatching(/-(19|20|2[01])\.\d s from ours/) })
    expect(await check({ prometheus: shifted(-3_600_000) }, 'prometheus', 'clock')).toMatchObject({ status: 'fail' })
  })

  it('tells a data directory that is another\'s, cannot be read, and holds snapshots that somebody left', async () => {
    expect(await check({ dataDir: await temporaryDirectory('another') }, 'data directory', 'is the server\'s')).toMatchObject({ status: 'fail', detail: expect.stringContaining(server.dataDir) })
    expect(await check({ dataDir: '/nowhere/at/all' }, 'data directory', 'readable')).toMatchObject({ status: 'fail' })
    const name = await server.api.takeSnapshot({ skipHead: false })
    expect(await check({}, 'data directory', 'snapshots left behind')).toMatchObject({ status: 'warn', detail: `1: ${name}` })
  })

  it('tells a repository that cannot be written, is another\'s, damaged, of a newer format, or not there yet', async () => {
    const parent = await temporaryDirectory('broken')
    await writeFile(join(parent, 'file'), '')
    const blocked = await check({ repositories: [{ name: 'primary', store: createFileStore({ root: join(parent, 'file', 'below') }) }] }, 'repository primary', 'writable')
    const unreachable = await check({ repositories: [{ name: 'primary', store: createFileStore({ root: join(parent, 'file', 'below') }) }] }, 'repository primary', 'reachable')
    expect([blocked?.status, unreachable?.status]).toContain('fail')
    expect(await check({ host: { ...whole.host, machineId: 'of-another' } }, 'repository primary', 'instance prom-a')).toMatchObject({ status: 'fail', detail: expect.stringContaining('/etc/machine-id'), advice: expect.stringContaining('--adopt') })
    const moved = await temporaryDirectory('moved')
    await writeFile(join(parent, 'no.pem'), 'no certificate')
    const unusable = createPrometheusApi({ url: 'https://127.0.0.1:9', tls: { certFile: join(parent, 'no.pem'), keyFile: join(parent, 'no.pem') } })
    expect(await check({ prometheus: unusable }, 'repository primary', 'instance prom-a')).toMatchObject({ status: 'ok' })
    expect(await check({ dataDir: moved }, 'repository primary', 'instance prom-a')).toMatchObject({ status: 'fail', detail: expect.stringContaining(moved), advice: expect.stringContaining('--adopt') })
    expect(await check({ repositories: [{ name: 'new', store: createMemoryStore() }] }, 'repository new', 'format')).toMatchObject({ status: 'warn', advice: expect.stringContaining('prom-dr backup') })
    const root = join(parent, 'damaged')
    const store = createFileStore({ root })
    await operationsOn(server.api, store).backup()
    await overwrite(store, 'instances/prom-a/instance.json', 'x')
    expect(await check({ repositories: [{ name: 'primary', store }] }, 'repository primary', 'instance prom-a')).toMatchObject({ status: 'fail', detail: expect.stringContaining('instance.json') })
    await overwrite(store, 'prom-dr.json', 'x')
    expect(await check({ repositories: [{ name: 'primary', store }] }, 'repository primary', 'format')).toMatchObject({ status: 'fail', detail: expect.stringContaining('prom-dr.json') })
  })

  it('tells a repository that would be lost together with the data', async () => {
    const at = (root: string) => check({ repositories: [{ name: 'primary', store: createFileStore({ root }) }] }, 'repository primary', 'placement')
    expect(await at(join(server.dataDir, 'backups'))).toMatchObject({ status: 'fail', detail: expect.stringContaining(server.dataDir) })
    expect(await at(join(await temporaryDirectory('beside'), 'repository'))).toMatchObject({ status: 'warn', detail: expect.stringContaining('a lost disk takes both') })
    expect(await check({ repositories: [{ name: 'primary', store: createMemoryStore() }] }, 'repository primary', 'placement')).toBeUndefined()
  })

  it('tells an S3 that is down, and one whose clock is wrong', async (context) => {
    const { openUploads: _, bucket, ...bucketServer } = await createTestBucket(context)
    const proxy = await startS3FaultProxy(bucketServer.endpoint)
    atEndOfFile(() => proxy.close())
    const open = async (endpoint: string) => ({ name: 's3', store: await openObjectStore({ url: `s3://${bucket}/dr`, s3: { region: bucketServer.region, endpoint, forcePathStyle: true, accessKeyId: bucketServer.accessKeyId, secretAccessKey: bucketServer.secretAccessKey } }, { clock: systemClock, logger: silentLogger, retryBudgetMs: 0 }) })
    expect(await check({ repositories: [await open('http://127.0.0.1:9')] }, 'repository s3', 'reachable')).toMatchObject({ status: 'fail' })
    proxy.inject(() => ({ kind: 'shift-date', byMs: 60_000 }))
    expect(await check({ repositories: [await open(proxy.endpoint)] }, 'repository s3', 'clock')).toMatchObject({ status: 'warn', detail: expect.stringContaining('the store\'s clock') })
    expect(await check({ repositories: [await open(bucketServer.endpoint)] }, 'repository s3', 'writable')).toMatchObject({ status: 'ok' })
  })

  it('tells a bucket without Object Lock where tiers are to be locked, and says nothing of locks where none is', async (context) => {
    const { openUploads: _, bucket, ...bucketServer } = await createTestBucket(context)
    const client = new S3Client({ endpoint: bucketServer.endpoint, region: bucketServer.region, forcePathStyle: true, credentials: bucketServer })
    await client.send(new CreateBucketCommand({ Bucket: `${bucket}-locks`, ObjectLockEnabledForBucket: true }))
    client.destroy()
    const open = async (name: string, tiers: TierStorages) => {
      const at = { url: `s3://${name}/dr`, s3: { region: bucketServer.region, endpoint: bucketServer.endpoint, forcePathStyle: true, accessKeyId: bucketServer.accessKeyId, secretAccessKey: bucketServer.secretAccessKey } }
      const options = { clock: systemClock, logger: silentLogger, retryBudgetMs: 0 }
      const objects = await openObjectTiering(at, options)
      return [{ name: 's3', store: await openObjectStore(at, options), ...(objects && { tiering: { objects, tiers } }) }]
    }
    const tiers: TierStorages = { daily: { lock: { mode: 'GOVERNANCE', days: 7 } }, monthly: { storageClass: 'STANDARD_IA' } }
    expect(await check({ repositories: await open(bucket, tiers) }, 'repository s3', 'locks')).toMatchObject({ status: 'fail', detail: expect.stringMatching(/locks what is daily, .*no Object Lock/), advice: expect.stringContaining('s3.tiers') })
    expect(await check({ repositories: await open(`${bucket}-locks`, tiers) }, 'repository s3', 'locks')).toMatchObject({ status: 'ok', detail: expect.stringContaining('daily for 7 d (GOVERNANCE)') })
    expect(await check({ repositories: await open(bucket, { monthly: { storageClass: 'STANDARD_IA' } }) }, 'repository s3', 'locks')).toBeUndefined()
    expect(await check({ repositories: await open(`${bucket}-gone`, tiers) }, 'repository s3', 'locks')).toMatchObject({ status: 'fail' })
  })

  it('judges what a restore would meet: the program, its version, the retention, the target', async () => {
    expect(await check({ localVersion: async () => undefined }, 'restore', 'Prometheus program')).toMatchObject({ status: 'warn' })
    expect(await check({}, 'restore', 'Prometheus program')).toMatchObject({ status: 'ok', detail: '2.42.0' })
    expect(await check({}, 'restore', 'target directory')).toMatchObject({ status: 'ok', detail: server.dataDir })
    expect(await check({ settings: { target: join(server.dataDir, 'not/there') } }, 'restore', 'target directory')).toMatchObject({ status: 'ok', detail: `${join(server.dataDir, 'not/there')}, which is not there yet, in ${server.dataDir}` })
    expect(await check({ settings: { retentionMs: 1 } }, 'restore', 'retention against history')).toMatchObject({ status: 'warn', advice: expect.stringContaining('retention.time') })
    expect(await check({ instance: 'prom-new' }, 'restore', 'recovery point')).toMatchObject({ status: 'warn', advice: expect.stringContaining('backup') })
  })

  it('tells a target that a restore refuses, and an owner that this host does not know', async () => {
    const directory = await temporaryDirectory('targets')
    await writeFile(join(directory, 'file'), '')
    await symlink(directory, join(directory, 'link'))
    const target = (path: string) => check({ settings: { target: path } }, 'restore', 'target directory')
    expect(await target(join(directory, 'file'))).toMatchObject({ status: 'warn', detail: expect.stringContaining('is not a directory') })
    expect(await target(join(directory, 'file', 'below'))).toMatchObject({ status: 'warn', detail: expect.stringContaining('is not a directory') })
    expect(await target(join(directory, 'link'))).toMatchObject({ status: 'warn', detail: expect.stringContaining('symbolic link') })
    expect(await check({ settings: { owner: 'nobody-here' } }, 'restore', 'owner')).toMatchObject({ status: 'warn', detail: expect.stringContaining('nobody-here') })
    expect(await check({ settings: { owner: 'root' } }, 'restore', 'owner')).toMatchObject({ status: 'ok', detail: 'root (0:0)' })
    expect(await check({}, 'restore', 'owner')).toBeUndefined()
  })

  it('tells a disk that is mounted read-only as what it is, as backup does', async (context) => {
    needPrograms(context, 'unshare', 'mount')
    const readOnly = await temporaryDirectory('read-only')
    const env = { PROM_DR_PROMETHEUS_URL: server.url, PROM_DR_REPOSITORY_URL: join(readOnly, 'repository'), PROM_DR_RESTORE_TARGET: join(readOnly, 'data') }
    const onReadOnly = (verb: string) => start(['unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o ro none "$1" || exit 77; shift; exec "$@"', 'sh', readOnly, process.execPath, launcher, verb, '--json'], { cwd: readOnly, env }).ended
    const doctored = await onReadOnly('doctor')
    if (doctored.code === 77 || process.getuid?.() !== 0) return context.skip('may not mount anything here')
    const { checks } = JSON.parse(doctored.stdout) as { checks: DoctorCheck[] }
    expect(checks.find(({ name }) => name === 'target directory')).toMatchObject({ status: 'warn', detail: expect.stringContaining('mounted read-only') })
    expect(checks.find(({ area, status }) => area.startsWith('repository') && status === 'fail')).toMatchObject({ detail: expect.stringContaining('EROFS') })
    const refused = await onReadOnly('backup')
    expect(JSON.parse(refused.stdout)).toMatchObject({ error: { code: 'STORE_DENIED', message: expect.stringContaining('EROFS'), hint: expect.stringContaining('mounted read-only') } })
  })

  it('warns of secrets that others may read, and of an old Node', async () => {
    expect(await check({ host: { ...whole.host, config: { path: '/x.yml', mode: 0o644, holdsSecrets: true } } }, 'host', 'configuration')).toMatchObject({ status: 'warn', advice: 'chmod 600 /x.yml' })
    expect(await check({ host: { ...whole.host, nodeVersion: 'v18.0.0' } }, 'host', 'Node.js')).toMatchObject({ status: 'fail' })
  })

  it('leaves the repository as it was', async () => {
    const [repository] = whole.repositories
    const keys = async () => { const found: string[] = []; for await (const { key } of repository!.store.list('')) found.push(key); return found }
    const before = await keys()
    await doctor(whole)
    expect(await keys()).toEqual(before)
  })

  it('runs on what init wrote, which is never written over', async () => {
    const directory = await temporaryDirectory('init')
    const environment = { PROM_DR_PROMETHEUS_URL: server.url }
    const output = join(directory, 'etc', 'prom-dr', 'prom-dr.yml')
    const made = await promDr(['init', '--output', output, '--json'], { cwd: directory, env: environment })
    expect(made).toMatchObject({ code: 0 })
    expect((await stat(output)).mode & 0o777).toBe(0o600)
    const text = await readFile(output, 'utf8')
    expect(text).toContain(server.dataDir)
    const examined = await promDr(['doctor', '--config', output, '--json'], { cwd: directory })
    expect(JSON.parse(examined.stdout).checks).toContainEqual(expect.objectContaining({ area: 'prometheus', name: 'API', status: 'ok' }))
    expect(examined.code).toBe(JSON.parse(examined.stdout).ok ? 0 : 1)
    await writeFile(output, 'instance: mine\n')
    expect(await promDr(['init', '--output', output], { cwd: directory, env: environment })).toMatchObject({ code: 2, stderr: expect.stringContaining('there already') })
    expect(await readFile(output, 'utf8')).toBe('instance: mine\n')
    const unknown = await promDr(['init', '--stdout'], { cwd: directory, env: { PROM_DR_PROMETHEUS_URL: 'http://127.0.0.1:9' } })
    expect(unknown).toMatchObject({ code: 0, stdout: expect.stringContaining('did not answer') })
    const advised = await promDr(['init', '--stdout', '--json'], { cwd: directory, env: { PROM_DR_PROMETHEUS_URL: 'http://127.0.0.1:9' } })
    expect(JSON.parse(advised.stdout)).toMatchObject({ warnings: [expect.stringMatching(/127\.0\.0\.1:9.*PROM_DR_PROMETHEUS_URL=/)] })
  })
})

