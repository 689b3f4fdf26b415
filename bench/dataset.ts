import { readFile, readdir, rename, rm, stat, writeFile, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { PrometheusServer } from '../src/integrations/prometheus/prometheus-server.ts'
import { ownMetric, startBenchPrometheus } from './bench-prometheus.ts'
import { encodeWriteRequest, sendWriteRequest } from './remote-write.ts'
import { simulatedSeries } from './simulated-series.ts'

export const cacheDir = join(dirname(dirname(fileURLToPath(import.meta.url))), '.cache', 'bench')

/** Made once: real blocks that a real Prometheus wrote and compacted, with their WAL. */
export interface Dataset {
  /** A Prometheus data directory. No server runs on it; copy it before one does. */
  dataDir: string
  blocks: { ulid: string; sizeBytes: number; level: number; numSamples: number }[]
  blockBytes: number
  samples: number
}

const shape = { version: 1, days: 7, intervalMs: 15_000, randomCount: 3_000, counterCount: 1_500, seed: 20_261_121 }
const timestampsPerRequest = 20
const seriesPerRequest = 1_500

/** Gives the data set, and builds it first (some minutes) when it is not there. */
export async function ensureDataset(say: (line: string) => void): Promise<Dataset> {
  const finalDir = join(cacheDir, `dataset-v${shape.version}`)
  if (await exists(join(finalDir, 'dataset.json'))) return readDataset(finalDir)
  const buildDir = `${finalDir}.building`
  await rm(buildDir, { recursive: true, force: true })
  await mkdir(buildDir, { recursive: true })
  const dataDir = join(buildDir, 'data')
  const prometheus = await startBenchPrometheus(buildDir, dataDir)
  try {
    await fill(prometheus, say)
    await settle(prometheus, dataDir)
  } finally {
    await prometheus.stop()
  }
  await writeFile(join(buildDir, 'dataset.json'), JSON.stringify(shape, null, 2))
  await rm(finalDir, { recursive: true, force: true })
  await rename(buildDir, finalDir)
  return readDataset(finalDir)
}

/** Runs a simulated clock from days ago to now; the head is cut and blocks merge as the simulated time passes. */
async function fill(prometheus: PrometheusServer, say: (line: string) => void): Promise<void> {
  const series = simulatedSeries(shape)
  const end = Math.floor(Date.now() / shape.intervalMs) * shape.intervalMs
  const start = end - shape.days * 86_400_000
  const windowMs = timestampsPerRequest * shape.intervalMs
  let saidPercent = 0
  for (let from = start; from < end; from += windowMs) {
    const timestamps = Array.from({ length: timestampsPerRequest }, (_, index) => from + index * shape.intervalMs).filter((time) => time < end)
    const requests: Promise<void>[] = []
    for (let first = 0; first < series.length; first += seriesPerRequest) {
      const body = await encodeWriteRequest(series.slice(first, first + seriesPerRequest), timestamps)
      requests.push(sendWriteRequest(prometheus.url, body))
    }
    await Promise.all(requests)
    const percent = Math.floor(((from - start) / (end - start)) * 10) * 10
    if (percent > saidPercent) say(`data set: ${percent} % of ${shape.days} simulated days written`)
    saidPercent = Math.max(percent, saidPercent)
  }
}

/** Waits until the head has been cut to its usual length and no compaction runs. */
async function settle(prometheus: PrometheusServer, dataDir: string): Promise<void> {
  const usualHeadMs = 3 * 3_600_000
  const deadline = Date.now() + 600_000
  for (;;) {
    const headMs = (await ownMetric(prometheus, 'prometheus_tsdb_head_max_time')) - (await ownMetric(prometheus, 'prometheus_tsdb_head_min_time'))
    const unfinished = (await readdir(dataDir)).some((name) => name.includes('.tmp'))
    const before = await ownMetric(prometheus, 'prometheus_tsdb_compactions_total')
    await delay(5_000)
    if (headMs <= usualHeadMs && !unfinished && before === (await ownMetric(prometheus, 'prometheus_tsdb_compactions_total'))) return
    if (Date.now() > deadline) throw new Error('prometheus did not finish its compactions within ten minutes')
  }
}

async function readDataset(folder: string): Promise<Dataset> {
  const dataDir = join(folder, 'data')
  const ulids = (await readdir(dataDir)).filter((name) => /^[0-9A-HJKMNP-TV-Z]{26}$/.test(name)).sort()
  const blocks = await Promise.all(
    ulids.map(async (ulid) => {
      const meta = JSON.parse(await readFile(join(dataDir, ulid, 'meta.json'), 'utf8'))
      return { ulid, sizeBytes: await treeBytes(join(dataDir, ulid)), level: meta.compaction.level as number, numSamples: meta.stats.numSamples as number }
    }),
  )
  const sum = (pick: (block: (typeof blocks)[number]) => number) => blocks.reduce((total, block) => total + pick(block), 0)
  return { dataDir, blocks, blockBytes: sum((block) => block.sizeBytes), samples: sum((block) => block.numSamples) }
}

export async function treeBytes(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const sizes = await Promise.all(entries.filter((entry) => entry.isFile()).map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size))
  return sizes.reduce((total, size) => total + size, 0)
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const dataset = await ensureDataset((line) => console.error(line))
  console.log(JSON.stringify({ dataDir: dataset.dataDir, blocks: dataset.blocks.length, blockBytes: dataset.blockBytes, samples: dataset.samples }))
}
