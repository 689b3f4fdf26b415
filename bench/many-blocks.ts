import { randomBytes, randomUUID } from 'node:crypto'
import { rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import pLimit from 'p-limit'
import type { BlockMeta } from '../src/domain/block.ts'
import { type NamedBlock, type Source, recoveryPointId } from '../src/domain/recovery-point.ts'
import { newUlid } from '../src/domain/ulid.ts'
import { readOrCreateFormat } from '../src/repository/format.ts'
import { claimInstance } from '../src/repository/identity.ts'
import { encodeKnownAnswers } from '../src/repository/known-answers-codec.ts'
import { blockPrefix } from '../src/repository/layout.ts'
import { commitRecoveryPoint } from '../src/repository/recovery-points.ts'
import { uploadBlock } from '../src/repository/stored-blocks.ts'
import { createFileStore } from '../src/stores/file-store.ts'
import { type ObjectStore, bytesBody } from '../src/stores/object-store.ts'
import { thanosMeta } from '../src/tsdb/block-meta.ts'
import { cacheDir } from './dataset.ts'

/** A repository in which nothing is large but the number of blocks. */
export interface ManyBlocksShape {
  name: string
  instances: number
  blocksPerInstance: number
  /** The n-th of them names the first n parts of the instance's blocks, as a history that grows. */
  recoveryPointsPerInstance: number
}

const shapeVersion = 1
const blockSpanMs = 2 * 3_600_000

/** Gives the folder of the repository, written by the repository's own code the first time. */
export async function ensureManyBlocks(shape: ManyBlocksShape): Promise<string> {
  const folder = join(cacheDir, `${shape.name}-v${shapeVersion}`)
  if (await exists(join(folder, 'prom-dr.json'))) return folder
  const building = `${folder}.building`
  await rm(building, { recursive: true, force: true })
  const store = createFileStore({ root: building })
  await readOrCreateFormat(store, new Date())
  for (let index = 0; index < shape.instances; index += 1) await writeInstance(store, `bench-${String(index).padStart(3, '0')}`, shape)
  await store.close()
  await rename(building, folder)
  return folder
}

async function writeInstance(store: ObjectStore, instance: string, shape: ManyBlocksShape): Promise<void> {
  const limit = pLimit(32)
  const newestMs = Math.floor(Date.now() / blockSpanMs) * blockSpanMs - blockSpanMs
  const start = newestMs - shape.blocksPerInstance * blockSpanMs
  await claimInstance(store, instance, { identity: { machineId: randomUUID(), hostname: instance, dataDir: '/var/lib/prometheus', externalLabels: {} }, adopt: false })
  const blocks = await Promise.all(Array.from({ length: shape.blocksPerInstance }, (_, index) => limit(() => writeBlock(store, instance, start + index * blockSpanMs))))
  const knownAnswers = await encodeKnownAnswers({ seed: 'bench', series: [], queries: [], dropped: 0 })
  for (let part = 1; part <= shape.recoveryPointsPerInstance; part += 1) {
    const named = blocks.slice(0, Math.ceil((blocks.length * part) / shape.recoveryPointsPerInstance))
    const maxTime = named.at(-1)!.maxTime
    const createdAt = new Date(maxTime + 60_000)
    await commitRecoveryPoint(store, {
      id: recoveryPointId(createdAt, randomBytes(4).toString('hex')),
      instance,
      createdAt: createdAt.getTime(),
      minTime: start,
      maxTime: maxTime - 1,
      tiers: ['hourly', 'daily'],
      source: sourceOf(instance),
      blocks: named,
      head: { kind: 'empty' },
      archives: [],
      knownAnswers,
      cost: { uploadedBytes: 0, reusedBytes: 0, durationMs: 0 },
    })
  }
}

async function writeBlock(store: ObjectStore, instance: string, minTime: number): Promise<NamedBlock> {
  const maxTime = minTime + blockSpanMs
  const ulid = newUlid(maxTime, randomBytes(10))
  const stats = { numSamples: 480_000, numSeries: 1_000, numChunks: 4_000 }
  const meta: BlockMeta = { ulid, minTime, maxTime, stats, compaction: { level: 1, sources: [ulid] }, version: 1 }
  const stored = await uploadBlock(store, {
    prefix: blockPrefix(ulid),
    files: [
      { relPath: 'chunks/000001', body: bytesBody(randomBytes(64)) },
      { relPath: 'index', body: bytesBody(randomBytes(64)) },
    ],
    metaText: (files) => thanosMeta(meta, { labels: { instance }, files, source: 'prom-dr' }),
    limit: (task) => task(),
  })
  return { ulid, minTime, maxTime, level: 1, inOrder: true, ...stats, files: stored.files, metaSha256: stored.metaSha256 }
}

function sourceOf(hostname: string): Source {
  return {
    prometheusVersion: '2.42.0',
    hostname,
    dataDir: '/var/lib/prometheus',
    owner: { uid: 0, gid: 0, user: 'root', group: 'root' },
    retention: { timeMs: null, sizeBytes: null },
    externalLabels: { instance: hostname },
    flags: {},
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
