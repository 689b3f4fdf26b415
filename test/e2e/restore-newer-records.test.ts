import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { parsePrometheusVersion } from '../../src/domain/prometheus-version.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { encodeRecord } from '../../src/tsdb/wal/record-codec.ts'
import { WalWriter } from '../../src/tsdb/wal/wal-writer.ts'
import { temporaryDirectory } from '../support/cleanup.ts'
import { operationsOn, rejectionOf } from '../support/operations.ts'
import { type TestPrometheus, missingPrograms, startTestPrometheus, waitForSamples } from '../support/prometheus.ts'
import { shipOnce } from '../support/shipping.ts'
import { histogramOf } from '../support/wal-traffic.ts'

/** A server that was upgraded since its last backup: only its log is of the newer version. */
describe.skipIf(missingPrograms('prometheus'))('a log with records that an older server does not know', () => {
  let root: string
  let server: TestPrometheus
  let beforeMs: number

  beforeAll(async () => {
    server = await startTestPrometheus({ scrapeInterval: '500ms' })
    root = join(await temporaryDirectory('repository'), 'repository')
    const store = createFileStore({ root })
    await waitForSamples(server, 'up', 2)
    await operationsOn(server.api, store).backup()
    await waitForSamples(server, 'up', 4)
    await shipOnce(server.api, store)
    beforeMs = Date.now()
    await server.kill()
    const numbers = (await readdir(join(server.dataDir, 'wal'))).filter((name) => /^\d{8}$/.test(name)).map(Number)
    const writer = new WalWriter(join(server.dataDir, 'wal'), { firstSegment: Math.max(...numbers) + 1 })
    const timestampMs = beforeMs + 10
    await writer.append(encodeRecord({ type: 'series', series: [{ ref: 999_999, labels: [['__name__', 'newer']] }] }))
    await writer.append(encodeRecord({ type: 'customBucketHistograms', histograms: [{ ref: 999_999, timestampMs, startTimestampMs: 0, histogram: histogramOf('custom', 1) }] }))
    await writer.close()
    // Some time later, so that what was logged before is known to have been.
    const later = new Date(beforeMs + 60_000)
    await shipOnce(server.api, store, { dataDir: server.dataDir, clock: { now: () => later, monotonicMs: () => performance.now(), sleep: async () => undefined } })
  })

  function restoreOn(version: string, target: string, at?: number) {
    const localVersion = parsePrometheusVersion(version)
    if (localVersion === undefined) throw new Error(version)
    return operationsOn(server.api, createFileStore({ root }), { localVersion }).restore(target, { start: false, ...(at !== undefined && { at: { kind: 'time', ms: at } }) })
  }

  it('is refused on it with the versions named, and leaves nothing behind', async () => {
    const target = join(await temporaryDirectory('target'), 'data')
    const refused = await rejectionOf(restoreOn('2.53.3', target))
    expect(refused).toMatchObject({ code: 'PREFLIGHT_REFUSED', message: expect.stringMatching(/histograms with custom buckets \(known since Prometheus 3\.1\), which Prometheus 2\.53\.3 on this host would leave out; the data is of \d/), hint: 'install Prometheus 3.1 or newer on this host' })
    expect(await readdir(target)).toEqual([])
  })

  it('is restored on one that knows them', async () => {
    const target = join(await temporaryDirectory('target'), 'data')
    expect(await restoreOn('3.5.0', target)).toMatchObject({ stoppedBy: 'end', recoverableAt: new Date(beforeMs + 10).toISOString() })
    expect(await readdir(join(target, 'wal'))).toEqual(['00000000'])
  })

  it('is restored on the older one to a moment before them', async () => {
    const target = join(await temporaryDirectory('target'), 'data')
    expect(await restoreOn('2.53.3', target, beforeMs - 400)).toMatchObject({ stoppedBy: 'moment' })
  })
})
