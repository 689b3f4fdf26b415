import { link, mkdir, open, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { keepLog } from '../../../src/operations/ship/log-keeper.ts'
import { LogGrowth } from '../../../src/operations/ship/log-growth.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import type { Clock } from '../../../src/system/clock.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { watchLog } from '../../../src/tsdb/wal-watch.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { noServer, shipOnce, startShipping } from '../../support/shipping.ts'
import { SimulatedWal } from '../../support/simulated-wal.ts'
import { waitFor } from '../../support/wait-for.ts'

/** Longer than any test. */
const intervalMs = 3_600_000
const partBytes = 64 * 1024

async function scene() {
  const dataDir = join(await temporaryDirectory('waking'), 'data')
  const store = createMemoryStore()
  const stored = () => [...store.objects.keys()].filter((key) => /\/wal\/\d{8}\//.test(key)).length
  const start = () => startShipping(noServer, store, { dataDir, settings: { intervalMs, partBytes } })
  return { dataDir, stored, start, wake: () => waitFor(() => stored(), { what: 'the first part' }) }
}

/** Keeps a log for a follower that has shipped nothing of it, with a clock that tells what was waited for and waits little. */
async function keeping(dataDir: string) {
  const waits: number[] = []
  const clock: Clock = {
    ...systemClock,
    async sleep(durationMs, signal) {
      waits.push(durationMs)
      await systemClock.sleep(20, signal)
    },
  }
  const woken: number[] = []
  const stop = new AbortController()
  const follower = { position: () => ({ segment: 0, offset: 0 }), firstNeeded: () => 0, wake: () => void woken.push(waits.length), wokenAt: undefined }
  const running = keepLog({ dataDir, intervalMs: 10_000, partBytes, holdBytes: 0, growth: { wal: new LogGrowth(), wbl: new LogGrowth() }, lost: { wal: 0, wbl: 0 }, unheld: new Map(), clock, logger: silentLogger }, [follower], stop.signal)
  return {
    waits, woken,
    async stop() {
      stop.abort(new Error('over'))
      await expect(running).rejects.toThrow('over')
    },
  }
}

/** A shipper that has sent everything there was, but for a little that came since. */
async function waiting() {
  const { dataDir, stored, start, wake } = await scene()
  const wal = await SimulatedWal.create(dataDir)
  await wal.append(5)
  const running = start()
  await wake()
  const before = stored()
  await wal.append(5)
  return { wal, stored, before, running }
}

describe('a shipper that waits for its interval', () => {
  it('is woken when a whole part was logged, and not before', async () => {
    const { wal, stored, before, running } = await waiting()
    // Nothing happens for so little: what a second look finds is there to be seen by then.
    await waitFor(async () => ((await wal.append(2000)), stored() > before), { what: 'a part', intervalMs: 200 })
    expect(wal.last.end).toBeGreaterThan(partBytes / 2)
    await running.stop()
  })

  it('is woken when a segment was begun, so that the one before can be finished', async () => {
    const { wal, stored, before, running } = await waiting()
    await wal.rotate(true)
    await wal.append(1)
    await waitFor(() => stored() > before, { what: 'the end of the segment' })
    await running.stop()
  })

  it('is woken too where there was no log to be watched when it began', async () => {
    const { dataDir, stored, start } = await scene()
    await mkdir(dataDir)
    const running = start()
    const elsewhere = `${dataDir}-elsewhere`
    const wal = await SimulatedWal.create(elsewhere)
    for (let at = 0; at < 40; at += 1) await wal.append(3000)
    expect(wal.last.end).toBeGreaterThan(partBytes)
    await rename(join(elsewhere, 'wal'), join(dataDir, 'wal'))
    await waitFor(() => stored() > 0, { what: 'the first part' })
    await running.stop()
  })
})

describe('a shipper that catches up', () => {
  it('rests between parts, within its share of the CPU', async () => {
    const { dataDir } = await scene()
    const wal = await SimulatedWal.create(dataDir)
    for (let at = 0; at < 40; at += 1) await wal.append(3000)
    let rests = 0
    const report = await shipOnce(noServer, createMemoryStore(), { dataDir, settings: { partBytes }, cpuLimit: { rest: async () => void (rests += 1) } })
    expect(report).toMatchObject({ shippedTo: `00000000:${wal.last.end}` })
    expect(rests).toBeGreaterThan(0)
  })
})

describe('the keeper of a log', () => {
  it('waits for events, for at most an interval', async () => {
    const dataDir = join(await temporaryDirectory('keeper'), 'data')
    await SimulatedWal.create(dataDir)
    const { waits, stop } = await keeping(dataDir)
    await waitFor(() => waits.length > 6, { what: 'some looks' })
    await stop()
    expect(waits.slice(0, 6)).toEqual([1000, 9000, 1000, 9000, 1000, 9000])
  })

  it('looks every second where the file system was silent about something', async () => {
    const directory = await temporaryDirectory('keeper')
    const dataDir = join(directory, 'data')
    await SimulatedWal.create(dataDir)
    // What is written through another name of the file is told of in that name's directory only.
    await mkdir(join(directory, 'other'))
    await link(join(dataDir, 'wal', '00000000'), join(directory, 'other', 'name'))
    const { waits, woken, stop } = await keeping(dataDir)
    await waitFor(() => waits.length > 3, { what: 'some looks' })
    const file = await open(join(directory, 'other', 'name'), 'a')
    await file.write(Buffer.alloc(2 * partBytes))
    await file.close()
    await waitFor(() => woken.length > 0, { what: 'the wake' })
    const from = waits.length
    await waitFor(() => waits.length > from + 5, { what: 'more looks' })
    await stop()
    expect(waits.slice(from + 1)).toEqual(waits.slice(from + 1).map(() => 1000))
  })

  it('goes on trusting a file system that tells of everything', async () => {
    const dataDir = join(await temporaryDirectory('keeper'), 'data')
    const wal = await SimulatedWal.create(dataDir)
    const { waits, stop } = await keeping(dataDir)
    for (let times = 0; times < 5; times += 1) {
      const from = waits.length
      await wal.append(10)
      await waitFor(() => waits.length > from + 3, { what: 'some looks' })
    }
    const from = waits.length
    await waitFor(() => waits.length > from + 6, { what: 'more looks' })
    await stop()
    expect(waits.slice(from)).toContain(9000)
  })

  it('looks every second where there is nothing to watch', async () => {
    const dataDir = join(await temporaryDirectory('keeper'), 'data')
    await mkdir(dataDir)
    const { waits, stop } = await keeping(dataDir)
    await waitFor(() => waits.length > 5, { what: 'some looks' })
    await stop()
    expect(waits).toEqual(waits.map(() => 1000))
  })

  it('holds a segment at once when it comes, so that nothing is lost when the one before it goes', async () => {
    const dataDir = join(await temporaryDirectory('keeper'), 'data')
    const wal = await SimulatedWal.create(dataDir)
    await wal.append(10)
    // Pauses that never end by themselves: only events make it look.
    const clock: Clock = { ...systemClock, sleep: (_, signal) => systemClock.sleep(3_600_000, signal) }
    const stop = new AbortController()
    const running = keepLog({ dataDir, intervalMs: 10_000, partBytes, holdBytes: 2 ** 30, growth: { wal: new LogGrowth(), wbl: new LogGrowth() }, lost: { wal: 0, wbl: 0 }, unheld: new Map(), clock, logger: silentLogger }, [{ position: () => ({ segment: 0, offset: 0 }), firstNeeded: () => 0, wake: () => undefined, wokenAt: undefined }], stop.signal)
    const held = async () => (await readdir(join(dataDir, '.prom-dr-wal-hold', 'wal')).catch(() => [])).sort()
    await waitFor(async () => (await held()).length === 1, { what: 'the first hold' })
    for (const names of [['00000000', '00000001'], ['00000000', '00000001', '00000002']]) {
      await wal.rotate(true)
      await waitFor(async () => JSON.stringify(await held()) === JSON.stringify(names), { what: `the hold of ${names.at(-1)}` })
    }
    stop.abort(new Error('over'))
    await expect(running).rejects.toThrow('over')
  })

  it('wakes nobody twice who cannot go on', async () => {
    const dataDir = join(await temporaryDirectory('keeper'), 'data')
    const wal = await SimulatedWal.create(dataDir)
    for (let at = 0; at < 40; at += 1) await wal.append(3000)
    const { waits, woken, stop } = await keeping(dataDir)
    await waitFor(() => waits.length > 8, { what: 'some looks' })
    await stop()
    expect(woken).toHaveLength(1)
  })
})

describe('the watch of a log', () => {
  it('tells of what is appended and of new segments, and of nothing when it is closed', async () => {
    const dataDir = join(await temporaryDirectory('watch'), 'data')
    const wal = await SimulatedWal.create(dataDir)
    const watch = watchLog(dataDir, 'wal')
    expect(watch.works).toBe(true)
    await wal.append(1)
    await waitFor(() => watch.takeChange(), { what: 'the event of an append' })
    await wal.rotate(false)
    await waitFor(() => watch.takeChange(), { what: 'the event of a new segment' })
    watch.close()
    expect(watch.works).toBe(false)
  })

  it('says that it does not work where there is no directory', async () => {
    expect(watchLog(await temporaryDirectory('watch'), 'wal').works).toBe(false)
  })
})
