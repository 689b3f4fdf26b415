import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { lateBlocksSince } from '../../src/operations/ship/late-blocks.ts'
import { missingPrograms, remoteWrite, waitFor } from '../support/prometheus.ts'
import { differences, restored, samplesOf } from '../support/shipped-server.ts'
import { startShipping } from '../support/shipping.ts'
import { startWrittenServer } from '../support/written-server.ts'

const config = { storage: { tsdb: { out_of_order_time_window: '30m' } } }

async function startLateServer() {
  const written = await startWrittenServer({ config })
  const { server, write, settle } = written
  const newestBeside = async () => Math.max(...(await readdir(join(server.dataDir, 'wbl'))).map(Number))
  await write(5)
  return {
    ...written,
    /** The second of two samples is late, whatever the server has. */
    async writeLate(timestampMs: number, value: number) {
      for (const ms of [timestampMs + 500, timestampMs]) await remoteWrite(server.url, [{ labels: { __name__: 'late', value: String(value) }, samples: [{ timestampMs: ms, value }] }])
    },
    /** The server begins a new segment of the out-of-order log with each block that it cuts, and removes those before it. */
    async untilRemoved() {
      const number = await newestBeside()
      const sinceMs = Date.now()
      await waitFor(async () => {
        await write(1)
        await settle()
        return (await newestBeside()) > number
      }, { what: 'a new segment of the out-of-order log', intervalMs: 200 })
      return { late: async () => (await lateBlocksSince(server.dataDir, sinceMs)) !== undefined, removed: async () => !(await readdir(join(server.dataDir, 'wbl'))).map(Number).includes(number) }
    },
  }
}

describe.skipIf(missingPrograms('prometheus'))('samples that went from the out-of-order log into a block', () => {
  it('are no gap where one run of ship held that log for the next, which reads it to its end', async () => {
    const { server, operations, ship, samples, writeLate, untilRemoved } = await startLateServer()
    await operations.backup()
    const lateMs = Date.now() - 3_600_000 - 120_000
    await writeLate(lateMs, 1)
    expect(await ship()).toMatchObject({ backups: [], repositories: [{ gaps: [] }] })
    await writeLate(lateMs + 5000, 2)
    const { late, removed } = await untilRemoved()
    await waitFor(async () => (await late()) && (await removed()), { what: 'the block of the late samples' })
    expect(await ship()).toMatchObject({ backups: [], warnings: [], repositories: [{ ok: true, gaps: [] }] })
    const source = await samples()
    await server.kill()
    await restored(operations, {}, async (api) => expect(differences(source, await samplesOf(api, { endMs: Date.now() }))).toEqual([]))
  })

  it('are told of as a gap where that log came and went between two runs, and come back with the recovery point that is made at once', async () => {
    const { server, operations, ship, samples, write, writeLate, untilRemoved } = await startLateServer()
    await operations.backup()
    await ship()
    await waitFor((await untilRemoved()).removed, { what: 'the end of the first segment of the out-of-order log' })
    const lateMs = Date.now() - 3_600_000 - 120_000
    await writeLate(lateMs, 1)
    const { late, removed } = await untilRemoved()
    await waitFor(async () => (await late()) && (await removed()), { what: 'the block of the late samples' })

    const report = await ship()
    expect(report.repositories).toMatchObject([{ ok: true, gaps: [{ reason: expect.stringContaining('out-of-order') }] }])
    const gap = report.repositories[0]?.gaps[0]
    expect(Date.parse(gap?.from ?? '')).toBeLessThanOrEqual(lateMs)
    expect(Date.parse(gap?.to ?? '')).toBeGreaterThan(lateMs)
    expect(report.backups).toMatchObject([{ ok: true, reason: expect.stringContaining('out-of-order') }])
    // It is there now, and is not told of again.
    await write(3)
    expect(await ship()).toMatchObject({ backups: [], warnings: [], repositories: [{ gaps: [] }] })

    const source = await samples()
    await server.kill()
    await restored(operations, {}, async (api) => expect(differences(source, await samplesOf(api, { endMs: Date.now() }))).toEqual([]))
  })

  it('are no gap while a shipper runs', async () => {
    const { server, store, operations, samples, writeLate, untilRemoved } = await startLateServer()
    await operations.backup()
    const shipping = startShipping(server.api, store, { settings: { intervalMs: 500 } })
    const lateMs = Date.now() - 3_600_000 - 120_000
    await writeLate(lateMs, 1)
    await waitFor(async () => {
      for await (const { key } of store.list('instances/prom-a/wal/')) if (key.includes('/wbl/')) return true
      return false
    }, { what: 'the out-of-order log in the repository' })
    await writeLate(lateMs + 5000, 2)
    const { late } = await untilRemoved()
    await waitFor(late, { what: 'the block of the late samples' })
    const source = await samples()
    expect(await shipping.stop()).toMatchObject({ backups: [], repositories: [{ ok: true, gaps: [] }] })
    await server.kill()
    await restored(operations, {}, async (api) => expect(differences(source, await samplesOf(api, { endMs: Date.now() }))).toEqual([]))
  })
})
