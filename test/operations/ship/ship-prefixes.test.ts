import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { readWal } from '../../../src/repository/wal-compression.ts'
import { listPieces, readGenerations } from '../../../src/repository/wal-stream.ts'
import { type MemoryStore, createMemoryStore } from '../../../src/stores/memory-store.ts'
import { SegmentReader } from '../../../src/tsdb/wal/segment-reader.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { missingPrograms } from '../../support/prometheus.ts'
import { noServer, shipOnce } from '../../support/shipping.ts'
import { readAsFarAsGood } from '../../support/wal-segments.ts'
import { deleteSeries, startLoggingServer, testedVersion, writeRounds } from '../../support/wal-traffic.ts'

const pageBytes = 32_768

async function shipped(store: MemoryStore): Promise<{ bytes: Buffer; generations: number }> {
  const generations = await readGenerations(store, 'prom-a')
  const chunks: Buffer[] = []
  for (const piece of await listPieces(store, 'prom-a', { generation: generations.at(-1)?.id ?? '', log: 'wal' })) for await (const chunk of readWal(store, piece.key, { length: piece.end - piece.start })) chunks.push(chunk)
  return { bytes: Buffer.concat(chunks), generations: generations.length }
}

describe.skipIf(missingPrograms('prometheus'))('a real log', () => {
  let log: Buffer
  /** Where its records end. */
  const ends: number[] = []

  beforeAll(async () => {
    const server = await startLoggingServer('snappy')
    const startMs = Date.now() - 600_000
    await writeRounds(server.url, { startMs, rounds: 60, version: await testedVersion() })
    await deleteSeries(server.url, '{__name__="wal_test",series="7"}', { startMs, endMs: startMs + 60_000 })
    await server.kill()
    log = await readFile(join(server.dataDir, 'wal', '00000000'))
    new SegmentReader('00000000').push(log, (record) => void ends.push(record.endOffset))
    expect(log.length).toBeGreaterThan(33_000)
  })

  const lastEnd = (length: number) => ends.filter((end) => end <= length).at(-1) ?? 0

  it('is shipped up to its last whole record, however much of it is there, and goes on in one stream', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.oneof(fc.nat(log.length), fc.constantFrom(...ends)), { minLength: 1, maxLength: 6 }), async (lengths) => {
      const dataDir = join(await temporaryDirectory('prefix'), 'data')
      await mkdir(join(dataDir, 'wal'), { recursive: true })
      const path = join(dataDir, 'wal', '00000000')
      await writeFile(path, '')
      const store = createMemoryStore()
      let there = 0
      let begun: number | undefined
      for (const length of [...lengths.sort((a, b) => a - b), log.length]) {
        await appendFile(path, log.subarray(there, length))
        there = Math.max(there, length)
        await shipOnce(noServer, store, { dataDir })
        const { bytes, generations } = await shipped(store)
        expect(bytes.length).toBe(lastEnd(there))
        expect(bytes.equals(log.subarray(0, bytes.length))).toBe(true)
        // Before anything is shipped nothing shows what a later run would go on from.
        if (bytes.length > 0) expect(generations).toBe((begun ??= generations))
      }
      expect((await shipped(store)).bytes.equals(log)).toBe(true)
    }), { numRuns: 40 })
  })

  it('is not read past any bit that flips in it, and what was shipped before that is good', async () => {
    await fc.assert(fc.asyncProperty(fc.nat(log.length - 1), fc.nat(7), async (place, bit) => {
      const flipped = Buffer.from(log)
      flipped[place]! ^= 1 << bit
      const first = ends.find((end) => end > place) ?? log.length
      const before = ends.filter((end) => end <= place).at(-1) ?? 0
      const { end, error } = readAsFarAsGood(flipped)
      // No checksum covers the flags that tell the compression (tsdb/wlog, recType): a record that is read without it is of no known type.
      const isFlag = (bit === 3 || bit === 4) && [0, pageBytes, ...ends].includes(place)
      // A length that grows takes in what follows: then a record is damaged, or not yet whole.
      expect(isFlag || error !== undefined || end?.state === 'torn' || (end?.recordEnd ?? 0) < log.length, `bit ${bit} of byte ${place}, in the record that ends at ${first}`).toBe(true)
      const dataDir = join(await temporaryDirectory('flipped'), 'data')
      await mkdir(join(dataDir, 'wal'), { recursive: true })
      await writeFile(join(dataDir, 'wal', '00000000'), flipped)
      const store = createMemoryStore()
      const report = await shipOnce(noServer, store, { dataDir })
      const { bytes } = await shipped(store)
      if (isFlag && error === undefined && bytes.length > before) {
        expect(report.unknownRecords.length).toBeGreaterThan(0)
        return
      }
      expect(bytes.equals(log.subarray(0, bytes.length))).toBe(true)
      expect(bytes.length).toBeLessThanOrEqual(before)
      if (error !== undefined) expect(report.corruption).toHaveLength(1)
    }), { numRuns: 120, examples: [[0, 3], [0, 4], [0, 0], [4, 1]] })
  })
})
