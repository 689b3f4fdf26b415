import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isDataKey } from '../../src/repository/data-keys.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { promDr } from '../cli/launcher.ts'
import { newKeyPair, writeIdentityFile } from '../support/age.ts'
import { keysOf } from '../support/bodies.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { missingPrograms, startTestPrometheus, waitForSamples } from '../support/prometheus.ts'

describe.skipIf(missingPrograms('prometheus', 'promtool'))('the commands on an encrypted repository', () => {
  it('back up without a secret key, refuse to read without it, restore with it, and seal everything for another', { timeout: 400_000 }, async () => {
    const server = await startTestPrometheus({ retention: '10y' })
    await waitForSamples(server, 'up', 3)
    const directory = await temporaryDirectory('encryption')
    const root = join(directory, 'repository')
    const [old, fresh] = [await newKeyPair(), await newKeyPair()]
    const settings = { PROM_DR_INSTANCE: 'prom-a', PROM_DR_PROMETHEUS_URL: server.url, PROM_DR_REPOSITORY_URL: root, PROM_DR_ENCRYPTION_RECIPIENTS: old.recipient, PROM_DR_ENCRYPTION_DATA: 'true' }
    const run = (argv: string[], env: Record<string, string> = {}) => promDr([...argv, '--log-level', 'error'], { cwd: directory, env: { ...settings, ...env } })
    const withKey = { PROM_DR_ENCRYPTION_IDENTITY_FILE: await writeIdentityFile(directory, old.identity) }

    const backup = await run(['backup', '--json'])
    expect(backup.code, backup.stderr).toBe(0)
    expect(JSON.parse(backup.stdout).recoveryPoint.archives).toMatchObject([{ component: 'prometheus', encrypted: true }])
    const stored = await keysOf(createFileStore({ root }))
    expect(stored.filter(isDataKey)).toEqual([])
    expect(stored.filter((key) => key.endsWith('.tar.gz.age'))).toHaveLength(1)
    expect(JSON.parse(await readFile(join(root, 'prom-dr.json'), 'utf8')).encryption).toEqual({ recipients: [old.recipient] })

    const target = join(directory, 'restored')
    for (const argv of [['verify', '--read-data'], ['restore', '--at', 'latest', '--target', target], ['show', 'latest', '--cat', 'prometheus/prometheus.yml'], ['restore', '--at', 'latest', '--only', 'prometheus', '--components-target', join(directory, 'components')]]) {
      const refused = await run([...argv, '--json'])
      const { error } = JSON.parse(refused.stdout) as { error: { code: string; message: string; hint: string } }
      expect({ argv, exit: refused.code, code: error.code }).toEqual({ argv, exit: 4, code: 'KEY_MISSING' })
      expect(error.message).toContain(old.recipient)
      expect(error.hint).toContain('encryption.identityFile')
    }
    expect(existsSync(target)).toBe(false)

    const doctor = JSON.parse((await run(['doctor', '--json'], withKey)).stdout) as { checks: { name: string; status: string; detail: string }[] }
    expect(doctor.checks).toContainEqual(expect.objectContaining({ name: 'key', status: 'ok', detail: expect.stringContaining('it opens the archive of prometheus') }))
    expect((await run(['verify', '--read-data', '--start-server'], withKey)).code).toBe(0)
    const restored = await run(['restore', '--at', 'latest', '--target', target, '--start', '--json'], withKey)
    expect(JSON.parse(restored.stdout)).toMatchObject({ answers: { equal: true } })
    expect((await run(['show', 'latest', '--cat', 'prometheus/prometheus.yml'], withKey)).stdout).toBe(await readFile(server.configFile, 'utf8'))

    const rotated = { PROM_DR_ENCRYPTION_RECIPIENTS: fresh.recipient }
    const both = { ...rotated, PROM_DR_ENCRYPTION_IDENTITY_FILE: await writeIdentityFile(directory, old.identity, fresh.identity) }
    const warned = JSON.parse((await run(['doctor', '--json'], both)).stdout) as typeof doctor
    expect(warned.checks).toContainEqual(expect.objectContaining({ name: 'recipients', status: 'warn', detail: expect.stringContaining(old.recipient) }))
    expect((await run(['repository', 're-encrypt', '--json'], rotated)).code).toBe(3)
    const sealed = await run(['repository', 're-encrypt', '--json'], both)
    expect(sealed.code, sealed.stdout + sealed.stderr).toBe(0)
    expect(JSON.parse(sealed.stdout)).toMatchObject({ recipients: [fresh.recipient], repositories: [{ ok: true, failed: [], archives: 1 }] })
    const onlyFresh = { ...rotated, PROM_DR_ENCRYPTION_IDENTITY_FILE: await writeIdentityFile(directory, fresh.identity) }
    expect((await run(['verify', '--read-data', '--start-server'], onlyFresh)).code).toBe(0)
    expect((await run(['verify', '--read-data', '--json'], { ...rotated, ...withKey })).code).toBe(4)
    const quiet = JSON.parse((await run(['doctor', '--json'], onlyFresh)).stdout) as typeof doctor
    expect(quiet.checks.map(({ name }) => name)).not.toContain('recipients')
  })
})
