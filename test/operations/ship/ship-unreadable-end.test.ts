import { open, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { shipExitCode } from '../../../src/cli/commands/ship.ts'
import { chainFrom } from '../../../src/domain/wal-stream.ts'
import { checkStreams } from '../../../src/operations/verify/verify-stream.ts'
import { listPieces, readGenerations, readHeartbeat } from '../../../src/repository/wal-stream.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { badSector } from '../../fakes/bad-sector.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { noServer, shipOnce } from '../../support/shipping.ts'
import { SimulatedWal } from '../../support/simulated-wal.ts'

/** A server's log that is shipped by one run after the other, as a timer does; each may be some time later than now. */
async function scene() {
  const wal = await SimulatedWal.create(join(await temporaryDirectory('unreadable-end'), 'data'))
  const store = createMemoryStore()
  return {
    wal, store,
    segment: (number: number) => join(wal.dataDir, 'wal', String(number).padStart(8, '0')),
    ship: (laterMs = 0) => shipOnce(noServer, store, { dataDir: wal.dataDir, clock: { ...systemClock, now: () => new Date(Date.now() + laterMs) } }),
    generations: () => readGenerations(store, 'prom-a'),
    heartbeat: async () => readHeartbeat(store, 'prom-a', { generation: (await readGenerations(store, 'prom-a')).at(-1)?.id ?? '' }),
  }
}

function endOf({ last: { segment, end } }: SimulatedWal): string {
  return `${String(segment).padStart(8, '0')}:${end}`
}

describe('a segment that ends within its padding, as a power cut may leave it', () => {
  it('is whole, and goes on in the same stream', async () => {
    const { wal, store, segment, ship, generations } = await scene()
    await wal.append(10)
    await ship()
    await wal.append(10)
    await wal.rotate(true)
    await truncate(segment(0), (await stat(segment(0))).size - 30)
    await wal.append(10)
    expect(await ship()).toMatchObject({ shippedTo: endOf(wal), repositories: [{ ok: true, gaps: [] }] })
    await wal.append(10)
    expect(await ship(120_000)).toMatchObject({ shippedTo: endOf(wal) })
    const [generation, ...others] = await generations()
    expect(others).toEqual([])
    const pieces = await listPieces(store, 'prom-a', { generation: generation?.id ?? '', log: 'wal' })
    expect(chainFrom(pieces, 0)).toMatchObject({ position: wal.last && { segment: wal.last.segment, offset: wal.last.end }, end: { kind: 'end' } })
    const check = await checkStreams({ name: 'primary', store, instances: [], damaged: [] }, 'prom-a', { read: { group: 0, groups: 1 }, signal: new AbortController().signal })
    expect(check.damaged).toEqual([])
  })
})

describe('a segment that ends within a record although another follows', () => {
  it('is waited for, and damage after a minute, to one run as to many', async () => {
    const { wal, segment, ship, generations } = await scene()
    await wal.append(10)
    await ship()
    const { end } = wal.last
    await wal.append(10)
    await truncate(segment(0), end + 20)
    await wal.rotate(false)
    await wal.append(10)
    expect(await ship()).toMatchObject({ shippedTo: `00000000:${end}`, corruption: [] })
    expect(await ship(61_000)).toMatchObject({ shippedTo: `00000000:${end}`, corruption: [{ segment: 0, offset: end, message: expect.stringContaining('although another segment follows') }] })
    expect(await generations()).toHaveLength(1)
  })
})

describe('a log that cannot be read to its end', () => {
  it('is not said to be known up to now', async () => {
    const { wal, segment, ship, heartbeat } = await scene()
    await wal.append(10)
    await ship()
    const before = (await heartbeat())?.at
    expect(before).toEqual(expect.any(Number))
    const { end } = wal.last
    await wal.append(10)
    const file = await open(segment(0), 'r+')
    await file.write(Buffer.from([0xff, 0xff]), 0, 2, end + 20)
    await file.close()
    const startedAtMs = Date.now()
    for (const laterMs of [60_000, 120_000]) {
      expect((await ship(laterMs)).corruption).toHaveLength(1)
      const alive = await heartbeat()
      expect(alive?.knownUntil).toBe(before)
      expect(alive?.at).toBeGreaterThanOrEqual(startedAtMs + laterMs)
    }
  })
})

describe('a log that the disk does not give', () => {
  it('is damaged, with segment and offset, and goes on when it is given again', async () => {
    const { wal, segment, ship, generations } = await scene()
    await wal.append(10)
    await wal.rotate(true)
    await wal.append(10)
    const sector = await badSector(segment(1))
    try {
      const report = await ship()
      expect(report).toMatchObject({ shippedTo: '00000001:0', corruption: [{ segment: 1, offset: 0, message: expect.stringContaining('EIO') }] })
      expect(shipExitCode(report)).toBe(5)
    } finally {
      sector.mend()
    }
    expect(await ship()).toMatchObject({ shippedTo: endOf(wal), corruption: [] })
    expect(await generations()).toHaveLength(1)
  })

  it('fails the pass where what was shipped cannot be compared, and begins no other stream', async () => {
    const { wal, segment, ship, generations } = await scene()
    await wal.append(10)
    await ship()
    const sector = await badSector(segment(0))
    try {
      expect((await ship()).repositories).toMatchObject([{ ok: false, error: { code: 'FILE_SYSTEM', message: expect.stringContaining(segment(0)) } }])
    } finally {
      sector.mend()
    }
    expect(await generations()).toHaveLength(1)
  })
})
