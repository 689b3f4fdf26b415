import { cp, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { PrometheusServer } from '../src/integrations/prometheus/prometheus-server.ts'
import { startBenchPrometheus } from './bench-prometheus.ts'
import type { Source } from './contenders/contender.ts'
import { type Dataset, treeBytes } from './dataset.ts'
import { run } from './measure.ts'

export interface RunningSource extends Source {
  prometheus: PrometheusServer
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
    const snapshotDir = await takeSnapshot(prometheus, { dataDir, workDir })
    return { prometheus, prometheusUrl: prometheus.url, dataDir, snapshotDir, workDir, snapshotBytes: await treeBytes(snapshotDir) }
  } catch (error) {
    await prometheus.stop()
    throw error
  }
}

/** Moved out of the data directory, so that nobody takes it for somebody else's. */
async function takeSnapshot({ api }: PrometheusServer, { dataDir, workDir }: { dataDir: string; workDir: string }): Promise<string> {
  const name = await api.takeSnapshot({ skipHead: false })
  const snapshotDir = join(workDir, 'snapshot')
  await rename(join(dataDir, 'snapshots', name), snapshotDir)
  if ((await readdir(snapshotDir)).length === 0) throw new Error('the snapshot is empty')
  return snapshotDir
}
