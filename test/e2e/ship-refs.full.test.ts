import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { systemCode } from '../../src/errors.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { decodeRecord } from '../../src/tsdb/wal/record-codec.ts'
import { SegmentReader } from '../../src/tsdb/wal/segment-reader.ts'
import { listPieces, readGenerations } from '../../src/repository/wal-stream.ts'
import { readLocalLog } from '../../src/tsdb/wal-source.ts'
import { missingPrograms, remoteWrite, startTestPrometheus, waitFor } from '../support/prometheus.ts'
import { restored, samplesOf } from '../support/shipped-server.ts'
import { startShipping } from '../support/shipping.ts'
import { startWrittenServer } from '../support/written-server.ts'

const config = { storage: { tsdb: { out_of_order_time_window: '10m' } } }

/** The refs that a log has declared for a series, by the value of its label `name`. */
async function refsOf(wal: string, name: string): Promise<number[]> {
  for (;;) {
    const refs = await refsIn(wal, name).catch((error: unknown) => {
      // The server removed a file while it was looked at: what was in it may be in a checkpoint that was not listed.
      if (systemCode(error) === 'ENOENT') return undefined
      throw error
    })
    if (refs !== undefined) return refs
  }
}

async function refsIn(wal: string, name: string): Promise<number[]> {
  const refs: number[] = []
  for (const entry of await readdir(wal, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    new SegmentReader(path).push(await readFile(path), (record) => {
      const content = decodeRecord(record.content(), record)
      if (content.type === 'series') refs.push(...content.series.filter(({ labels }) => labels.some(([label, value]) => label === 'name' && value === name)).map(({ ref }) => ref))
    })
  }
  return refs
}

/** Waits until all of the out-of-order log is stored. */
async function shippedBeside(store: ObjectStore, dataDir: string): Promise<void> {
  await waitFor(async () => {
    const generation = (await readGenerations(store, 'prom-a')).at(-1)?.id ?? ''
    const local = (await readLocalLog(dataDir, 'wbl')).segments.at(-1)
    const pieces = await listPieces(store, 'prom-a', { generation, log: 'wbl' })
    return local !== undefined && (local.sizeBytes === 0 || pieces.some(({ segment, end }) => segment === local.number && end === local.sizeBytes))
  }, { what: 'the out-of-order log', timeoutMs: 120_000 })
}

describe.skipIf(missingPrograms('prometheus'))('a ref that a server gives to another series after a restart', () => {
  it('stands in the out-of-order log for the series that had it when it was logged', async () => {
    const { server, store, operations, write, settle, ship } = await startWrittenServer({ config })
    const wal = join(server.dataDir, 'wal')
    const startMs = Date.now() - 3_600_000
    const push = (url: string, name: string, ...timesMs: number[]) => remoteWrite(url, [{ labels: { __name__: 'late', name }, samples: timesMs.map((timestampMs) => ({ timestampMs, value: timestampMs - startMs })) }])
    await write(3)
    await ship()
    await operations.backup()
    // Goes on through the restart, and holds what the server removes meanwhile: it looks every second, and slower than that blocks are cut here.
    const shipping = startShipping(server.api, store, { settings: { intervalMs: 1000 } })
    // The newest series of the server: its ref is free again when it is gone.
    await push(server.url, 'gone', startMs + 3000)
    await push(server.url, 'gone', startMs + 1000)
    const [ref, ...others] = await refsOf(wal, 'gone')
    expect(others).toEqual([])
    await shippedBeside(store, server.dataDir)
    await waitFor(async () => {
      await write(8)
      await settle()
      return (await refsOf(wal, 'gone')).length === 0
    }, { what: 'the end of the series', timeoutMs: 300_000, intervalMs: 3000 })
    await server.kill()

    const again = await startTestPrometheus({ scrapeItself: false, minBlockDuration: '10s', retention: '10y', config, dataDir: server.dataDir })
    const newMs = startMs + 3_000_000
    await push(again.url, 'new', newMs + 5000)
    expect(await refsOf(wal, 'new'), 'the server gives the ref to another series').toEqual([ref])
    for (let late = 4; late > 0; late -= 1) {
      await push(again.url, 'new', newMs + late * 1000)
      await shippedBeside(store, server.dataDir)
    }
    expect(await shipping.stop()).toMatchObject({ repositories: [{ ok: true, gaps: [] }] })
    await again.kill()

    await restored(operations, {}, async (api, report) => {
      const found = await samplesOf(api, { endMs: Date.now() })
      const timesOf = (name: string) => [...found].filter(([labels]) => labels.includes(`"${name}"`)).flatMap(([, samples]) => [...samples.keys()].map((timeMs) => timeMs - startMs)).sort((a, b) => a - b)
      expect(timesOf('gone')).toEqual([1000, 3000])
      // The first of them were logged about when the ref got its new meaning.
      const ofNew = timesOf('new')
      expect(ofNew).toEqual([3_001_000, 3_002_000, 3_003_000, 3_004_000, 3_005_000].filter((time) => ofNew.includes(time)))
      expect(ofNew).toContain(3_001_000)
      const left = 5 - ofNew.length
      expect(report.warnings.filter((warning) => warning.includes('out-of-order samples were left out'))).toEqual(left === 0 ? [] : [expect.stringMatching(`^${left} `)])
    })
  })
})
