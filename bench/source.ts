import { cp, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type BenchPrometheus, startBenchPrometheus } from './bench-prometheus.ts'
import type { Source } from './contenders/contender.ts'
import { type Dataset, treeBytes } from './dataset.ts'
import { run } from './measure.ts'

export interface RunningSource extends Source {
  prometheus: BenchPrometheus
  snapshotBytes: number
}

/** Starts a server on a copy of the data set (blocks hard-linked: they are immutable) and takes the snapshot for those who copy files. */
export async function openSource(dataset: Dataset, workDir: string): Promise<RunningSource> {
  await rm(workDir, { recursive: true, force: true })
  const dataDir = join(workDir, 'data')
  await mkdir(dataDir, { recursive: true })
  const blocks = dataset.blocks.map(({ ulid }) => join(dataset.dataDir, ulid))
  await run(['cp', '--archive', '--link', ...blocks, dataDir])
  for (const name of ['wal', 'chunks_head']) await cp(join(dataset.dataDir, name), join(dataDir, name), { recursive: true })
  const prometheus = await startBenchPrometheus(workDir, dataDir)
  try {
    const snapshotDir = await takeSnapshot(prometheus, workDir)
    return { prometheus, prometheusUrl: prometheus.url, dataDir, snapshotDir, workDir, snapshotBytes: await treeBytes(snapshotDir) }
  } catch (error) {
    await prometheus.stop()
    throw error
  }
}

/** Moved out of the data directory, so that nobody takes it for somebody else's. */
async function takeSnapshot(prometheus: BenchPrometheus, workDir: string): Promise<string> {
  const response = await fetch(`${prometheus.url}/api/v1/admin/tsdb/snapshot`, { method: 'POST' })
  const answer = (await response.json()) as { status: string; data: { name: string } }
  if (answer.status !== 'success') throw new Error(`prometheus took no snapshot: ${JSON.stringify(answer)}`)
  const snapshotDir = join(workDir, 'snapshot')
  await run(['mv', join(prometheus.dataDir, 'snapshots', answer.data.name), snapshotDir])
  if ((await readdir(snapshotDir)).length === 0) throw new Error('the snapshot is empty')
  return snapshotDir
}
