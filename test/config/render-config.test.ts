import fc from 'fast-check'
import { expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load-config.ts'
import { maskSecrets } from '../../src/config/mask-secrets.ts'
import { type ConfigFacts, renderConfig } from '../../src/config/render-config.ts'
import { expectGolden } from '../support/golden.ts'
import { memoryFiles } from './memory-files.ts'

const discovered: ConfigFacts = {
  instance: 'prom-a',
  prometheusUrl: 'http://127.0.0.1:9090',
  version: '2.42.0',
  dataDir: '/var/lib/prometheus/metrics2',
  adminApi: false,
  retentionMs: 15 * 86_400_000,
  repositoryUrl: 'file:///var/backups/prom-dr',
}
const unknown: ConfigFacts = { ...discovered, version: undefined, dataDir: undefined, adminApi: undefined, retentionMs: undefined }

function load(text: string) {
  return loadConfig({ env: {}, workingDir: '/srv', hostName: 'other', files: memoryFiles({ '/srv/prom-dr.yml': text }) })
}

test('a configuration is written with what was discovered, and loads', async () => {
  const text = renderConfig(discovered)
  await expectGolden('config/discovered.yml', text)
  expect(load(text)).toMatchObject({
    instance: 'prom-a',
    prometheus: { url: 'http://127.0.0.1:9090', dataDir: '/var/lib/prometheus/metrics2' },
    repositories: [{ name: 'local', url: 'file:///var/backups/prom-dr', retention: expect.objectContaining({ keepLast: 3 }), tiers: {} }],
    restore: { retentionMs: 1_296_000_000 },
  })
})

test('what could not be discovered stays a comment', async () => {
  const text = renderConfig(unknown)
  await expectGolden('config/undiscovered.yml', text)
  expect(load(text).prometheus.dataDir).toBeUndefined()
})

test('whatever a hostile server answers, the file loads and says just that', () => {
  const hostile = fc.oneof(fc.string(), fc.constantFrom('${HOME}', '/a: b # c', '"', "'", '/x\ny: z', '!!binary /x', '*a', '/$${x}'))
  fc.assert(
    fc.property(hostile, hostile, fc.option(fc.integer({ min: 0, max: 10 ** 12 }), { nil: undefined }), (path, version, retentionMs) => {
      const config = load(renderConfig({ ...discovered, dataDir: `/data/x${path.replace(/[/\0]/g, '')}x`, version, retentionMs }))
      expect(config.prometheus.dataDir).toBe(`/data/x${path.replace(/[/\0]/g, '')}x`)
      expect(config.instance).toBe('prom-a')
    }),
    { numRuns: 50 },
  )
})

test('a passphrase is masked too', () => {
  const config = loadConfig({ env: { PROM_DR_ENCRYPTION_PASSPHRASE: 'correct horse' }, workingDir: '/srv', hostName: 'h', files: memoryFiles({}) })
  expect(config.encryption.passphrase).toBe('correct horse')
  expect(JSON.stringify(maskSecrets(config))).not.toContain('correct horse')
})

test('secrets are masked in a configuration that is printed', () => {
  const config = load(
    'prometheus: {basicAuth: {username: u, password: hunter2}}\nrepositories: [{name: a, url: "s3://bkt", s3: {accessKeyId: AKIA1, secretAccessKey: sesame, sessionToken: tok}}]',
  )
  const text = JSON.stringify(maskSecrets(config))
  for (const secret of ['hunter2', 'AKIA1', 'sesame', '"tok"']) expect(text).not.toContain(secret)
  expect(maskSecrets(config).prometheus.basicAuth).toEqual({ username: 'u', password: '***' })
  expect(config.prometheus.basicAuth?.password).toBe('hunter2')
})
