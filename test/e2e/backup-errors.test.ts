import { chmod, chown, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import { beforeAll, describe, expect, it } from 'vitest'
import type { PromDrError } from '../../src/errors.ts'
import { createPrometheusApi } from '../../src/integrations/prometheus/http-prometheus-api.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { runProgram } from '../../src/system/process.ts'
import { listSnapshots } from '../../src/tsdb/data-directory.ts'
import { keysOf } from '../support/bodies.ts'
import { makeCertificates } from '../support/certificates.ts'
import { atEndOfFile, temporaryDirectory } from '../support/cleanup.ts'
import { startHttpProxy } from '../support/http-proxy.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { type TestPrometheus, missingPrograms, needPrograms, remoteWrite, startTestPrometheus } from '../support/prometheus.ts'

const nobody = 65_534
const isRoot = process.getuid?.() === 0

describe.skipIf(missingPrograms('prometheus'))('a backup that cannot be made', () => {
  let server: TestPrometheus

  beforeAll(async () => {
    server = await startTestPrometheus({ scrapeItself: false })
    await fill(server, 50)
  })

  /** It fails as expected, says what to do, leaves no snapshot and stores nothing, not even its name. */
  async function expectRefusal(run: { server?: TestPrometheus; api?: TestPrometheus['api']; dataDir?: string; around?: <T>(task: () => Promise<T>) => Promise<T> }, expected: { code: string; message?: RegExp; hint: RegExp }): Promise<void> {
    const store = createMemoryStore()
    const asked = run.server ?? server
    const { backup } = operationsOn(run.api ?? asked.api, store, run.dataDir === undefined ? {} : { dataDir: run.dataDir })
    const around = run.around ?? ((task) => task())
    const error = (await around(() => rejectionOf(backup()))) as PromDrError
    expect(error).toMatchObject({ name: 'PromDrError', code: expected.code })
    if (expected.message !== undefined) expect(error.message).toMatch(expected.message)
    expect(error.hint).toMatch(expected.hint)
    expect(await keysOf(store)).toEqual([])
    expect(await listSnapshots(asked.dataDir)).toEqual([])
    expect((await readdir(asked.dataDir)).filter((name) => name.startsWith('.prom-dr'))).toEqual([])
  }

  it('says which flag is missing when the admin API is off', async () => {
    await expectRefusal({ server: await startTestPrometheus({ adminApi: false, scrapeItself: false }) }, { code: 'ADMIN_API_DISABLED', hint: /--web\.enable-admin-api/ })
  })

  it('says that nobody listens when Prometheus is down', async () => {
    const gone = await startTestPrometheus({ scrapeItself: false })
    await gone.kill()
    await expectRefusal({ server: gone, api: createPrometheusApi({ url: gone.url }) }, { code: 'PROMETHEUS_UNREACHABLE', hint: /./ })
  })

  it('says that the password is wrong without repeating it', async () => {
    const webConfig = { basic_auth_users: { backup: hashSync('right', 4) } }
    const guarded = await startTestPrometheus({ webConfig, access: { basicAuth: { username: 'backup', password: 'right' } } })
    const api = createPrometheusApi({ url: guarded.url, basicAuth: { username: 'backup', password: 'wrong-but-secret' } })
    await expectRefusal({ server: guarded, api }, { code: 'PROMETHEUS_UNAUTHORIZED', message: /^(?!.*wrong-but-secret)/, hint: /./ })
  })

  it('refuses the data directory of another server', async () => {
    const other = await startTestPrometheus({ scrapeItself: false })
    await expectRefusal({ dataDir: other.dataDir }, { code: 'DATA_DIR_MISMATCH', message: new RegExp(server.dataDir), hint: /remove "dataDir"|nothing was changed/ })
  })

  it('refuses what is no data directory where the server\'s own is not on this host', async () => {
    const elsewhere = createPrometheusApi({ url: (await startHttpProxy(server.url, { rewrite: (_, body) => body.replaceAll(server.dataDir, '/in/a/container') })).url })
    const [directory, file] = [await temporaryDirectory('no-data'), join(await temporaryDirectory('no-data'), 'file')]
    await writeFile(file, '')
    await expectRefusal({ api: elsewhere, dataDir: directory }, { code: 'DATA_DIR_MISMATCH', message: /there is no "wal" in it/, hint: /\/in\/a\/container/ })
    await expectRefusal({ api: elsewhere, dataDir: file }, { code: 'DATA_DIR_MISMATCH', message: /it is a file/, hint: /prometheus\.dataDir/ })
    await expectRefusal({ api: elsewhere }, { code: 'DATA_DIR_UNREADABLE', message: /does not exist on this host/, hint: /run prom-dr on its host/ })
  })

  it('names a snapshot that another server took, since it cannot remove it', async () => {
    const other = await startTestPrometheus({ scrapeItself: false })
    const { url } = await startHttpProxy(server.url, { rewrite: (_, body) => body.replaceAll(server.dataDir, '/in/a/container') })
    const error = (await rejectionOf(operationsOn(createPrometheusApi({ url }), createMemoryStore(), { dataDir: other.dataDir }).backup())) as PromDrError
    const [left] = await listSnapshots(server.dataDir)
    expect(error).toMatchObject({ code: 'DATA_DIR_MISMATCH' })
    expect(error.hint).toContain(`snapshots/${left?.name}`)
    await runProgram('rm', ['-r', left?.path ?? ''])
  })

  it.skipIf(!isRoot)('is made through another mount of the data directory, but not where that is read-only, as the volume of a container may be', async () => {
    const mounted = await temporaryDirectory('mounted')
    expect(await runProgram('mount', ['--bind', server.dataDir, mounted])).toMatchObject({ exitCode: 0 })
    atEndOfFile(async () => void (await runProgram('umount', ['--lazy', mounted])))
    expect(await operationsOn(server.api, createMemoryStore(), { dataDir: mounted }).backup()).toMatchObject({ repositories: [{ ok: true }] })
    expect(await runProgram('mount', ['-o', 'remount,ro,bind', mounted])).toMatchObject({ exitCode: 0 })
    await expectRefusal({ dataDir: mounted }, { code: 'DATA_DIR_UNREADABLE', message: /read-only \(EROFS\)/, hint: /write access/ })
  })

  it.skipIf(!isRoot)('says whom to run as when the data directory may not be read, or not be written to', async () => {
    await chmod(server.directory, 0o755)
    await chmod(server.dataDir, 0o700)
    await expectRefusal({ around: asNobody }, { code: 'DATA_DIR_UNREADABLE', message: /EACCES/, hint: /as root or as the user that Prometheus runs as/ })
    await chmod(server.dataDir, 0o755)
    await expectRefusal({ around: asNobody }, { code: 'DATA_DIR_UNREADABLE', message: /EACCES/, hint: /as root or as the user that Prometheus runs as/ })
  })

  it.skipIf(!isRoot)('stores no recovery point on a full file system, and the other repository gets its own', async () => {
    const small = createFileStore({ root: join(await smallFileSystem('1m'), 'repository') })
    const good = createMemoryStore()
    const large = await startTestPrometheus({ scrapeItself: false })
    await fill(large, 3000)
    const alone = await rejectionOf(operationsOn(large.api, small).backup())
    expect(alone).toMatchObject({ code: 'DISK_FULL', hint: expect.stringMatching(/./) })
    const report = await operationsOn(large.api, [{ name: 'small', store: small }, { name: 'good', store: good }]).backup()
    expect(report.repositories).toMatchObject([{ name: 'small', ok: false, error: { code: 'DISK_FULL' } }, { name: 'good', ok: true }])
    expect((await keysOf(small)).filter((key) => /recovery-points|heads|intents/.test(key))).toEqual([])
    expect(await operationsOn(large.api, good).verify({ readData: true })).toMatchObject({ ok: true, checkedRecoveryPoints: 1 })
    expect(await listSnapshots(large.dataDir)).toEqual([])
  })

  it.skipIf(!isRoot)('says what is full, and what was left, when Prometheus has no room for the snapshot', async () => {
    const disk = await smallFileSystem('12m')
    const cramped = await startTestPrometheus({ dataDir: join(disk, 'data'), scrapeItself: false, flags: ['--storage.tsdb.wal-segment-size=10MB'] })
    await fill(cramped, 3000)
    const { stdout } = await runProgram('df', ['--output=avail', '-k', disk])
    await writeFile(join(disk, 'ballast'), Buffer.alloc((Number(stdout.split('\n')[1]) - 48) * 1024))
    const error = (await rejectionOf(operationsOn(cramped.api, createMemoryStore()).backup())) as PromDrError
    const left = await listSnapshots(cramped.dataDir)
    expect(error).toMatchObject({ code: 'DISK_FULL', message: expect.stringContaining(cramped.dataDir) })
    expect(error.hint).toMatch(/free some space/)
    for (const { path } of left) expect(error.hint).toContain(path)
    await writeFile(join(disk, 'more ballast'), Buffer.alloc(1024 * 1024)).catch(() => undefined)
    expect(await rejectionOf(operationsOn(cramped.api, createMemoryStore()).backup({ head: 'never' }))).toMatchObject({ code: 'DISK_FULL' })
    expect(await listSnapshots(cramped.dataDir)).toHaveLength(left.length)
  })
})

describe.skipIf(missingPrograms('prometheus'))('a backup of a guarded server', () => {
  it('goes through TLS with a private CA, a client certificate and a password', async (context) => {
    needPrograms(context, 'openssl')
    const certificates = await makeCertificates(await temporaryDirectory('certificates'))
    const webConfig = {
      tls_server_config: { cert_file: certificates.server.certFile, key_file: certificates.server.keyFile, client_auth_type: 'RequireAndVerifyClientCert', client_ca_file: certificates.caFile },
      basic_auth_users: { backup: hashSync('right', 4) },
    }
    const access = { tls: { caFile: certificates.caFile, ...certificates.client }, basicAuth: { username: 'backup', password: 'right' } }
    const server = await startTestPrometheus({ webConfig, access })
    expect(await operationsOn(server.api, createMemoryStore()).backup()).toMatchObject({ repositories: [{ ok: true }] })
    const stranger = createPrometheusApi({ url: server.url, tls: { caFile: certificates.caFile }, basicAuth: access.basicAuth })
    expect(await rejectionOf(operationsOn(stranger, createMemoryStore()).backup())).toMatchObject({ hint: expect.stringMatching(/./) })
  })

  it('goes through a proxy that wants a bearer token, which is read from its file each time', async () => {
    const server = await startTestPrometheus({ scrapeItself: false })
    const tokenFile = join(await temporaryDirectory('token'), 'token')
    const { url } = await startHttpProxy(server.url, { authorization: 'Bearer fresh' })
    const operations = operationsOn(createPrometheusApi({ url, bearerTokenFile: tokenFile }), createMemoryStore())
    await writeFile(tokenFile, 'stale\n')
    expect(await rejectionOf(operations.backup())).toMatchObject({ code: 'PROMETHEUS_UNAUTHORIZED' })
    await writeFile(tokenFile, 'fresh\n')
    expect(await operations.backup()).toMatchObject({ repositories: [{ ok: true }] })
  })
})

/** Gives the head something that takes room: `series` series whose samples do not compress. */
async function fill(server: TestPrometheus, series: number): Promise<void> {
  const nowMs = Date.now()
  const samples = Array.from({ length: 60 }, (_, k) => ({ timestampMs: nowMs - (60 - k) * 1000, value: Math.sin(k * 7919) * 1e9 }))
  await remoteWrite(server.url, Array.from({ length: series }, (_, n) => ({ labels: { __name__: 'filling', n: String(n) }, samples })))
}

/** Runs the task with the rights of nobody; threads of the file system included. */
async function asNobody<T>(task: () => Promise<T>): Promise<T> {
  process.setegid?.(nobody)
  process.seteuid?.(nobody)
  try {
    return await task()
  } finally {
    process.seteuid?.(0)
    process.setegid?.(0)
  }
}

async function smallFileSystem(size: string): Promise<string> {
  const directory = await temporaryDirectory('small')
  await mkdir(directory, { recursive: true })
  const { exitCode, stderr } = await runProgram('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory])
  if (exitCode !== 0) throw new Error(`mount: ${stderr}`)
  await chown(directory, 0, 0)
  atEndOfFile(async () => void (await runProgram('umount', ['--lazy', directory])))
  return directory
}
