import { mkdir, readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { noProgress } from '../../src/domain/progress.ts'
import { reEncrypt } from '../../src/operations/re-encrypt/re-encrypt.ts'
import { isDataKey } from '../../src/repository/data-keys.ts'
import { createEncryptingStore } from '../../src/stores/encrypting-store.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { isDeadHere, thisProcess } from '../../src/system/machine.ts'
import { type KeyPair, ageWith, newKeyPair, sealingWith, writeIdentityFile } from '../support/age.ts'
import { keysOf } from '../support/bodies.ts'
import { makeBlocks } from '../support/blocks.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { type TestPrometheus, missingPrograms, startTestPrometheus, waitForSamples } from '../support/prometheus.ts'
import { follow, withNames } from '../support/runbook.ts'
import { shipOnce } from '../support/shipping.ts'
import { differences, restored, samplesOf, samplesUntil } from '../support/shipped-server.ts'

const runbook = new URL('../../runbooks/encryption.md', import.meta.url)
const blockSpanMs = 2 * 3_600_000

/** A store as a host has it that encrypts data, with or without the private side. */
function encrypted(root: string, pair: KeyPair, settings: { identityFile?: string; write?: boolean } = {}) {
  const { write = true, ...keys } = settings
  return createEncryptingStore(createFileStore({ root }), { sealing: sealingWith([pair.recipient], keys), seals: isDataKey, write })
}

/** A server with blocks, a deletion in one of them, and a head. */
async function serverWithHistory(): Promise<{ server: TestPrometheus; parent: string; root: string }> {
  const parent = await temporaryDirectory('encrypted')
  const startMs = Math.floor(Date.now() / blockSpanMs - 3) * blockSpanMs
  const { dataDir } = await makeBlocks({ series: 20, samples: 500, stepMs: 20_000, startMs, dataDir: await temporaryDirectory('source') })
  const server = await startTestPrometheus({ dataDir, retention: '10y', scrapeInterval: '500ms' })
  await waitForSamples(server, 'up', 3)
  const deletion = new URLSearchParams({ 'match[]': 'prom_dr_test{series="1"}', start: String(startMs / 1000), end: String(startMs / 1000 + 600) })
  expect((await fetch(`${server.url}/api/v1/admin/tsdb/delete_series?${deletion}`, { method: 'POST' })).ok).toBe(true)
  return { server, parent, root: join(parent, 'repo') }
}

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a repository with encrypted data', () => {
  let pair: KeyPair
  let identityFile: string

  beforeAll(async () => {
    pair = await newKeyPair()
    identityFile = await writeIdentityFile(await temporaryDirectory('keys'), pair.identity)
  })

  it('is written by a host without a secret key, opened with it, and gives back every sample', async () => {
    const { server, root } = await serverWithHistory()
    const store = encrypted(root, pair)
    const operations = operationsOn(server.api, store, { answersFor: ageWith([pair.recipient]) })
    await operations.backup({ head: 'always' })
    await shipOnce(server.api, store)
    await waitForSamples(server, 'up', 6)
    await shipOnce(server.api, store)
    const again = await operations.backup()
    expect(again).toMatchObject({ warnings: [], recoveryPoint: { head: 'wal' } })
    expect(again.reusedBytes).toBeGreaterThan(again.uploadedBytes)
    expect(await operations.verify()).toMatchObject({ ok: true, damaged: [] })
    const source = await samplesOf(server.api, { endMs: Date.now() })
    await server.kill()

    const stored = await keysOf(createFileStore({ root }))
    expect(stored.filter(isDataKey)).toEqual([])
    expect(stored.filter((key) => key.endsWith('.age')).map((key) => key.split('/').map((segment) => (/^[a-z]+$/.test(segment) ? segment : '*')).join('/'))).toEqual(expect.arrayContaining(['blocks/*/*', 'blocks/*/chunks/*', 'instances/*/heads/*/*', 'instances/*/tombstones/*', 'instances/*/wal/*/wal/*/*']))
    expect(stored.filter((key) => key.endsWith('.age.age'))).toEqual([])
    const manifests = await Promise.all(stored.filter((key) => key.includes('/recovery-points/')).map((key) => readFile(join(root, key), 'utf8')))
    expect(manifests.filter((text) => text.includes('prom_dr_test') || text.includes('__name__'))).toEqual([])

    for (const request of [() => operations.verify({ readData: true }), async () => operations.restore(join(await temporaryDirectory('lost'), 'data'))]) {
      expect(await rejectionOf(request())).toMatchObject({ code: 'KEY_MISSING', details: { recipients: [pair.recipient] }, message: expect.stringMatching(/no (identity|key) is configured/) })
    }

    const withKey = operationsOn(server.api, encrypted(root, pair, { identityFile }), { opening: ageWith([], { identityFile }) })
    expect(await withKey.verify({ readData: true, startServer: true })).toMatchObject({ ok: true, damaged: [], answers: [{ equal: true }] })
    await restored(withKey, {}, async (api, report) => {
      expect(report.warnings).toEqual([])
      const reachedMs = Date.parse(report.recoverableAt ?? '')
      expect(differences(samplesUntil(source, reachedMs), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
      expect(reachedMs).toBeGreaterThan(Date.now() - 600_000)
    })
  })

  it('is passed over by a host without the key where another repository has the same in the clear', async () => {
    const { server, parent, root } = await serverWithHistory()
    const [sealed, plain] = [encrypted(root, pair), createFileStore({ root: join(parent, 'plain') })]
    const both = operationsOn(server.api, [{ name: 'sealed', store: sealed }, { name: 'plain', store: plain }])
    const { recoveryPoint } = await both.backup({ head: 'always' })
    for (const store of [plain, sealed]) await shipOnce(server.api, store)
    await waitForSamples(server, 'up', 6)
    for (const store of [plain, sealed]) await shipOnce(server.api, store)
    const source = await samplesOf(server.api, { endMs: Date.now() })
    await server.kill()

    const point = await both.restore(join(await temporaryDirectory('point'), 'data'), { at: { kind: 'recovery-point', id: recoveryPoint.id } })
    expect(point).toMatchObject({ answers: { equal: true }, repaired: expect.arrayContaining([expect.objectContaining({ key: expect.stringMatching(/^blocks\/.*\/index$/), from: 'plain', reason: expect.stringMatching(/^sealed: .*no identity is configured/) })]) })
    await restored(both, {}, async (api, report) => {
      expect(report.unreachable).toEqual([expect.objectContaining({ repository: 'sealed', code: 'KEY_MISSING' })])
      expect(report.stoppedBy).toBe('end')
      const reachedMs = Date.parse(report.recoverableAt ?? '')
      expect(reachedMs).toBeGreaterThan(recoveryPoint.maxTime === null ? 0 : Date.parse(recoveryPoint.maxTime))
      expect(differences(samplesUntil(source, reachedMs), await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
    const alone = operationsOn(server.api, [{ name: 'sealed', store: sealed }])
    const untouched = await temporaryDirectory('alone')
    expect(await rejectionOf(alone.restore(join(untouched, 'data')))).toMatchObject({ code: 'KEY_MISSING', message: expect.stringMatching(/^the restore was refused, nothing was changed: instances\/prom-a\/wal\//) })
    expect(await readdir(untouched)).toEqual([])
  })

  it('keeps what was stored before readable, also when encryption is switched off again, and seals it for another key', async () => {
    const { server, parent, root } = await serverWithHistory()
    const plain = await operationsOn(server.api, encrypted(root, pair, { write: false })).backup({ head: 'always' })
    expect((await keysOf(createFileStore({ root }))).filter((key) => key.endsWith('.age'))).toEqual([])
    const sealed = await operationsOn(server.api, encrypted(root, pair)).backup({ head: 'always' })
    expect(sealed.reusedBytes).toBeGreaterThan(0)
    const off = await operationsOn(server.api, encrypted(root, pair, { write: false, identityFile })).backup({ head: 'always' })
    const operations = operationsOn(server.api, encrypted(root, pair, { write: false, identityFile }))
    expect(await operations.verify({ readData: true })).toMatchObject({ ok: true, damaged: [], checkedRecoveryPoints: 3 })
    for (const { recoveryPoint } of [plain, sealed, off]) {
      const report = await operations.restore(join(await temporaryDirectory('mixed'), 'data'), { at: { kind: 'recovery-point', id: recoveryPoint.id } })
      expect(report).toMatchObject({ answers: { equal: true } })
    }

    const fresh = await newKeyPair()
    const both = await writeIdentityFile(parent, pair.identity, fresh.identity)
    const self = thisProcess()
    const { repositories: [result] } = await reEncrypt({
      repositories: [{ name: 'primary', store: encrypted(root, fresh, { identityFile: both }) }], encryption: ageWith([fresh.recipient], { identityFile: both }), data: true, filesAtOnce: 4,
      scratch: { parent, self, isDead: () => false }, self, isDead: (other) => isDeadHere(other, self), logger: silentLogger, progress: noProgress, signal: new AbortController().signal,
    }, { repositories: [] })
    expect(result).toMatchObject({ ok: true, failed: [], unchanged: 0 })
    expect((await keysOf(createFileStore({ root }))).filter(isDataKey)).toEqual([])
    const onlyFresh = { identityFile: await writeIdentityFile(parent, fresh.identity) }
    const after = operationsOn(server.api, encrypted(root, fresh, onlyFresh), { opening: ageWith([], onlyFresh) })
    expect(await after.verify({ readData: true, startServer: true })).toMatchObject({ ok: true, damaged: [], checkedRecoveryPoints: 3, answers: [{ equal: true }] })
  })

  it.skipIf(missingPrograms('age', 'brotli', 'jq', 'bash'))('can be opened by hand as runbooks/encryption.md shows', async () => {
    const { server, parent, root } = await serverWithHistory()
    const store = encrypted(root, pair)
    await operationsOn(server.api, store).backup()
    await shipOnce(server.api, store)
    await server.kill()
    const [ulid = ''] = await readdir(join(root, 'blocks'))
    const target = join(parent, 'target')
    await mkdir(target)
    const page = await readFile(runbook, 'utf8')
    const script = /## Open by hand[^]*?```sh\n([^]*?)^```$/m.exec(page)?.[1] ?? ''
    const names: [string, string][] = [['/etc/prom-dr/key.txt', identityFile], ['/var/lib/prometheus/metrics2', target], ['01KAJ3V9J8QZ5T6W7X8Y9ZABCD', ulid]]
    const stdout = await follow(withNames(script, names), parent)
    const digests = stdout.match(/[0-9a-f]{64}/g) ?? []
    expect(digests, stdout).toHaveLength(2)
    expect(digests[0]).toBe(digests[1])
    expect((await readdir(join(target, ulid))).sort()).toEqual(['chunks', 'index', 'meta.json'])
    const opened = await startTestPrometheus({ dataDir: target, retention: '10y', targets: [], scrapeItself: false })
    expect((await samplesOf(opened.api, { endMs: Date.now() })).size).toBe(20)
  })
})
