import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { shipExitCode } from '../../src/cli/commands/ship.ts'
import { list } from '../../src/operations/list.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { type TestPrometheus, missingPrograms, remoteWrite, startTestPrometheus, waitFor } from '../support/prometheus.ts'
import { differences, restored, samplesOf } from '../support/shipped-server.ts'
import { shipOnce } from '../support/shipping.ts'

/** A server whose time is written into it: blocks of 10 s are cut as fast as samples come. */
async function simulatedServer(options: { adminApi?: boolean } = {}) {
  const server = await startTestPrometheus({ scrapeItself: false, minBlockDuration: '10s', retention: '10y', ...options })
  const writer = writerTo(server)
  const store = createFileStore({ root: join(await temporaryDirectory('repository'), 'repository') })
  const operations = operationsOn(server.api, store)
  const backUp = ({ repositories }: { repositories: string[] }) => operations.backup({ head: 'always', repositories })
  return { server, store, operations, ...writer, ship: () => shipOnce(server.api, store, { backUp }), points: () => pointsIn(store) }
}

function writerTo({ url, dataDir }: Pick<TestPrometheus, 'url' | 'dataDir'>) {
  let atMs = Date.now() - 3_600_000
  const write = async (seconds: number) => {
    for (let second = 0; second < seconds; second += 1) {
      atMs += 1000
      await remoteWrite(url, Array.from({ length: 5 }, (_, series) => ({ labels: { __name__: 'written', series: String(series) }, samples: [{ timestampMs: atMs, value: Math.sin(atMs * (series + 1)) }] })))
    }
  }
  /** Goes on writing until the segments are gone that a checkpoint stands for. */
  const untilTruncated = () => waitFor(async () => {
    await write(5)
    return access(join(dataDir, 'wal', '00000000')).then(() => false, () => true)
  }, { what: 'a checkpoint' })
  return { write, untilTruncated }
}

async function pointsIn(store: ReturnType<typeof createFileStore>) {
  const report = await list({ repositories: [{ name: 'primary', store }], signal: new AbortController().signal }, { repositories: [] })
  return report.instances[0] ?? { recoveryPoints: [], recoverable: [], gaps: [] }
}

describe.skipIf(missingPrograms('prometheus'))('shipping that stood still for longer than the server keeps its log', () => {
  it('makes a recovery point at once, from which on every moment can be reached again', async () => {
    const { server, operations, write, untilTruncated, ship, points } = await simulatedServer()
    await write(5)
    await ship()
    await operations.backup()
    await untilTruncated()

    const report = await ship()
    expect(report.repositories).toMatchObject([{ ok: true, gaps: [{ reason: expect.stringContaining('00000000') }] }])
    const made = report.backups[0]?.recoveryPoint
    expect(report.backups).toEqual([{ repository: 'primary', ok: true, recoveryPoint: made, reason: expect.stringContaining('gap') }])
    expect(shipExitCode(report)).toBe(0)
    const { recoveryPoints, recoverable, gaps } = await points()
    expect(recoveryPoints.find(({ id }) => id === made)).toMatchObject({ head: 'stored' })
    expect(gaps).toHaveLength(1)
    // Nothing more is needed by the next pass.
    await write(8)
    const next = await ship()
    expect(next).toMatchObject({ backups: [], warnings: [], repositories: [{ gaps: [] }] })
    expect((await points()).recoverable.length).toBeGreaterThanOrEqual(recoverable.length)

    const source = await samplesOf(server.api, { endMs: Date.now() })
    await server.kill()
    await restored(operations, {}, async (api, { stoppedBy }) => {
      expect(stoppedBy).toBe('end')
      expect(differences(source, await samplesOf(api, { endMs: Date.now() }))).toEqual([])
    })
  })

  it('says what stood in the way where it could make none, and goes on shipping', async () => {
    const { write, untilTruncated, ship, points } = await simulatedServer({ adminApi: false })
    await write(5)
    expect(await ship()).toMatchObject({ backups: [], warnings: [expect.stringContaining('prom-dr backup')] })
    await untilTruncated()
    const report = await ship()
    expect(report.backups).toMatchObject([{ ok: false, recoveryPoint: null, error: { code: 'ADMIN_API_DISABLED', hint: expect.any(String) } }])
    expect(shipExitCode(report)).toBe(3)
    expect((await points()).recoveryPoints).toEqual([])
    // It is still needed, and asked for again.
    expect((await ship()).backups).toMatchObject([{ ok: false }])
  })
})
