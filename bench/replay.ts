import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ownMetric, startBenchPrometheus } from './bench-prometheus.ts'
import { configFile, promDrCommand, promDrConfig } from './contenders/prom-dr.ts'
import { type Destination, emptyDestination } from './destination.ts'
import { headSeries, writeLargeHead } from './large-head.ts'
import { dropCaches, median } from './measure.ts'
import type { Target } from './results.ts'

/** Bringing back a head from the shipped log, beside what Prometheus then needs to replay it. */
export interface ReplayResult {
  destination: string
  series: number
  samples: number
  parts: number
  /** Fetched, checked and cut: the stages of `restore`, in each round. */
  restoreMs: number[]
  /** prometheus_tsdb_data_replay_duration_seconds of a server on the result. */
  replayMs: number[]
  peakRssBytes: number
}

export interface ReplayOptions {
  workDir: string
  destinations: readonly { title: string; destination: Destination }[]
  /** Of every series, 15 s apart. */
  scrapes: number
  rounds: number
  say(line: string): void
}

/** What 100,000 series log in ten seconds. */
const partBytes = '600KB'

/** A server that scraped 100,000 series is shipped in parts of ten seconds, and restored to the end of its log. */
export async function measureReplay({ workDir, destinations, scrapes, rounds, say }: ReplayOptions): Promise<ReplayResult[]> {
  const results: ReplayResult[] = []
  await rm(workDir, { recursive: true, force: true })
  const dataDir = join(workDir, 'data')
  await mkdir(dataDir, { recursive: true })
  say(`replay: writing ${headSeries} series with ${scrapes} samples each`)
  await writeLargeHead(join(dataDir, 'wal'), scrapes)
  for (const { title, destination } of destinations) {
    await emptyDestination(destination)
    const prometheus = await startBenchPrometheus(workDir, dataDir)
    let parts: number
    try {
      await writeFile(configFile({ workDir }), `${promDrConfig(destination, { prometheusUrl: prometheus.url, dataDir })}ship: {maxBytes: ${partBytes}}\n`)
      say(`replay, ${title}: shipping`)
      parts = JSON.parse((await promDrCommand({ workDir }, destination, { args: ['ship', '--once'] })).stdout).parts
      await promDrCommand({ workDir }, destination, { args: ['backup', '--head', 'never'] })
      await promDrCommand({ workDir }, destination, { args: ['ship', '--once'] })
    } finally {
      await prometheus.stop()
    }
    const result: ReplayResult = { destination: title, series: headSeries, samples: headSeries * scrapes, parts, restoreMs: [], replayMs: [], peakRssBytes: 0 }
    for (let round = 0; round < rounds; round += 1) {
      say(`replay, ${title}: round ${round + 1} of ${rounds}`)
      await dropCaches()
      const target = join(workDir, 'target')
      const restored = await promDrCommand({ workDir }, destination, { args: ['restore', '--at', 'latest', '--target', target, '--side-instance'] })
      const { stages } = JSON.parse(restored.stdout) as { stages: { name: string; durationMs: number }[] }
      // Node's start is no part of the replay either.
      result.restoreMs.push(stages.filter(({ name }) => name !== 'start prom-dr').reduce((sum, stage) => sum + stage.durationMs, 0))
      result.peakRssBytes = Math.max(result.peakRssBytes, restored.peakRssBytes)
      const server = await startBenchPrometheus(workDir, target)
      result.replayMs.push((await ownMetric(server, 'prometheus_tsdb_data_replay_duration_seconds')) * 1000)
      await server.stop()
      await rm(target, { recursive: true })
    }
    results.push(result)
  }
  await rm(workDir, { recursive: true })
  return results
}

export function replayTargets(results: readonly ReplayResult[]): Target[] {
  return results.map((result) => {
    const ratio = median(result.restoreMs) / median(result.replayMs)
    return { promise: `${result.destination}: the head comes back within 1.5 × what Prometheus takes to replay it`, measured: `${ratio.toFixed(2)} ×`, met: ratio < 1.5 }
  })
}

export function renderReplay(results: readonly ReplayResult[]): string {
  const [first] = results
  if (first === undefined) return ''
  const rows = results.map(({ destination, parts, restoreMs, replayMs, peakRssBytes }) => `| ${destination} | ${parts} | ${seconds(restoreMs)} | ${seconds(replayMs)} | ${(median(restoreMs) / median(replayMs)).toFixed(2)} | ${(peakRssBytes / 1e6).toFixed(0)} MB |`)
  return `\n## Bringing back a head from its log\n\n${first.series.toLocaleString('en')} series, ${(first.samples / 1e6).toFixed(1)} million samples, shipped in parts of ten seconds; median of ${first.restoreMs.length}.\n\n| from | parts | fetch, check and cut | Prometheus's replay | ratio | peak memory |\n|---|---|---|---|---|---|\n${rows.join('\n')}\n`
}

function seconds(values: readonly number[]): string {
  return `${(median(values) / 1000).toFixed(2)} s`
}
