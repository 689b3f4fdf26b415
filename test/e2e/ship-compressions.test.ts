import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createFileStore } from '../../src/stores/file-store.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn } from '../support/operations.ts'
import { type TestPrometheus, missingPrograms, waitFor } from '../support/prometheus.ts'
import { shippingOf } from '../support/shipped-server.ts'
import { answersText } from '../support/wal-model.ts'
import { answersOf, compressionsOf, deleteSeries, exemplarsOf, histogramsOf, type ServerCompression, startLoggingServer, testedVersion, writeOutOfOrder, writeRounds } from '../support/wal-traffic.ts'

const skipped = missingPrograms('prometheus')
const version = skipped ? undefined : await testedVersion()

/** What a server says about everything that `writeRounds` wrote, up to a moment. */
async function everythingOf(server: TestPrometheus, atMs: number): Promise<{ floats: string; histograms: string; exemplars: string[] }> {
  const range = { startMs: atMs - 3_600_000, endMs: atMs }
  return { floats: answersText(await answersOf(server, range)), histograms: await histogramsOf(server, atMs), exemplars: (await exemplarsOf(server.url, range)).map(({ text }) => text) }
}

describe.skipIf(skipped).each<ServerCompression>(version === undefined ? ['snappy'] : compressionsOf(version))('a shipped log with compression %s', (compression) => {
  it('comes back with its native histograms, exemplars, late samples and deletions, whole and at a moment', async () => {
    const server = await startLoggingServer(compression)
    const store = createFileStore({ root: join(await temporaryDirectory('repository'), 'repository') })
    const operations = operationsOn(server.api, store)
    const { shipOnce } = shippingOf(server, store)
    const round = async (firstRound: number) => {
      // Some of its samples are up to 28 ms earlier.
      const startMs = Date.now() + 100
      await waitFor(() => Date.now() >= startMs, { what: 'the round' })
      await writeRounds(server.url, { startMs, rounds: 1, version: version!, firstRound })
      await shipOnce()
    }
    await round(0)
    await operations.backup()
    for (let at = 1; at < 6; at += 1) await round(at)
    await writeOutOfOrder(server.url, Date.now() - 600_000)
    const momentMs = Date.now()
    const atMoment = await everythingOf(server, momentMs)
    for (let at = 6; at < 9; at += 1) await round(at)
    await deleteSeries(server.url, '{__name__="wal_test",series=~"7|8"}', { startMs: momentMs - 3_600_000, endMs: Date.now() })
    for (let at = 9; at < 12; at += 1) await round(at)
    const endMs = Date.now()
    const atEnd = await everythingOf(server, endMs)
    await server.kill()
    for (const { exemplars } of [atMoment, atEnd]) expect(exemplars.length).toBeGreaterThan(4)
    expect(atEnd.floats.split('\n').length).toBe(60)

    const whole = await restoredServer({ kind: 'latest' })
    expect(await everythingOf(whole, endMs)).toEqual(atEnd)
    await whole.kill()
    const then = await restoredServer({ kind: 'time', ms: momentMs })
    expect(await everythingOf(then, momentMs)).toEqual(atMoment)
    // Nothing is later than the moment.
    expect(await everythingOf(then, endMs)).toMatchObject({ floats: atMoment.floats, exemplars: atMoment.exemplars })
    await then.kill()

    async function restoredServer(at: { kind: 'latest' } | { kind: 'time'; ms: number }): Promise<TestPrometheus> {
      const dataDir = join(await temporaryDirectory('target'), 'data')
      const report = await operations.restore(dataDir, { at, start: false })
      // The out-of-order window is longer than what was logged after the moment.
      expect(report.warnings.filter((warning) => !warning.startsWith('the log is known up to'))).toEqual([])
      return startLoggingServer(compression, { dataDir })
    }
  })
})
