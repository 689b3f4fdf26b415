import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isDataKey } from '../../src/repository/data-keys.ts'
import { createEncryptingStore } from '../../src/stores/encrypting-store.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { systemClock } from '../../src/system/clock.ts'
import { promDr } from '../cli/launcher.ts'
import { newKeyPair, sealingWith, writeIdentityFile } from '../support/age.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { backUp, makeFakeBlock } from '../support/fake-server.ts'

test('reading many sealed objects at a time says nothing on stderr', async () => {
  const directory = await temporaryDirectory('quiet')
  const root = join(directory, 'repository')
  const { identity, recipient } = await newKeyPair()
  const store = createEncryptingStore(createFileStore({ root }), { sealing: sealingWith([recipient]), seals: isDataKey, write: true })
  const blocks = await Promise.all(Array.from({ length: 24 }, (_, nth) => makeFakeBlock(directory, { instance: 'prom-a', nth, startMs: Date.UTC(2026, 0, 1), tombstones: true })))
  await backUp(store, { instance: 'prom-a', blocks, head: 'empty', clock: systemClock, random: 'aaaaaa' })
  const env = { PROM_DR_REPOSITORY_URL: root, PROM_DR_ENCRYPTION_IDENTITY_FILE: await writeIdentityFile(directory, identity) }
  const { code, stdout, stderr } = await promDr(['verify', '--read-data', '--json'], { cwd: directory, env })
  // No Prometheus would take the blocks, and no index of them can be read.
  expect({ code, blocks: (JSON.parse(stdout) as { damaged: unknown[] }).damaged.length >= blocks.length, stderr }).toEqual({ code: 5, blocks: true, stderr: '' })
})
