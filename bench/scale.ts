import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
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

const plannedInstance = 'bench-000'

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
    say(`repository of 10,000 blocks: ${shape.name}, on its way to S3`)
    await upload(folder.folder, place, workDir)
    results.push(...(await measureCommands(shape, place, { workDir, rounds })))
  }
  return results
}

/**
 * Of several instances, only the blocks of the one that is planned for: `list` looks at none, and a plan only at its own. A server takes
 * some hundred small objects a second, so that the rest would take longer than everything else here.
 */
async function upload(folder: string, place: Destination, workDir: string): Promise<void> {
  const points = join(folder, 'instances', plannedInstance, 'recovery-points')
  const newest = (await readdir(points)).sort().at(-1)!
  const { blocks } = JSON.parse(await readFile(join(points, newest), 'utf8')) as { blocks: { ulid: string; files: Record<string, number> }[] }
  const chosen = join(workDir, 'chosen-files')
  await writeFile(chosen, blocks.flatMap(({ ulid, files }) => Object.keys(files).map((path) => `blocks/${ulid}/${path}\n`)).join(''))
  // The place is empty, and what was stored need not be looked at again.
  const copy = ['rclone', 'copy', '--transfers', '64', '--no-check-dest', '--s3-no-head', folder, rclonePath(place)]
  for (const choice of [['--exclude', '/blocks/**'], ['--files-from-raw', chosen]]) await run([...copy, ...choice], { env: destinationEnv(place) })
  await rm(chosen)
}

async function measureCommands(shape: ManyBlocksShape, destination: Destination, { workDir, rounds }: { workDir: string; rounds: number }): Promise<ScaleResult[]> {
  await mkdir(workDir, { recursive: true })
  // Neither command needs the server; one that is not there proves it.
  await writeFile(configFile({ workDir }), promDrConfig(destination, { prometheusUrl: 'http://127.0.0.1:9', dataDir: join(workDir, 'nowhere') }))
  const target = join(workDir, 'planned')
  const commands: [string, string[]][] = [
    ['list', ['list']],
    ['restore --dry-run', ['restore', '--at', 'latest', '--dry-run', '--side-instance', '--target', target, '--instance', plannedInstance]],
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
