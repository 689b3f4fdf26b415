import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Contender, Source } from './contenders/contender.ts'
import { type Destination, emptyDestination, storedBytes, subDestination } from './destination.ts'
import { type Measured, dropCaches } from './measure.ts'
import type { ContenderResult, DestinationResult } from './results.ts'

export interface RoundsOptions {
  title: string
  source: Source
  destination: Destination
  contenders: readonly Contender[]
  rounds: number
  say(line: string): void
}

/** Every contender once a round, each round starting with another, so that a slow minute of the machine hits all alike. */
export async function runRounds(options: RoundsOptions): Promise<DestinationResult> {
  const { title, contenders, rounds, say } = options
  const results = new Map(contenders.map((contender) => [contender, emptyResult(contender)]))
  for (let round = 0; round < rounds; round += 1) {
    const order = contenders.map((_, index) => contenders[(index + round) % contenders.length]!)
    for (const contender of order) {
      const result = results.get(contender)!
      await runOnce(contender, result, options)
      say(`${title}, round ${round + 1}: ${contender.name.padEnd(20)} backup ${last(result.backupMs)}, again ${last(result.againMs)}, restore ${last(result.restoreMs)}`)
    }
  }
  return { title, contenders: [...results.values()] }
}

async function runOnce(contender: Contender, result: ContenderResult, { source, destination, title }: RoundsOptions): Promise<void> {
  const own = subDestination(destination, contender.name.replaceAll(/[^a-z-]+/g, '-'))
  const target = join(source.workDir, 'restored')
  await emptyDestination(own)
  await contender.prepare(source, own)
  const cold = async (step: () => Promise<Measured>, cpuMs?: number[]) => {
    await dropCaches()
    const measured = await step()
    cpuMs?.push(measured.cpuMs)
    result.peakRssBytes = Math.max(result.peakRssBytes, measured.peakRssBytes)
    return measured.wallMs
  }
  try {
    const before = await storedBytes(own)
    result.backupMs.push(await cold(() => contender.backup(source, own), result.backupCpuMs))
    result.storedBytes = await storedBytes(own)
    if (contender.incremental) {
      result.againMs.push(await cold(() => contender.backup(source, own)))
      result.againBytes.push((await storedBytes(own)) - result.storedBytes)
    } else {
      result.againMs.push(result.backupMs.at(-1)!)
      result.againBytes.push(result.storedBytes - before)
    }
    await rm(target, { recursive: true, force: true })
    result.restoreMs.push(await cold(() => contender.restore(source, own, target), result.restoreCpuMs))
  } catch (error) {
    throw new Error(`${contender.name} on ${title} failed`, { cause: error })
  } finally {
    await rm(target, { recursive: true, force: true })
    await emptyDestination(own)
  }
}

function emptyResult({ name, remark }: Contender): ContenderResult {
  return { contender: name, remark, backupMs: [], backupCpuMs: [], againMs: [], againBytes: [], restoreMs: [], restoreCpuMs: [], storedBytes: 0, peakRssBytes: 0 }
}

function last(values: readonly number[]): string {
  return `${(values.at(-1)! / 1000).toFixed(2)} s`.padStart(8)
}
