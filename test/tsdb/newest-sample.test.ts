import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { newestSampleMs } from '../../src/tsdb/newest-sample.ts'
import { defaultStartMs, makeBlocks } from '../support/blocks.ts'
import { missingPrograms } from '../support/programs.ts'

describe.skipIf(missingPrograms('promtool'))('the newest sample of a block', () => {
  it('is found in an index that is read in several pieces', async () => {
    const series = 60_000
    const { blocks, remove } = await makeBlocks({ series, samples: 2, stepMs: 60_000 })
    const index = join(blocks[0]?.path ?? '', 'index')
    expect((await stat(index)).size).toBeGreaterThan(2 * 1024 * 1024)
    expect(await newestSampleMs(index)).toBe(defaultStartMs + 60_000)
    await remove()
  })

  it('is that of what is not deleted, chunk by chunk', async () => {
    const { blocks, remove } = await makeBlocks({ series: 1, samples: 300 })
    const index = join(blocks[0]?.path ?? '', 'index')
    const lastMs = defaultStartMs + 299 * 15_000
    // The only series of the index; its chunks have 120 samples.
    const references = Array.from({ length: 200 }, (_, n) => BigInt(n))
    const deleting = (mint: bigint, maxt: bigint) => ({ tombstones: references.map((seriesRef) => ({ seriesRef, mint, maxt })) })
    expect(await newestSampleMs(index)).toBe(lastMs)
    expect(await newestSampleMs(index, deleting(0n, BigInt(lastMs - 1)))).toBe(lastMs)
    const older = await newestSampleMs(index, deleting(BigInt(lastMs), BigInt(lastMs)))
    expect(older).toBeLessThan(lastMs)
    expect(((older ?? 0) - defaultStartMs) % 15_000).toBe(0)
    expect(await newestSampleMs(index, deleting(-(2n ** 63n), 2n ** 63n - 1n))).toBeUndefined()
    await remove()
  })

  it('is not looked for once the run was interrupted', async () => {
    const { blocks, remove } = await makeBlocks({ series: 1, samples: 1 })
    await expect(newestSampleMs(join(blocks[0]?.path ?? '', 'index'), { signal: AbortSignal.abort(new Error('stop')) })).rejects.toThrow('stop')
    await remove()
  })
})
