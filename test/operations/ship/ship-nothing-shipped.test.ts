import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { LogGrowth } from '../../../src/operations/ship/log-growth.ts'
import { RepositoryShipper } from '../../../src/operations/ship/repository-shipper.ts'
import { listPieces, readGenerations } from '../../../src/repository/wal-stream.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { noServer, shipOnce } from '../../support/shipping.ts'
import { SimulatedWal } from '../../support/simulated-wal.ts'

async function scene() {
  const wal = await SimulatedWal.create(join(await temporaryDirectory('nothing-shipped'), 'data'))
  const store = createMemoryStore()
  const { signal } = new AbortController()
  const open = async () => RepositoryShipper.open({
    store, instance: 'prom-a', dataDir: wal.dataDir, machineId: 'machine-a', partBytes: 64 * 1024, windowMs: 72 * 3_600_000, growth: { wal: new LogGrowth(), wbl: new LogGrowth() },
    now: () => new Date(), rest: async () => undefined, onGap: () => undefined, logger: silentLogger, signal, tailSignal: signal,
  }, { newGeneration: false })
  const segmentsOf = async (generation: string) => (await listPieces(store, 'prom-a', { generation, log: 'wal' })).map(({ segment }) => segment)
  return { wal, store, open, segmentsOf, ship: () => shipOnce(noServer, store, { dataDir: wal.dataDir }) }
}

describe('a log of which nothing was shipped, since nothing was in it', () => {
  it('is told from another that takes its place, by what that has in the segments passed by', async () => {
    const { wal, open, segmentsOf } = await scene()
    await wal.copy()
    await wal.append(10)
    await wal.swap(false)
    const shipper = await open()
    const first = await shipper.pass()
    expect(await segmentsOf(first.generation)).toEqual([])
    await wal.swap(false)
    await wal.append(10)
    const second = await shipper.pass()
    expect(second.generation).not.toBe(first.generation)
    expect(await segmentsOf(second.generation)).toEqual([0, 1])
  })

  it('is told from another that takes its place, by where that begins', async () => {
    const { wal, open, store } = await scene()
    await wal.copy()
    await wal.append(10)
    await wal.swap(true)
    await wal.rotate(false)
    const shipper = await open()
    const first = await shipper.pass()
    await wal.swap(true)
    await wal.truncate(1)
    await wal.append(10)
    const second = await shipper.pass()
    expect(second.generation).not.toBe(first.generation)
    expect((await readGenerations(store, 'prom-a')).at(-1)).toMatchObject({ firstSegment: 2, checkpoint: 1 })
  })

  it('goes on in the same stream when something comes to be in it', async () => {
    const { wal, open, segmentsOf } = await scene()
    const shipper = await open()
    const { generation } = await shipper.pass()
    for (let empty = 0; empty < 3; empty += 1) {
      await wal.rotate(false)
      await shipper.pass()
    }
    await wal.append(10)
    expect((await shipper.pass()).generation).toBe(generation)
    expect(await segmentsOf(generation)).toEqual([3])
  })
})

describe('a server that begins again with an empty log', () => {
  it('leaves a gap from the newest sample shipped until it was found', async () => {
    const { wal, store, ship } = await scene()
    await wal.append(10)
    const before = await ship()
    await rm(join(wal.dataDir, 'wal'), { recursive: true })
    await SimulatedWal.create(wal.dataDir)
    const { repositories } = await ship()
    const [gap] = repositories[0]?.gaps ?? []
    expect(gap).toMatchObject({ from: before.repositories[0]?.newestSample, reason: expect.stringContaining('00000000') })
    expect(Date.parse(gap?.to ?? '')).toBe((await readGenerations(store, 'prom-a')).at(-1)?.gap?.to)
    expect(repositories[0]?.newestSample).toBe(before.repositories[0]?.newestSample)
  })

  it('leaves it too where blocks reach further than what was shipped: they end before it', async () => {
    const { wal, store, ship } = await scene()
    await wal.append(10)
    await ship()
    await wal.append(3000)
    await wal.compact()
    const blockEndMs = wal.state.blocks.at(-1)?.maxTime ?? Number.POSITIVE_INFINITY
    await rm(join(wal.dataDir, 'wal'), { recursive: true })
    await SimulatedWal.create(wal.dataDir)
    await ship()
    expect((await readGenerations(store, 'prom-a')).at(-1)?.gap?.to).toBeGreaterThan(blockEndMs)
  })

  it('has its gap told anew when yet another log takes its place before anything was shipped', async () => {
    const { wal, ship } = await scene()
    await wal.append(10)
    const { repositories: [shipped] } = await ship()
    const replaced = async () => {
      await rm(join(wal.dataDir, 'wal'), { recursive: true })
      return SimulatedWal.create(wal.dataDir)
    }
    await replaced()
    expect((await ship()).repositories[0]?.gaps).toMatchObject([{ from: shipped?.newestSample }])
    const other = await replaced()
    await other.append(3000)
    await other.rotate(true)
    await other.append(10)
    // What is left of it begins later than what was logged before.
    await rm(join(wal.dataDir, 'wal', '00000000'))
    expect((await ship()).repositories[0]?.gaps).toMatchObject([{ from: shipped?.newestSample }])
  })
})
