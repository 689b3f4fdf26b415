import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { startBenchPrometheus } from './bench-prometheus.ts'
import { configFile, promDrConfig } from './contenders/prom-dr.ts'
import { encodeWriteRequest, sendWriteRequest } from './remote-write.ts'
import { simulatedSeries } from './simulated-series.ts'
import type { Target } from './results.ts'

export interface ShipCost {
  durationMs: number
  samples: number
  walBytes: number
  /** Of one core, after the start of the process. */
  cpuShare: number
  peakRssBytes: number
  uploadedBytes: number
  storedBytes: number
  /** Age of the newest stored sample, looked at twice a second, sorted. */
  rpoMs: number[]
}

export interface ShipCostOptions {
  workDir: string
  durationMs: number
  say(line: string): void
}

const samplesPerSecond = 20_000
const scrapeIntervalS = 5
/** In which the process has read its modules and the first interval has passed. */
const warmUpMs = 15_000
const clockTicksPerSecond = 100

/** What shipping every ten seconds costs beside a Prometheus that takes 20,000 samples a second in 100,000 series, of which one in ten is noise. */
export async function measureShipCost({ workDir, durationMs, say }: ShipCostOptions): Promise<ShipCost> {
  await rm(workDir, { recursive: true, force: true })
  await mkdir(workDir, { recursive: true })
  const dataDir = join(workDir, 'data')
  const folder = join(workDir, 'repository')
  // Small segments, so that a short run seals some as a day does.
  const prometheus = await startBenchPrometheus(workDir, dataDir, ['--storage.tsdb.wal-segment-size=10MB'])
  const series = simulatedSeries({ counterCount: 90_000, randomCount: 10_000, seed: 42 })
  await writeFile(configFile({ workDir }), `${promDrConfig({ kind: 'file', folder }, { prometheusUrl: prometheus.url, dataDir })}ship: {interval: 10s}\n`)
  const launcher = join(import.meta.dirname, '..', 'bin', 'prom-dr.js')
  const shipper = spawn(process.execPath, [launcher, 'ship', '--config', configFile({ workDir }), '--json', '--log-level', 'warn'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let answer = ''
  shipper.stdout.setEncoding('utf8').on('data', (text: string) => (answer += text))
  const cost: ShipCost = { durationMs: 0, samples: 0, walBytes: 0, cpuShare: 0, peakRssBytes: 0, uploadedBytes: 0, storedBytes: 0, rpoMs: [] }
  try {
    say(`${samplesPerSecond} samples a second for ${durationMs / 1000} s, shipped every 10 s`)
    const startedMs = performance.now()
    let warm: { atMs: number; cpuMs: number } | undefined
    for (let second = 0; performance.now() - startedMs < durationMs; second += 1) {
      const group = series.filter((_, index) => index % scrapeIntervalS === second % scrapeIntervalS)
      for (let from = 0; from < group.length; from += 5000) await sendWriteRequest(prometheus.url, await encodeWriteRequest(group.slice(from, from + 5000), [Date.now()]))
      cost.samples += group.length
      for (const untilMs = startedMs + (second + 1) * 1000; performance.now() < untilMs; await pause(Math.min(500, Math.max(1, untilMs - performance.now())))) {
        const newestMs = await newestStored(folder)
        if (warm !== undefined && newestMs !== undefined) cost.rpoMs.push(Date.now() - newestMs)
      }
      if (warm === undefined && performance.now() - startedMs > warmUpMs) warm = { atMs: performance.now(), cpuMs: cpuMsOf(shipper.pid) }
    }
    if (warm !== undefined) cost.cpuShare = (cpuMsOf(shipper.pid) - warm.cpuMs) / (performance.now() - warm.atMs)
    cost.durationMs = performance.now() - startedMs
    cost.peakRssBytes = Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${shipper.pid}/status`, 'utf8'))?.[1]) * 1024
    shipper.kill('SIGINT')
    await once(shipper, 'close')
    const report = JSON.parse(answer) as { bytes: number }
    cost.uploadedBytes = report.bytes
    cost.storedBytes = await sizeBelow(join(folder, 'instances', 'bench', 'wal'))
    cost.walBytes = await sizeBelow(join(dataDir, 'wal'))
    return { ...cost, rpoMs: cost.rpoMs.sort((a, b) => a - b) }
  } finally {
    shipper.kill('SIGKILL')
    await prometheus.stop()
  }
}

export function shipTargets(cost: ShipCost): Target[] {
  const { cpuShare, peakRssBytes, storedBytes, uploadedBytes, samples, rpoMs } = cost
  const perSample = storedBytes / samples
  const ratio = uploadedBytes / storedBytes
  return [
    { promise: 'shipping 20,000 samples a second takes under 3 % of a core', measured: `${(cpuShare * 100).toFixed(2)} %`, met: cpuShare < 0.03 },
    { promise: 'and under 120 MB', measured: `${(peakRssBytes / 1e6).toFixed(0)} MB`, met: peakRssBytes < 120e6 },
    { promise: 'stores at most 5.5 bytes a sample', measured: perSample.toFixed(2), met: perSample <= 5.5 },
    { promise: 'uploads at most 2.2 times what it stores', measured: ratio.toFixed(2), met: ratio <= 2.2 },
    { promise: 'the newest stored sample is younger than 15 s (p99)', measured: `p50 ${seconds(rpoMs, 0.5)}, p99 ${seconds(rpoMs, 0.99)}, max ${seconds(rpoMs, 1)}`, met: quantile(rpoMs, 0.99) < 15_000 },
  ]
}

export function renderShipCost(cost: ShipCost): string {
  const rows = shipTargets(cost).map(({ promise, measured, met }) => `| ${promise} | ${measured} | ${met ? 'yes' : '**no**'} |`)
  return `\n## Shipping\n\n${cost.samples.toLocaleString('en')} samples in ${(cost.durationMs / 1000).toFixed(0)} s, ${(cost.walBytes / cost.samples).toFixed(2)} bytes a sample in Prometheus's own log.\n\n| promise | measured | met |\n|---|---|---|\n${rows.join('\n')}\n`
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

function seconds(sorted: readonly number[], q: number): string {
  return `${(quantile(sorted, q) / 1000).toFixed(1)} s`
}

/** User and system time of a process, all its threads. */
function cpuMsOf(pid: number | undefined): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / clockTicksPerSecond
}

/** By the names of the parts. */
async function newestStored(folder: string): Promise<number | undefined> {
  const names = await readdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const times = names.flatMap((name) => /\/wal\/\d{8}\/\d{12}-\d{12}-(\d{13})-[^/]*\.br$/.exec(name)?.[1] ?? [])
  return times.length === 0 ? undefined : Math.max(...times.map(Number))
}

async function sizeBelow(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const sizes = await Promise.all(entries.filter((entry) => entry.isFile()).map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}
