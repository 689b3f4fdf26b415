import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { expect, test } from 'vitest'
import { configVariable, settings } from '../../src/config/environment.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { memoryFiles } from './memory-files.ts'

const example = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8')

test('.env.example lists exactly the variables that are read, each below a comment', () => {
  const listed = [...example.matchAll(/^#(PROM_DR_[A-Z0-9_]+)=/gm)].map((match) => match[1])
  expect(listed.toSorted()).toEqual([...Object.keys(settings), configVariable].toSorted())
  expect(new Set(listed).size).toBe(listed.length)
  expect(example).toMatch(/^(?:#.*\n|\n)+$/)
})

test('.env.example can be used as it is, and with every example uncommented that does not exclude another', () => {
  const env = parseEnv(example.replace(/^#(?=PROM_DR_)/gm, '')) as Record<string, string>
  for (const name of ['PROM_DR_CONFIG', 'PROM_DR_PROMETHEUS_BEARER_TOKEN_FILE', 'PROM_DR_REPOSITORY_URL']) delete env[name]
  const files = memoryFiles(Object.fromEntries(Object.values(env).filter((value) => value.startsWith('/etc/')).map((path) => [path, 'x'])))
  const config = loadConfig({ env: { ...env, PROM_DR_REPOSITORY_URL: 's3://bucket' }, workingDir: '/srv', hostName: 'h', files })
  expect(config.repositories[0]?.s3?.partSizeBytes).toBe(16_777_216)
  expect(config.backup.knownAnswers.queries).toEqual(['count(up)'])
  expect(loadConfig({ env: {}, workingDir: '/srv', hostName: 'h', files: memoryFiles({ '/srv/.env': example }) }).instance).toBe('h')
})
