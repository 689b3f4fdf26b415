import { mkdir, readFile, readdir, rename, stat, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { shipExitCode } from '../../../src/cli/commands/ship.ts'
import { PromDrError } from '../../../src/errors.ts'
import { type Metric, type MetricsFile, openMetricsFile } from '../../../src/integrations/node-exporter/metrics-file.ts'
import { MetricsWriter } from '../../../src/operations/ship/metrics-writer.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { type Logger, silentLogger } from '../../../src/system/logger.ts'
import { thisProcess } from '../../../src/system/machine.ts'
import { createManualClock } from '../../fakes/manual-clock.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { noServer, shipOnce, startShipping } from '../../support/shipping.ts'
import { SimulatedWal } from '../../support/simulated-wal.ts'
import { waitFor } from '../../support/wait-for.ts'

const otherProcess = { ...thisProcess(), pid: 1 }

/** Keeps what is logged. */
function listener(): { logger: Logger; said: (message: string) => number } {
  const messages: string[] = []
  const note = ((_: unknown, message: string) => void messages.push(message)) as Logger['info']
  return { logger: { ...silentLogger, debug: () => undefined, trace: () => undefined, info: note, warn: note, error: note }, said: (part) => messages.filter((message) => message.includes(part)).length }
}

function level(value: number): Metric[] {
  return [{ name: 'level', help: 'How high.', type: 'gauge', labels: [], samples: [{ labels: {}, value }] }]
}

async function scene() {
  const directory = await temporaryDirectory('metrics-writer')
  const wal = await SimulatedWal.create(join(directory, 'data'))
  await wal.append(10)
  const folder = join(directory, 'textfile')
  await mkdir(folder)
  const path = join(folder, 'ship.prom')
  const valueOf = async (sample: string) => {
    const line = (await readFile(path, 'utf8')).split('\n').find((one) => one.startsWith(`prom_dr_ship_${sample}`))
    return line === undefined ? undefined : Number(line.split(' ').at(-1))
  }
  return { wal, folder, path, valueOf, metricsFile: await openMetricsFile(path), store: createMemoryStore() }
}

describe('the writer of metrics', () => {
  it('writes one at a time, and after it the newest of what came meanwhile', async () => {
    const written: number[] = []
    let state = 0
    let release = () => undefined as void
    const file: MetricsFile = {
      path: '/x.prom',
      async write([metric]) {
        written.push(metric?.samples[0]?.value ?? Number.NaN)
        await new Promise<void>((resolve) => (release = resolve))
      },
    }
    const writer = new MetricsWriter({ metricsFile: file, clock: createManualClock(), logger: silentLogger }, () => level((state += 1)))
    for (let count = 0; count < 5; count += 1) writer.notice()
    expect(written).toEqual([1])
    const closed = writer.close()
    release()
    await waitFor(() => written.length === 2)
    release()
    await closed
    expect(written).toEqual([1, 2])
  })

  it('tells once that it cannot write, whatever the reason, and once that it can again', async () => {
    const { logger, said } = listener()
    let failure: Error | undefined = new PromDrError('DISK_FULL', 'no space')
    const writer = new MetricsWriter({ metricsFile: { path: '/x.prom', write: async () => { if (failure !== undefined) throw failure } }, clock: createManualClock(), logger }, () => level(1))
    for (const next of [failure, new TypeError('of another kind'), undefined, undefined, new PromDrError('FILE_SYSTEM', 'gone')]) {
      failure = next
      await writer.close()
    }
    expect(said('could not be written')).toBe(2)
    expect(said('written again')).toBe(1)
  })

  it('writes at every interval, until it is interrupted', async () => {
    const slept = new Set<number>()
    const clock = {
      sleep: (durationMs: number, signal?: AbortSignal) => {
        slept.add(durationMs)
        return new Promise<void>((resolve, reject) => setImmediate(() => (signal?.aborted ? reject(signal.reason) : resolve())))
      },
    }
    const interrupt = new AbortController()
    let written = 0
    const writer = new MetricsWriter({ metricsFile: { path: '/x.prom', write: async () => void (written += 1) }, clock, logger: silentLogger }, () => level(1))
    const running = writer.writeAgainAndAgain(10_000, interrupt.signal)
    await waitFor(() => written >= 3)
    interrupt.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
    expect([...slept]).toEqual([10_000])
  })
})

describe('shipping with a metrics file', () => {
  it('goes on while the directory is gone, and writes again once it is back', async () => {
    const { wal, folder, path, valueOf, metricsFile, store } = await scene()
    const { logger, said } = listener()
    const running = startShipping(noServer, store, { dataDir: wal.dataDir, metricsFile, logger, settings: { intervalMs: 1000 } })
    await waitFor(async () => (await valueOf('shipped_parts_total')) === 1, { what: 'the first part' })
    await rename(folder, `${folder}-away`)
    const before = store.objects.size
    await wal.append(10)
    await waitFor(() => store.objects.size > before && said('could not be written') > 0, { what: 'a part that is shipped without metrics' })
    await mkdir(folder)
    await writeFile(`${path}.tmp`, 'half')
    await waitFor(async () => ((await valueOf('shipped_parts_total')) ?? 0) > 1, { what: 'the second part' })
    expect(said('could not be written')).toBe(1)
    expect(said('written again')).toBe(1)
    const { parts, repositories } = await running.stop()
    expect(repositories).toMatchObject([{ ok: true }])
    expect(await valueOf('shipped_parts_total')).toBe(parts)
    expect(await readdir(folder)).toEqual(['ship.prom'])
  })

  it('waits for no write that hangs, and at its end for five seconds', async () => {
    const { wal, store } = await scene()
    let asked = 0
    const metricsFile: MetricsFile = {
      path: '/stuck.prom',
      write: () => {
        asked += 1
        return new Promise(() => undefined)
      },
    }
    const running = startShipping(noServer, store, { dataDir: wal.dataDir, metricsFile, settings: { intervalMs: 1000 } })
    await waitFor(() => asked === 1, { what: 'the first write' })
    for (let round = 0; round < 3; round += 1) {
      const before = store.objects.size
      await wal.append(10)
      await waitFor(() => store.objects.size > before, { what: `part ${round}` })
    }
    expect(asked).toBe(1)
    expect(await running.stop()).toMatchObject({ repositories: [{ ok: true }] })
  })

  it('tells the failures of one repository beside the success of another', async () => {
    const { wal, valueOf, metricsFile, store } = await scene()
    const refuse = () => Promise.reject(new PromDrError('STORE_DENIED', 'no entry'))
    const closed = { ...createMemoryStore(), get: refuse, head: refuse, create: refuse, put: refuse }
    await shipOnce(noServer, [{ name: 'open', store }, { name: 'closed', store: closed }], { dataDir: wal.dataDir, metricsFile })
    expect(await valueOf('last_pass_success{server="prom-a",repository="open"}')).toBe(1)
    expect(await valueOf('last_pass_success{server="prom-a",repository="closed"}')).toBe(0)
    expect(await valueOf('failures_total{server="prom-a",repository="closed",code="STORE_DENIED"}')).toBe(1)
    expect(await valueOf('last_success_timestamp_seconds{server="prom-a",repository="closed"}')).toBe(0)
  })

  it('has the place at which a checkpoint of the server is damaged, which fails the pass after the tails', async () => {
    const { wal, valueOf, metricsFile, store } = await scene()
    const ship = () => shipOnce(noServer, store, { dataDir: wal.dataDir, metricsFile })
    await ship()
    for (let round = 0; round < 4; round += 1) {
      await wal.append(10)
      await wal.rotate(true)
    }
    await ship()
    await wal.truncate(2)
    const directory = join(wal.dataDir, 'wal')
    const checkpoint = (await readdir(directory)).find((name) => name.startsWith('checkpoint.')) ?? 'none'
    const file = join(directory, checkpoint, '00000000')
    const good = await readFile(file)
    await writeFile(file, Buffer.concat([good.subarray(0, 8), Buffer.from([(good[8] ?? 0) ^ 0xff]), good.subarray(9)]))
    const report = await ship()
    expect(report.repositories).toMatchObject([{ ok: false, error: { code: 'DAMAGED' } }])
    expect(report.corruption).toMatchObject([{ path: file, segment: 0, offset: 0 }])
    expect(shipExitCode(report)).toBe(5)
    expect(await valueOf('log_corruptions_total{server="prom-a",log="checkpoint"}')).toBe(1)
    expect(await valueOf('log_corruptions_total{server="prom-a",log="wal"}')).toBe(0)
    expect(await valueOf('log_damaged')).toBe(1)
    await writeFile(file, good)
    expect(await ship()).toMatchObject({ corruption: [], repositories: [{ ok: true }] })
    expect(await valueOf('log_damaged')).toBe(0)
  })

  it('keeps what was found when the repository fails, and counts it once', async () => {
    const { wal, valueOf, metricsFile, store } = await scene()
    const before = wal.last.end
    await shipOnce(noServer, store, { dataDir: wal.dataDir, metricsFile })
    await wal.append(10)
    const segment = join(wal.dataDir, 'wal', String(wal.last.segment).padStart(8, '0'))
    const bytes = await readFile(segment)
    bytes[before + 8] = (bytes[before + 8] ?? 0) ^ 0xff
    await writeFile(segment, bytes)
    let away = false
    const put: typeof store.put = (...args) => (away ? Promise.reject(new PromDrError('STORE_UNREACHABLE', 'away')) : store.put(...args))
    const running = startShipping(noServer, { ...store, put }, { dataDir: wal.dataDir, metricsFile, settings: { intervalMs: 1000 } })
    const corruptions = 'log_corruptions_total{server="prom-a",log="wal"}'
    await waitFor(async () => (await valueOf(corruptions)) === 1, { what: 'the damage' })
    away = true
    await waitFor(async () => ((await valueOf('failures_total{server="prom-a",repository="primary",code="STORE_UNREACHABLE"}')) ?? 0) > 1, { what: 'an outage' })
    expect(await valueOf(corruptions)).toBe(1)
    expect(await valueOf('log_damaged')).toBe(1)
    away = false
    await waitFor(async () => (await valueOf('last_pass_success')) === 1, { what: 'the end of the outage' })
    expect(await valueOf(corruptions)).toBe(1)
    expect((await running.stop()).corruption).toMatchObject([{ path: segment, offset: before }])
  })

  it('counts a gap although the pass that found it failed, and the next finds none', async () => {
    const { wal, valueOf, metricsFile, store } = await scene()
    let away = false
    const put: typeof store.put = (...args) => (away && args[0].endsWith('heartbeat.json') ? Promise.reject(new PromDrError('STORE_UNREACHABLE', 'away')) : store.put(...args))
    const ship = () => shipOnce(noServer, { ...store, put }, { dataDir: wal.dataDir, metricsFile })
    await ship()
    expect(await valueOf('gaps_total')).toBe(0)
    expect(await valueOf('last_gap_found_timestamp_seconds')).toBe(0)
    for (let at = 0; at < 3; at += 1) {
      await wal.rotate(true)
      await wal.append(10)
    }
    for (const number of [0, 1]) await unlink(join(wal.dataDir, 'wal', String(number).padStart(8, '0')))
    away = true
    expect((await ship()).repositories).toMatchObject([{ ok: false, gaps: [{ reason: expect.stringContaining('00000000') }] }])
    expect(await valueOf('gaps_total')).toBe(1)
    expect(await valueOf('last_gap_found_timestamp_seconds')).toBeGreaterThanOrEqual(await valueOf('start_time_seconds') ?? Infinity)
    expect(await valueOf('last_pass_success')).toBe(0)
    away = false
    expect((await ship()).repositories).toMatchObject([{ ok: true, gaps: [] }])
  })

  it('counts segments that were let go while the repository was away', async () => {
    const { wal, valueOf, metricsFile, store } = await scene()
    let away = false
    const create: typeof store.create = (...args) => (away ? Promise.reject(new PromDrError('STORE_UNREACHABLE', 'away')) : store.create(...args))
    const running = startShipping(noServer, { ...store, create }, { dataDir: wal.dataDir, metricsFile, settings: { intervalMs: 1000, holdBytes: 0 } })
    const lost = 'lost_segments_total{server="prom-a",log="wal"}'
    await waitFor(async () => (await valueOf('shipped_parts_total')) === 1, { what: 'the first part' })
    expect(await valueOf(lost)).toBe(0)
    away = true
    await wal.append(10)
    await wal.rotate(true)
    await wal.append(10)
    const segment = (number: number) => join(wal.dataDir, 'wal', String(number).padStart(8, '0'))
    // The one after it too: what is held and live shows that the held ones are of this log.
    await waitFor(async () => (await Promise.all([0, 1].map((number) => stat(segment(number))))).every(({ nlink }) => nlink > 1), { what: 'the segments to be held' })
    await unlink(segment(0))
    await waitFor(async () => (await valueOf(lost)) === 1, { what: 'the loss' })
    away = false
    await waitFor(async () => (await valueOf('gaps_total')) === 1, { what: 'the gap' })
    expect((await running.stop()).repositories).toMatchObject([{ ok: true, gaps: [{ reason: expect.stringContaining('00000000') }] }])
  })

  it('leaves the file to the one that ships, where it ships nothing itself', async () => {
    const { wal, path, valueOf, metricsFile, store } = await scene()
    const running = startShipping(noServer, store, { dataDir: wal.dataDir, metricsFile, settings: { intervalMs: 3_600_000 } })
    await waitFor(async () => (await valueOf('shipped_parts_total')) === 1, { what: 'the first part' })
    const written = await readFile(path, 'utf8')
    await expect(shipOnce(noServer, store, { dataDir: wal.dataDir, metricsFile, self: otherProcess })).rejects.toMatchObject({ code: 'LOCKED' })
    expect(await readFile(path, 'utf8')).toBe(written)
    await running.stop()
  })

  it('counts what it was refused for, and says so to the last', async () => {
    const { wal, valueOf, metricsFile, store } = await scene()
    await shipOnce(noServer, store, { dataDir: wal.dataDir, metricsFile })
    await expect(shipOnce(noServer, store, { dataDir: wal.dataDir, metricsFile, self: { ...otherProcess, machineId: 'another' } })).rejects.toMatchObject({ code: 'INSTANCE_TAKEN' })
    expect(await valueOf('failures_total{server="prom-a",repository="primary",code="INSTANCE_TAKEN"}')).toBe(1)
    expect(await valueOf('last_pass_success')).toBe(0)
  })
})
