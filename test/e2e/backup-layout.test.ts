import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { createFileStore } from '../../src/stores/file-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { createS3Store } from '../../src/stores/s3-store.ts'
import { createFaultyStore } from '../fakes/faulty-store.ts'
import { makeBlocks } from '../support/blocks.ts'
import { keysOf, readText } from '../support/bodies.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { missingPrograms, startTestPrometheus } from '../support/prometheus.ts'
import { waitForSamples } from '../support/prometheus.ts'
import { createTestBucket } from '../support/s3-server.ts'

const externalLabels = { cluster: 'eu', replica: 'a', empty: '' }

describe.skipIf(missingPrograms('prometheus', 'promtool'))('a backup of a running server', () => {
  it('lies in a directory as Thanos would have it, and the second one stores next to nothing', async () => {
    await expectTwoBackups(createFileStore({ root: join(await temporaryDirectory('repository'), 'repository') }))
  })

  it('lies in a bucket as Thanos would have it, and the second one stores next to nothing', async (context) => {
    const { openUploads, ...server } = await createTestBucket(context)
    const store = createS3Store({ ...server, prefix: 'dr/', partSizeBytes: 5 * 1024 * 1024 })
    await expectTwoBackups(store)
    expect(await openUploads()).toEqual([])
    await store.close()
  })
})

async function expectTwoBackups(plain: ObjectStore): Promise<void> {
  const { dataDir, blocks, remove } = await makeBlocks({ series: 20, samples: 500, startMs: Math.floor(Date.now() / 7_200_000 - 12) * 7_200_000 })
  try {
    const server = await startTestPrometheus({ dataDir, externalLabels, retention: '10y' })
    await waitForSamples(server, 'up', 3)
    const store = createFaultyStore(plain, [])
    const operations = operationsOn(server.api, store)

    const first = await operations.backup()
    expect(first.repositories).toMatchObject([{ ok: true, uploadedBlocks: blocks.length, reusedBlocks: 0 }])
    const keys = await keysOf(plain)
    expect(keys.filter((key) => key.startsWith('blocks/')).map((key) => key.slice(7, 33))).toEqual(expect.arrayContaining(blocks.map((block) => block.ulid)))
    for (const { ulid } of blocks) await expectThanosBlock(plain, `blocks/${ulid}/`)
    const heads = [...new Set(keys.filter((key) => key.startsWith('instances/prom-a/heads/')).map((key) => key.split('/')[3]))]
    expect(heads).toHaveLength(1)
    await expectThanosBlock(plain, `instances/prom-a/heads/${heads[0]}/`)

    const writes = store.calls.filter(({ verb }) => verb === 'create' || verb === 'put').map(({ key }) => key)
    for (const prefix of [...blocks.map(({ ulid }) => `blocks/${ulid}/`), `instances/prom-a/heads/${heads[0]}/`]) {
      const ofBlock = writes.filter((key) => key.startsWith(prefix))
      expect(ofBlock.at(-1)).toBe(`${prefix}meta.json`)
      expect(ofBlock.indexOf(`${prefix}meta.json`)).toBe(ofBlock.length - 1)
      expect(writes.findIndex((key) => key.includes('/intents/'))).toBeLessThan(writes.indexOf(ofBlock[0] as string))
    }
    const manifest = `instances/prom-a/recovery-points/${first.recoveryPoint.id}.json`
    const ownWrites = writes.filter((key) => !key.includes('/leases/'))
    expect(ownWrites.at(-1)).toBe(manifest)
    expect(keys.filter((key) => key.includes('/intents/'))).toEqual([])
    expect(await readdir(join(dataDir, 'snapshots'))).toEqual([])
    expect((await readdir(dataDir)).filter((name) => name.startsWith('.prom-dr'))).toEqual([])

    const second = await operations.backup({ head: 'never' })
    expect(second.repositories).toMatchObject([{ ok: true, uploadedBlocks: 0, reusedBlocks: blocks.length }])
    expect(second.uploadedBytes).toBeLessThan(100_000)
    expect(second.recoveryPoint).toMatchObject({ headIncluded: false, tiers: [] })
    const stored = (await keysOf(plain)).filter((key) => !keys.includes(key) && !key.includes('/leases/'))
    expect(stored).toEqual([`instances/prom-a/recovery-points/${second.recoveryPoint.id}.json`])
    expect(second.durationMs).toBeLessThan(3_000)
    expect(await operations.verify({ readData: true })).toMatchObject({ ok: true, checkedRecoveryPoints: 2, damaged: [] })
  } finally {
    await remove()
  }
}

/** Every file that meta.json names is there with its size and SHA-256, and nothing else is. */
async function expectThanosBlock(store: ObjectStore, prefix: string): Promise<void> {
  const meta = JSON.parse(await readText(store, `${prefix}meta.json`))
  expect(meta.thanos).toMatchObject({ version: 1, labels: { cluster: 'eu', replica: 'a' }, downsample: { resolution: 0 }, segment_files: ['000001'] })
  expect(meta.thanos.labels).not.toHaveProperty('empty')
  const names = meta.thanos.files.map((file: { rel_path: string }) => file.rel_path)
  expect(names).toEqual(['chunks/000001', 'index', 'meta.json'])
  expect((await keysOf(store, prefix)).map((key) => key.slice(prefix.length))).toEqual(names)
  for (const file of meta.thanos.files as { rel_path: string; size_bytes?: number; hash?: { hashFunc: string; value: string } }[]) {
    if (file.rel_path === 'meta.json') {
      expect(file).toEqual({ rel_path: 'meta.json' })
      continue
    }
    const bytes = await buffer((await store.get(`${prefix}${file.rel_path}`)).body)
    expect(file).toEqual({ rel_path: file.rel_path, size_bytes: bytes.length, hash: { hashFunc: 'SHA256', value: createHash('sha256').update(bytes).digest('hex') } })
  }
}
