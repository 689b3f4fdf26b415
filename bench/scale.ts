import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { configFile, promDrCommand, promDrConfig } from './contenders/prom-dr.ts'
import { type Destination, destinationEnv, rclonePath, subDestination } from './destination.ts'
import { type ManyBlocksShape, ensureManyBlocks } from './many-blocks.ts'
import { dropCaches, run } from './measure.ts'
import type { ScaleResult } from './results.ts'

const shapes: ManyBlocksShape[] = [
  { name: 'fleet', instances: 20, blocksPerInstance: 500, recoveryPointsPerInstance: 10 },
  { name: 'one-instance', instances: 1, blocksPerInstance: 10_000, recoveryPointsPerInstance: 3 },
]

export interface ScaleOptions {
  workDir: string
  /** Undefined: no S3 server is there. */
  bucket: Destination | undefined
  rounds: number
  say(line: string): void
}

/** How long a repository of 10,000 blocks takes to be listed and planned on. */
export async function runScale({ workDir, bucket, rounds, say }: ScaleOptions): Promise<ScaleResult[]> {
  const results: ScaleResult[] = []
  for (const shape of shapes) {
    say(`repository of 10,000 blocks: ${shape.name}`)
    const folder: Destination = { kind: 'file', folder: await ensureManyBlocks(shape) }
    results.push(...(await measureCommands(shape, folder, { workDir, rounds })))
    if (bucket === undefined) continue
    const place = subDestination(bucket, shape.name)
    await run(['rclone', 'copy', '--transfers', '32', folder.folder, rclonePath(place)], { env: destinationEnv(place) })
    results.push(...(await measureCommands(shape, place, { workDir, rounds })))
  }
  return results
}

async function measureCommands(shape: ManyBlocksShape, destination: Destination, { workDir, rounds }: { workDir: string; rounds: number }): Promise<ScaleResult[]> {
  await mkdir(workDir, { recursive: true })
  // Neither command needs the server; one that is not there proves it.
  await writeFile(configFile({ workDir }), promDrConfig(destination, { prometheusUrl: 'http://127.0.0.1:9', dataDir: join(workDir, 'nowhere') }))
  const target = join(workDir, 'planned')
  const commands: [string, string[]][] = [
    ['list', ['list']],
    ['restore --dry-run', ['restore', '--at', 'latest', '--dry-run', '--side-instance', '--target', target, '--instance', 'bench-000']],
  ]
  const results: ScaleResult[] = []
  for (const [command, args] of commands) {
    const result: ScaleResult = { repository: shape.name, destination: destination.kind === 'file' ? 'a folder' : 'S3', command, wallMs: [], coldMs: 0, peakRssBytes: 0 }
    for (let round = 0; round <= rounds; round += 1) {
      if (round === 0) await dropCaches()
      const measured = await promDrCommand({ workDir }, destination, { args })
      if (round === 0) result.coldMs = measured.wallMs
      else result.wallMs.push(measured.wallMs)
      result.peakRssBytes = Math.max(result.peakRssBytes, measured.peakRssBytes)
      await rm(target, { recursive: true, force: true })
    }
    results.push(result)
  }
  return results
}
