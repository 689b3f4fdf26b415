import { mkdir, open, readFile, readdir, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { shipExitCode } from '../../../src/cli/commands/ship.ts'
import { PromDrError } from '../../../src/errors.ts'
import { listPieces, readCheckpoints, readGenerations, readSegmentTimes } from '../../../src/repository/wal-stream.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { SegmentFrames } from '../../../src/tsdb/wal/segment-frames.ts'
import { encodeRecord } from '../../../src/tsdb/wal/record-codec.ts'
import { readLocalLog } from '../../../src/tsdb/wal-source.ts'
import { createFaultyStore } from '../../fakes/faulty-store.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { noServer, shipOnce } from '../../support/shipping.ts'
import { SimulatedWal } from '../../support/simulated-wal.ts'

async function scene() {
  const wal = await SimulatedWal.create(join(await temporaryDirectory('ship'), 'data'))
  const store = createMemoryStore()
  const ship = (on: Parameters<typeof shipOnce>[1] = store) => shipOnce(noServer, on, { dataDir: wal.dataDir })
  const pieces = async () => listPieces(store, 'prom-a', { generation: (await readGenerations(store, 'prom-a')).at(-1)?.id ?? '', log: 'wal' })
  return { wal, store, ship, pieces, segment: (number: number) => join(wal.dataDir, 'wal', String(number).padStart(8, '0')) }
}

describe('a finished segment', () => {
  it('becomes one object with the times of its parts, which go', async () => {
    const { wal, store, ship, pieces } = await scene()
    for (const samples of [10, 20, 30]) {
      await wal.append(samples)
      await ship()
    }
    const before = await pieces()
    await wal.rotate(true)
    await wal.append(1)
    await ship()
    const after = await pieces()
    expect(after.map(({ segment, sealed }) => ({ segment, sealed }))).toEqual([{ segment: 0, sealed: true }, { segment: 1, sealed: false }])
    const [generation] = await readGenerations(store, 'prom-a')
    const times = await readSegmentTimes(store, 'prom-a', { generation: generation?.id ?? '', log: 'wal', segment: 0, digest: after[0]?.digest ?? '' })
    expect(times?.slice(0, 3)).toEqual(before.map(({ end, seenAt, newestSample, digest }) => ({ end, seenAt, newestSample, digest })))
    expect(times?.at(-1)).toMatchObject({ end: after[0]?.end, digest: after[0]?.digest })
  })

  it.each([1, 2, 3, 4, 5, 6])('is whole after fault %i of a run that seals it, and sealed by the next', async (call) => {
    const { wal, store, ship, pieces } = await scene()
    await wal.append(10)
    await ship()
    await wal.append(10)
    await ship()
    await wal.rotate(true)
    const faulty = createFaultyStore(store, [{ verb: 'any', key: /\/wal\/\d{8}T.*\/wal\//, call, at: call % 2 === 0 ? 'after' : 'before' }])
    await ship(faulty).catch(() => undefined)
    expect(faulty.fired).toHaveLength(1)
    const report = await ship()
    expect(report.repositories[0]).toMatchObject({ ok: true, gaps: [] })
    expect((await pieces()).map(({ segment, start, sealed }) => ({ segment, start, sealed }))).toEqual([{ segment: 0, start: 0, sealed: true }])
  })
})

describe('a pass that fails after parts were stored', () => {
  it('tells how far it got', async () => {
    const { wal, ship, store } = await scene()
    await wal.append(10)
    const { repositories } = await ship(createFaultyStore(store, [{ verb: 'put', key: /heartbeat/, call: 1, at: 'before' }]))
    const { segment, end } = wal.last
    const [generation] = await readGenerations(store, 'prom-a')
    expect(repositories[0]).toMatchObject({ ok: false, generation: generation?.id, shippedTo: `${String(segment).padStart(8, '0')}:${end}` })
  })
})

describe('a store that lets nobody delete', () => {
  it('is shipped to all the same', async () => {
    const { wal, store, ship, pieces } = await scene()
    for (const samples of [10, 20]) {
      await wal.append(samples)
      await ship()
    }
    await wal.rotate(true)
    await wal.append(1)
    const denying = { ...store, delete: (keys: readonly string[]) => (keys.length === 0 ? Promise.resolve() : Promise.reject(new PromDrError('STORE_DENIED', 'no deleting here'))) }
    const report = await ship(denying)
    expect(report.repositories[0]).toMatchObject({ ok: true, gaps: [] })
    expect((await pieces()).map(({ segment, sealed }) => ({ segment, sealed }))).toContainEqual({ segment: 1, sealed: false })
    await wal.append(5)
    const { repositories, shippedTo } = await ship(denying)
    expect(repositories[0]).toMatchObject({ ok: true, gaps: [], parts: 1 })
    expect(shippedTo).toBe(`${String(wal.last.segment).padStart(8, '0')}:${wal.last.end}`)
  })
})

describe('corruption in Prometheus\'s own log', () => {
  it('is named with segment and offset, and what is before it is shipped', async () => {
    const { wal, ship, pieces, segment } = await scene()
    await wal.append(10)
    const { end } = wal.last
    await wal.append(10)
    await wal.append(10)
    const file = await open(segment(0), 'r+')
    await file.write(Buffer.from([0xff, 0xff]), 0, 2, end + 20)
    await file.close()
    const report = await ship()
    expect(report.corruption).toMatchObject([{ path: segment(0), segment: 0, offset: end }])
    expect(report.corruption[0]?.message).toContain(`byte ${end}`)
    expect(shipExitCode(report)).toBe(5)
    expect((await pieces()).at(-1)?.end).toBe(end)
  })
})

describe('a record of a type that only newer servers know', () => {
  it('is shipped, and told of with its place, once for each type', async () => {
    const { wal, ship, pieces, segment } = await scene()
    await wal.append(10)
    const { end } = wal.last
    await wal.appendRecord(Uint8Array.from([99, 1, 2, 3]))
    await wal.appendRecord(Uint8Array.from([99, 4]))
    await wal.appendRecord(Uint8Array.from([200]))
    await wal.append(10)
    const report = await ship()
    expect(report.unknownRecords).toEqual([{ type: 99, path: segment(0), segment: 0, offset: end }, { type: 200, path: segment(0), segment: 0, offset: expect.any(Number) }])
    expect(report).toMatchObject({ corruption: [], repositories: [{ ok: true, gaps: [] }] })
    expect(shipExitCode(report)).toBe(0)
    expect((await pieces()).at(-1)?.end).toBe(wal.last.end)
    // What was told of is not told again: it is shipped.
    expect((await ship()).unknownRecords).toEqual([])
  })

  it('is told of in a checkpoint too, whose own records of newer servers are known', async () => {
    const { wal, store, ship } = await scene()
    await wal.append(10)
    await ship()
    await wal.rotate(true)
    await wal.append(10)
    const path = join(wal.dataDir, 'wal', 'checkpoint.00000000')
    const frames = new SegmentFrames(2 ** 20)
    await mkdir(path)
    const bound = frames.frame({ compression: 'none', bytes: encodeRecord({ type: 'minValidTime', timestampMs: 1_700_000_000_000n }) })
    const strange = frames.frame({ compression: 'none', bytes: Uint8Array.from([77, 1]) })
    await writeFile(join(path, '00000000'), Buffer.concat([bound, strange, frames.padding()]))
    const report = await ship()
    expect(report.unknownRecords).toEqual([{ type: 77, path: join(path, '00000000'), segment: 0, offset: bound.length }])
    const [generation] = await readGenerations(store, 'prom-a')
    expect(await readCheckpoints(store, 'prom-a', { generation: generation?.id ?? '' })).toMatchObject([{ segment: 0, files: [{ number: 0 }] }])
  })
})

describe('a checkpoint that is damaged on the server\'s disk', () => {
  it('is never shipped, and named', async () => {
    const { wal, store, ship } = await scene()
    await wal.append(10)
    await ship()
    await wal.truncate(1)
    await wal.append(10)
    const name = (await readdir(join(wal.dataDir, 'wal'))).find((one) => one.startsWith('checkpoint.')) as string
    const file = await open(join(wal.dataDir, 'wal', name, '00000000'), 'r+')
    await file.write(Buffer.from([0xff]), 0, 1, 12)
    await file.close()
    const report = await ship()
    expect(report.repositories[0]).toMatchObject({ ok: false, error: { code: 'DAMAGED', message: expect.stringContaining(name) } })
    const [generation] = await readGenerations(store, 'prom-a')
    expect(await readCheckpoints(store, 'prom-a', { generation: generation?.id ?? '' })).toEqual([])
  })
})

describe('segments that are removed before they were shipped', () => {
  it('begin a new generation, whose gap is named in the report and in the repository', async () => {
    const { wal, store, ship, segment } = await scene()
    await wal.append(10)
    await ship()
    for (let at = 0; at < 3; at += 1) {
      await wal.rotate(true)
      await wal.append(10)
    }
    for (const number of [0, 1]) await unlink(segment(number))
    const { repositories } = await ship()
    expect(repositories[0]?.gaps).toMatchObject([{ reason: expect.stringContaining('00000000') }])
    expect((await readGenerations(store, 'prom-a')).at(-1)?.gap).toMatchObject({ reason: expect.stringContaining('00000000') })
    const again = await ship()
    expect(again.repositories[0]?.gaps).toEqual([])
  })

  it('are held while a repository is away, so that there is no gap', async () => {
    const { wal, store, ship, segment } = await scene()
    await wal.append(10)
    await ship()
    const away = createFaultyStore(store, Array.from({ length: 20 }, (_, at) => ({ verb: 'any' as const, call: at + 1, at: 'before' as const })))
    for (let at = 0; at < 4; at += 1) {
      await wal.append(3000)
      const before = await readFile(segment(wal.last.segment))
      await wal.rotate(true)
      expect(before.length).toBeGreaterThan(0)
      // One process goes on through the outage; each pass of `--once` asks the same of the keeper.
      await ship(away).catch(() => undefined)
    }
    await wal.truncate(2)
    await expect(readFile(segment(1))).rejects.toThrow('ENOENT')
    await wal.append(1)
    expect((await readLocalLog(wal.dataDir, 'wal')).segments[0]?.number).toBe(0)
    const { repositories } = await ship()
    expect(repositories[0]).toMatchObject({ ok: true, gaps: [] })
    expect(await readGenerations(store, 'prom-a')).toHaveLength(1)
    // All of it is shipped: nothing is held any more.
    expect((await readLocalLog(wal.dataDir, 'wal')).segments[0]?.number).toBeGreaterThan(1)
  })

  it('are held as long as they show what the next one follows, also before empty ones', async () => {
    const { wal, store, ship } = await scene()
    await wal.append(10)
    await ship()
    // As restarts leave them.
    for (let empty = 0; empty < 3; empty += 1) await wal.rotate(true)
    await ship()
    await wal.truncate(2)
    await wal.append(1)
    expect((await ship()).repositories[0]).toMatchObject({ ok: true, gaps: [] })
    expect(await readGenerations(store, 'prom-a')).toHaveLength(1)
  })

  it('are let go beyond the limit of what is held, and the gap is named', async () => {
    const { wal, store } = await scene()
    const shipTo = (on: Parameters<typeof shipOnce>[1]) => shipOnce(noServer, on, { dataDir: wal.dataDir, settings: { holdBytes: 20_000 } })
    await wal.append(10)
    await shipTo(store)
    const away = () => createFaultyStore(store, Array.from({ length: 20 }, (_, at) => ({ verb: 'any' as const, call: at + 1, at: 'before' as const })))
    const heldBytes = async () => (await readLocalLog(wal.dataDir, 'wal')).segments.filter(({ path }) => path.includes('wal-hold')).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    for (let at = 0; at < 6; at += 1) {
      await wal.append(1000)
      await wal.rotate(false)
      await shipTo(away()).catch(() => undefined)
    }
    await wal.truncate(2)
    await shipTo(away()).catch(() => undefined)
    expect(await heldBytes()).toBeGreaterThan(0)
    expect(await heldBytes()).toBeLessThanOrEqual(20_000)
    await wal.append(1)
    expect((await shipTo(store)).repositories[0]).toMatchObject({ ok: true })
    const generations = await readGenerations(store, 'prom-a')
    expect(generations).toHaveLength(2)
    expect(generations.at(-1)?.reason).toMatch(/0000000\d/)
  })

  it('are not mistaken for those of another log that took the place of this one', async () => {
    const { wal, store, ship } = await scene()
    await wal.append(10)
    await ship()
    const away = createFaultyStore(store, Array.from({ length: 20 }, (_, at) => ({ verb: 'any' as const, call: at + 1, at: 'before' as const })))
    await wal.rotate(true)
    await wal.append(10)
    await ship(away).catch(() => undefined)
    await rm(join(wal.dataDir, 'wal'), { recursive: true })
    const other = await SimulatedWal.create(wal.dataDir)
    await other.append(11)
    await other.append(10)
    await ship()
    expect((await readGenerations(store, 'prom-a')).at(-1)?.reason).toMatch(/00000000/)
    expect((await readLocalLog(wal.dataDir, 'wal')).segments.map(({ number }) => number)).toEqual([0])
  })
})
