import { cpus, totalmem, release } from 'node:os'
import { median } from './measure.ts'

/** One contender at one destination: every round's figures. */
export interface ContenderResult {
  contender: string
  remark: string
  backupMs: number[]
  backupCpuMs: number[]
  againMs: number[]
  againBytes: number[]
  restoreMs: number[]
  restoreCpuMs: number[]
  storedBytes: number
  peakRssBytes: number
}

export interface DestinationResult {
  title: string
  contenders: ContenderResult[]
}

/** One command on a repository of 10,000 blocks. */
export interface ScaleResult {
  repository: string
  destination: string
  command: string
  /** With the caches as a first run leaves them. */
  wallMs: number[]
  /** The first run, with cold caches: program and modules come from the disk, too. */
  coldMs: number
  peakRssBytes: number
}

export interface BenchResults {
  measuredAt: Date
  versions: Record<string, string>
  cachesDropped: boolean
  rounds: number
  dataset: { blocks: number; blockBytes: number; samples: number; snapshotBytes: number }
  destinations: DestinationResult[]
  scale: ScaleResult[]
}

export interface Target {
  promise: string
  measured: string
  met: boolean
}

const memoryLimitBytes = 300_000_000

/** What was promised, against what was measured. */
export function targetsOf(results: BenchResults): Target[] {
  return [...results.destinations.flatMap(destinationTargets), ...memoryTargets(results), ...results.scale.map(scaleTarget)]
}

function destinationTargets({ title, contenders }: DestinationResult): Target[] {
  const own = contenders.find((one) => one.contender === 'prom-dr')
  const rclone = contenders.find((one) => one.contender === 'rclone copy')
  const tarball = contenders.find((one) => one.contender === 'tar -czf and upload')
  if (own === undefined) return []
  const targets: Target[] = []
  if (rclone !== undefined) {
    targets.push(ratioTarget(`${title}: first backup takes no longer than rclone copy`, median(own.backupMs) / median(rclone.backupMs), 1))
    targets.push(ratioTarget(`${title}: restore with verification within 1.2 × rclone copy back`, median(own.restoreMs) / median(rclone.restoreMs), 1.2))
  }
  if (tarball !== undefined) targets.push(ratioTarget(`${title}: first backup in a third of the tarball's time`, median(own.backupMs) / median(tarball.backupMs), 1 / 3))
  const againMs = median(own.againMs)
  const againBytes = Math.max(...own.againBytes)
  targets.push({ promise: `${title}: second backup under 1 s`, measured: seconds(againMs), met: againMs < 1000 })
  targets.push({ promise: `${title}: second backup writes under 100 KB`, measured: `${(againBytes / 1000).toFixed(1)} KB`, met: againBytes < 100_000 })
  return targets
}

function ratioTarget(promise: string, ratio: number, limit: number): Target {
  return { promise, measured: `${ratio.toFixed(2)} ×`, met: ratio <= limit }
}

function memoryTargets({ destinations, scale }: BenchResults): Target[] {
  const peaks = [...destinations.flatMap((one) => one.contenders.filter((two) => two.contender === 'prom-dr').map((two) => two.peakRssBytes)), ...scale.map((one) => one.peakRssBytes)]
  if (peaks.length === 0) return []
  const peak = Math.max(...peaks)
  return [{ promise: 'peak memory of prom-dr under 300 MB', measured: megabytes(peak), met: peak < memoryLimitBytes }]
}

function scaleTarget({ repository, destination, command, wallMs }: ScaleResult): Target {
  return { promise: `10,000 blocks (${repository}) on ${destination}: ${command} under 2 s`, measured: seconds(median(wallMs)), met: median(wallMs) < 2000 }
}

/** The page that bench/RESULTS.md holds. */
export function renderResults(results: BenchResults): string {
  const { dataset } = results
  const sections = [
    '# Results of the last benchmark',
    `Written by \`npm run bench\` on ${results.measuredAt.toISOString().slice(0, 10)}. All figures of a table come from one run on one machine, rounds interleaved (median of ${results.rounds}); compare the ratios, not the seconds.`,
    machineOf(results),
    `Data: ${dataset.blocks} blocks of a real Prometheus, ${gigabytes(dataset.blockBytes)} and ${(dataset.samples / 1e6).toFixed(0)} million samples, ${gigabytes(dataset.snapshotBytes)} with the head.`,
    '## Targets',
    table(['promise', 'measured', 'met'], targetsOf(results).map(({ promise, measured, met }) => [promise, measured, met ? 'yes' : '**no**'])),
    ...results.destinations.flatMap(renderDestination),
    '## 10,000 blocks in a repository',
    'Wall time of the whole command, Node’s start included. "fleet": 20 instances × 500 blocks × 10 recovery points; "one instance": 10,000 blocks in 3 recovery points. On S3 the fleet has its manifests and the blocks of one instance.',
    table(['repository', 'store', 'command', 'time', 'first time, cold caches', 'peak memory'], results.scale.map((one) => [one.repository, one.destination, `\`${one.command}\``, seconds(median(one.wallMs)), seconds(one.coldMs), megabytes(one.peakRssBytes)])),
    '## How it is measured',
    [
      '- Each time runs until the data is on disk: where bytes go to a file system, its sync counts, for everyone.',
      results.cachesDropped ? '- Page caches are dropped before each step (for the 10,000 blocks: before the first).' : '- Page caches could not be dropped (not root): everyone read warm files.',
      '- CPU is that of the program itself in user and kernel mode, over all cores; of the S3 server and of Prometheus none is counted.',
      '- rclone, restic and tar copy a snapshot that was taken for them beforehand; prom-dr takes its own within its time.',
      '- The S3 server (Ceph RGW on BlueStore) shares the cores with the client.',
      '- prom-dr: `restore` checks the SHA-256 of every object and the CRC32C of every chunk and index section as they stream; rclone’s copy back checks nothing of that.',
    ].join('\n'),
  ]
  return `${sections.join('\n\n')}\n`
}

function renderDestination({ title, contenders }: DestinationResult): string[] {
  const own = contenders.find((one) => one.contender === 'prom-dr')
  const rows = contenders.map((one) => [
    one.contender,
    seconds(median(one.backupMs)),
    ratio(median(one.backupMs), own && median(own.backupMs)),
    seconds(median(one.backupCpuMs)),
    seconds(median(one.againMs)),
    kilobytes(Math.max(...one.againBytes)),
    seconds(median(one.restoreMs)),
    ratio(median(one.restoreMs), own && median(own.restoreMs)),
    seconds(median(one.restoreCpuMs)),
    gigabytes(one.storedBytes),
    megabytes(one.peakRssBytes),
  ])
  const remarks = contenders.map((one) => `- ${one.contender}: ${one.remark}`).join('\n')
  return [`## ${title}`, table(['', 'first backup', '× prom-dr', 'its CPU', 'nothing new', 'bytes written', 'restore', '× prom-dr', 'its CPU', 'stored', 'peak memory'], rows), remarks]
}

function machineOf({ versions }: BenchResults): string {
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return `Machine: ${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), ${gigabytes(totalmem())} memory, Linux ${release()}; ${names.join(', ')}.`
}

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function ratio(value: number, own: number | undefined): string {
  return own === undefined ? '' : (value / own).toFixed(2)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`
}

function kilobytes(bytes: number): string {
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(0)} MB` : `${(bytes / 1e3).toFixed(1)} KB`
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`
}
