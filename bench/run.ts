import { rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Contender } from './contenders/contender.ts'
import { promDr } from './contenders/prom-dr.ts'
import { rclone } from './contenders/rclone.ts'
import { restic } from './contenders/restic.ts'
import { tarball } from './contenders/tarball.ts'
import { cacheDir, ensureDataset } from './dataset.ts'
import type { BucketDestination, Destination } from './destination.ts'
import { dropCaches, run } from './measure.ts'
import { type ReplayResult, measureReplay, renderReplay, replayTargets } from './replay.ts'
import { type BenchResults, type DestinationResult, renderResults, targetsOf } from './results.ts'
import { runRounds } from './rounds.ts'
import { startBenchS3 } from './s3.ts'
import { runScale } from './scale.ts'
import { measureShipCost, renderShipCost, shipTargets } from './ship-cost.ts'
import { openSource } from './source.ts'

const usage = `Usage: npm run bench [-- --rounds N] [--only file,s3,scale,ship,replay] [--contenders prom-dr,rclone,restic,tarball]
                            [--ship-minutes N] [--replay-scrapes N]

Compares prom-dr with what a user would take instead, on a gigabyte of real blocks, and writes bench/RESULTS.md
(only after a full run).
`
const parts = ['file', 's3', 'scale', 'ship', 'replay'] as const
const contenders: Record<string, Contender> = { 'prom-dr': promDr, rclone, restic, tarball }

interface BenchOptions {
  rounds: number
  only: readonly string[]
  contenders: Contender[]
  isFull: boolean
  shipMs: number
  replayScrapes: number
}

const say = (line: string) => void process.stderr.write(`bench: ${line}\n`)

function parseOptions(args: string[]): BenchOptions {
  const { values } = parseArgs({ args, options: { rounds: { type: 'string', default: '3' }, only: { type: 'string' }, contenders: { type: 'string' }, 'ship-minutes': { type: 'string', default: '10' }, 'replay-scrapes': { type: 'string', default: '150' } } })
  const only = values.only?.split(',') ?? parts
  const names = values.contenders?.split(',') ?? Object.keys(contenders)
  const chosen = names.map((name) => contenders[name])
  const rounds = Number(values.rounds)
  const shipMs = Number(values['ship-minutes']) * 60_000
  const replayScrapes = Number(values['replay-scrapes'])
  if (!Number.isInteger(rounds) || rounds < 1 || !(shipMs >= 60_000) || !Number.isInteger(replayScrapes) || replayScrapes < 1 || chosen.includes(undefined) || only.some((part) => !parts.includes(part as 'file'))) throw new Error(usage)
  return { rounds, only, contenders: chosen as Contender[], isFull: values.only === undefined && values.contenders === undefined, shipMs, replayScrapes }
}

async function bench(options: BenchOptions): Promise<BenchResults> {
  const dataset = await ensureDataset(say)
  const workDir = join(cacheDir, 'work')
  const closing: (() => Promise<void>)[] = [() => rm(workDir, { recursive: true, force: true })]
  try {
    const source = await openSource(dataset, workDir)
    closing.unshift(source.prometheus.stop)
    const s3 = options.only.some((part) => part === 's3' || part === 'scale') ? await startBenchS3(join(cacheDir, 's3')) : undefined
    if (s3 !== undefined) closing.unshift(s3.stop)
    const folder: Destination = { kind: 'file', folder: join(workDir, 'destination') }
    const bucket: BucketDestination | undefined = s3?.destination
    const destinations: DestinationResult[] = []
    if (options.only.includes('file')) destinations.push(await runRounds({ ...options, title: 'A folder', source, destination: folder, say }))
    if (options.only.includes('s3') && bucket !== undefined) destinations.push(await runRounds({ ...options, title: 'S3', source, destination: bucket, say }))
    const scale = options.only.includes('scale') ? await runScale({ workDir, bucket, rounds: options.rounds, say }) : []
    return {
      measuredAt: new Date(),
      versions: { ...(await versions()), ...(s3 !== undefined && { 'Ceph RGW': s3.version }) },
      cachesDropped: await dropCaches(),
      rounds: options.rounds,
      dataset: { blocks: dataset.blocks.length, blockBytes: dataset.blockBytes, samples: dataset.samples, snapshotBytes: source.snapshotBytes },
      destinations,
      scale,
    }
  } finally {
    for (const close of closing) await close()
  }
}

async function versions(): Promise<Record<string, string>> {
  const firstNumber = async (argv: string[]) => /\d+\.\d+\.\d+/.exec(await run(argv))?.[0] ?? 'unknown'
  return {
    Node: process.versions.node,
    Prometheus: await firstNumber(['prometheus', '--version']),
    rclone: await firstNumber(['rclone', 'version']),
    restic: await firstNumber(['restic', 'version']),
  }
}

async function replay({ rounds, replayScrapes }: BenchOptions): Promise<ReplayResult[]> {
  const s3 = await startBenchS3(join(cacheDir, 's3'))
  try {
    const workDir = join(cacheDir, 'replay')
    const destinations = [{ title: 'A folder', destination: { kind: 'file' as const, folder: join(cacheDir, 'replay-repository') } }, { title: 'S3', destination: s3.destination }]
    return await measureReplay({ workDir, destinations, scrapes: replayScrapes, rounds, say })
  } finally {
    await s3.stop()
    await rm(join(cacheDir, 'replay-repository'), { recursive: true, force: true })
  }
}

const options = parseOptions(process.argv.slice(2))
const benched = options.only.some((part) => part !== 'ship' && part !== 'replay') ? await bench(options) : undefined
const shipCost = options.only.includes('ship') ? await measureShipCost({ workDir: join(cacheDir, 'ship'), durationMs: options.shipMs, say }) : undefined
const replayed = options.only.includes('replay') ? await replay(options) : undefined
const page = `${benched === undefined ? '' : renderResults(benched)}${shipCost === undefined ? '' : renderShipCost(shipCost)}${replayed === undefined ? '' : renderReplay(replayed)}`
process.stdout.write(page)
if (options.isFull) {
  await writeFile(join(dirname(fileURLToPath(import.meta.url)), 'RESULTS.md'), page)
  say('written to bench/RESULTS.md')
}
const missed = [...(benched === undefined ? [] : targetsOf(benched)), ...(shipCost === undefined ? [] : shipTargets(shipCost)), ...(replayed === undefined ? [] : replayTargets(replayed))].filter((target) => !target.met)
for (const { promise, measured } of missed) say(`not met: ${promise} (${measured})`)
