import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createWriteStream } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { isUlid } from '../../src/domain/ulid.ts'

export interface BlockRecipe {
  /** Series `prom_dr_test{series="0"}`, "1"…; default 10. */
  series?: number
  /** Samples of every series; default 100. */
  samples?: number
  /** Time of the first sample; default 2023-11-14T22:00:00Z. Blocks are cut at multiples of two hours of Unix time. */
  startMs?: number
  /** Between two samples of a series; default 15 s. */
  stepMs?: number
  /** Default: a counter, which compresses well. `Math.sin(…)` makes chunks of about 9 bytes a sample. */
  value?: (series: number, sample: number) => number
  /** Further labels of a series. */
  labels?: (series: number) => Record<string, string>
  /** Into an existing data directory instead of a new temporary one, which `remove` then leaves alone. */
  dataDir?: string
}

export interface MadeBlocks {
  /** A directory with blocks and nothing else: what Prometheus can be started on. */
  dataDir: string
  /** Those that this call made, oldest first. */
  blocks: { ulid: string; path: string }[]
  remove(): Promise<void>
}

/**
 * Makes real blocks with `promtool tsdb create-blocks-from openmetrics`: call `needPrograms(context, 'promtool')` first.
 * promtool reads its input once per block, so keep to a few blocks. Remove the result in `afterAll` or `onTestFinished`.
 */
export async function makeBlocks(recipe: BlockRecipe = {}): Promise<MadeBlocks> {
  const scratch = await mkdtemp(join(tmpdir(), 'prom-dr-blocks-'))
  const dataDir = recipe.dataDir ?? (await mkdtemp(join(tmpdir(), 'prom-dr-data-')))
  const remove = async () => {
    if (recipe.dataDir === undefined) await rm(dataDir, { recursive: true, force: true })
  }
  try {
    const before = new Set(await readdir(dataDir))
    const input = join(scratch, 'input.om')
    await pipeline(Readable.from(openMetrics(recipe)), createWriteStream(input))
    await promisify(execFile)('promtool', ['tsdb', 'create-blocks-from', 'openmetrics', '--quiet', input, dataDir])
    const ulids = (await readdir(dataDir)).filter((name) => isUlid(name) && !before.has(name)).sort()
    return { dataDir, blocks: ulids.map((ulid) => ({ ulid, path: join(dataDir, ulid) })), remove }
  } catch (error) {
    await remove()
    throw error
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

export const defaultStartMs = Date.UTC(2023, 10, 14, 22)

function* openMetrics(recipe: BlockRecipe): Generator<string> {
  const { series = 10, samples = 100, startMs = defaultStartMs, stepMs = 15_000 } = recipe
  const value = recipe.value ?? ((s: number, k: number) => s + k * 3)
  yield '# TYPE prom_dr_test gauge\n'
  for (let s = 0; s < series; s++) {
    const labels = Object.entries({ series: String(s), ...recipe.labels?.(s) }).map(([name, text]) => `${name}=${JSON.stringify(text)}`)
    let lines = ''
    for (let k = 0; k < samples; k++) lines += `prom_dr_test{${labels.join(',')}} ${value(s, k)} ${(startMs + k * stepMs) / 1000}\n`
    yield lines
  }
  yield '# EOF\n'
}
