import { link, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { holdSegments, readLocalLog } from '../../src/tsdb/wal-source.ts'
import { temporaryDirectory } from '../support/cleanup.ts'

const name = (number: number) => String(number).padStart(8, '0')

/** A data directory in which the server has these segments, and all of `held` are held, also those that it has removed. */
async function directoryWith(live: readonly number[], held: readonly number[]): Promise<string> {
  const dataDir = join(await temporaryDirectory('wal-source'), 'data')
  const [wal, hold] = [join(dataDir, 'wal'), join(dataDir, '.prom-dr-wal-hold', 'wal')]
  await mkdir(wal, { recursive: true })
  await mkdir(hold, { recursive: true })
  for (const number of new Set([...live, ...held])) {
    await writeFile(join(wal, name(number)), `segment ${number}`)
    if (held.includes(number)) await link(join(wal, name(number)), join(hold, name(number)))
    if (!live.includes(number)) await rm(join(wal, name(number)))
  }
  return dataDir
}

const numbersIn = async (dataDir: string) => (await readLocalLog(dataDir, 'wal')).segments.map(({ number }) => number)

describe('the local log', () => {
  it('has the segments that are held although the server removed them, as far as they lead up to its own', async () => {
    expect(await numbersIn(await directoryWith([2, 3], [0, 1, 2]))).toEqual([0, 1, 2, 3])
    expect(await numbersIn(await directoryWith([3, 4], [0, 2, 3]))).toEqual([2, 3, 4])
    expect(await numbersIn(await directoryWith([], [0, 1]))).toEqual([])
  })

  it('has held ones of its own history only', async () => {
    expect(await numbersIn(await directoryWith([2, 3], [0, 1]))).toEqual([2, 3])
  })

  it('is whole, and stays held, when the server removes segments while they are listed', async () => {
    // The first was listed before it was removed, the next two were not.
    const dataDir = await directoryWith([0, 3, 4], [0, 1, 2, 3])
    expect(await numbersIn(dataDir)).toEqual([0, 1, 2, 3, 4])
    expect(await holdSegments(dataDir, 'wal', { from: 0, limitBytes: 1000 })).toEqual([])
    await rm(join(dataDir, 'wal', name(0)))
    expect(await numbersIn(dataDir)).toEqual([0, 1, 2, 3, 4])
  })

  it('does not begin with what was listed before it was removed, where nothing after it is held', async () => {
    expect(await numbersIn(await directoryWith([0, 3, 4], []))).toEqual([3, 4])
  })
})
