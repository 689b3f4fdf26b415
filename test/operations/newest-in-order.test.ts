import { randomBytes } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { newUlid } from '../../src/domain/ulid.ts'
import { newestInOrderMs } from '../../src/operations/ship/ship-checkpoint.ts'
import { temporaryDirectory } from '../support/cleanup.ts'

const endMs = 1_700_000_030_000

/** As Prometheus puts one in place. */
async function writeBlock(dataDir: string, range: { minTime: number; maxTime: number; hints?: string[] }): Promise<string> {
  const { hints, ...times } = range
  const ulid = newUlid(endMs, randomBytes(10))
  const path = join(dataDir, ulid)
  await mkdir(`${path}.tmp-for-creation`)
  await writeFile(join(`${path}.tmp-for-creation`, 'meta.json'), JSON.stringify({ ulid, ...times, compaction: { level: 1, sources: [ulid], ...(hints && { hints }) }, version: 1 }))
  await rename(`${path}.tmp-for-creation`, path)
  return ulid
}

/** As Prometheus removes one. */
async function removeBlock(dataDir: string, ulid: string): Promise<void> {
  await rename(join(dataDir, ulid), join(dataDir, `${ulid}.tmp-for-deletion`))
  await rm(join(dataDir, `${ulid}.tmp-for-deletion`), { recursive: true })
}

describe('the end of the newest in-order block', () => {
  it('is found while compaction moves blocks into a new one, whenever it is asked for', async () => {
    const dataDir = await temporaryDirectory('compacting')
    const old = await Promise.all(Array.from({ length: 5 }, (_, at) => writeBlock(dataDir, { minTime: at, maxTime: at + 1 })))
    let newest = await writeBlock(dataDir, { minTime: 20, maxTime: endMs })
    let over = false
    const compacting = (async () => {
      while (!over) {
        const merged = await writeBlock(dataDir, { minTime: 0, maxTime: endMs })
        await removeBlock(dataDir, newest)
        newest = merged
        // Time for a listing that meets no change.
        for (let step = 0; step < 50; step += 1) await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    const found: (number | null)[] = []
    for (let asked = 0; asked < 100; asked += 1) found.push(await newestInOrderMs(dataDir).catch((error: { code: string }) => (error.code === 'CONTENTION' ? endMs : Promise.reject(error as unknown as Error))))
    over = true
    await compacting
    expect(new Set(found)).toEqual(new Set([endMs]))
    for (const ulid of [...old, newest]) await removeBlock(dataDir, ulid)
    expect(await newestInOrderMs(dataDir)).toBeNull()
  })

  it('is not that of a block of out-of-order samples, or of one that is not finished', async () => {
    const dataDir = await temporaryDirectory('kinds')
    await writeBlock(dataDir, { minTime: 0, maxTime: 7 })
    await writeBlock(dataDir, { minTime: 0, maxTime: 9, hints: ['from-out-of-order'] })
    await mkdir(join(dataDir, newUlid(endMs, randomBytes(10))))
    expect(await newestInOrderMs(dataDir)).toBe(7)
  })
})
