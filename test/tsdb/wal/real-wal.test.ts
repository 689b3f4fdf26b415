import { cp, mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isAtLeast } from '../../../src/domain/prometheus-version.ts'
import { type CutCounts, RecordCutter } from '../../../src/tsdb/wal/cut-record.ts'
import { encodeRecord } from '../../../src/tsdb/wal/record-codec.ts'
import { SegmentReader } from '../../../src/tsdb/wal/segment-reader.ts'
import { listWalDirectory } from '../../../src/tsdb/wal/wal-directory.ts'
import { WalWriter, type WalWriterOptions } from '../../../src/tsdb/wal/wal-writer.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { missingPrograms, waitFor, waitForSamples } from '../../support/prometheus.ts'
import { answersText, encodedOtherwise, type LoggedRecord, readLog, refsOf, replay, seriesKey } from '../../support/wal-model.ts'
import { answersOf, compressionsOf, deleteSeries, exemplarsOf, histogramOf, histogramsOf, type ServerCompression, startLoggingServer, testedVersion, writeOutOfOrder, writeRounds } from '../../support/wal-traffic.ts'

const startMs = Math.floor(Date.now() / 60_000) * 60_000 - 20 * 60_000
const wholeRange = { startMs: startMs - 3_600_000, endMs: startMs + 7_200_000 }
const skipped = missingPrograms('prometheus')
const version = skipped ? undefined : await testedVersion()
const compressions = version === undefined ? [] : compressionsOf(version)

/** Everything a server can log, then SIGKILL. What it answered is kept. */
async function loggedAndKilled(compression: ServerCompression) {
  // Scraping itself, it logs metadata (newer ones) and all that it exports; its first scrape takes 5 s to come.
  const scrapeItself = compression === 'snappy'
  const server = await startLoggingServer(compression, { scrapeItself })
  await writeRounds(server.url, { startMs, rounds: 20, version: version! })
  await writeOutOfOrder(server.url, startMs - 300_000)
  await deleteSeries(server.url, '{__name__="wal_test",series=~"7|8"}', { startMs: startMs + 20_000, endMs: startMs + 90_000 })
  await writeRounds(server.url, { startMs: startMs + 200_000, rounds: 20, version: version! })
  const cutMs = startMs + 299_990
  if (scrapeItself) await waitForSamples(server, 'up', 1)
  const answered = {
    floats: await answersOf(server, wholeRange),
    histograms: await histogramsOf(server, cutMs),
    exemplars: await exemplarsOf(server.url, wholeRange),
  }
  await server.kill()
  const wal = await listWalDirectory(join(server.dataDir, 'wal'), 'wal')
  const wbl = await listWalDirectory(join(server.dataDir, 'wbl'), 'wbl')
  return { dataDir: server.dataDir, cutMs, answered, wal, wbl }
}

async function writeLog(directory: string, contents: readonly Uint8Array[], options: WalWriterOptions): Promise<void> {
  const writer = new WalWriter(directory, options)
  for (const content of contents) await writer.append(content)
  await writer.close()
}

function cutAll(records: readonly LoggedRecord[], atMs: number): { contents: Uint8Array[]; counts: CutCounts } {
  const cutter = new RecordCutter({ atMs, tombstone: (tombstone) => tombstone, unknown: 'drop', mmapMarkers: 'drop' })
  const contents = records.flatMap(({ content }) => cutter.cut(content, { file: 'wal', startOffset: 0 }) ?? [])
  return { contents, counts: cutter.counts }
}

describe.skipIf(skipped).each(compressions)('the log of a killed server, compression %s', (compression) => {
  it('is read whole, written again byte for byte, and cut at a moment replays to exactly what there was', async () => {
    const { cutMs, answered, wal, wbl } = await loggedAndKilled(compression)
    expect([wal.gaps, wal.checkpoints, wbl.gaps]).toEqual([[], [], []])
    const [logged, outOfOrder] = [await readLog(wal.segments), await readLog(wbl.segments)]

    // Every record type that this version writes is there, and decodes to what the server was told.
    const types = new Set([...logged.records, ...outOfOrder.records].map(({ record }) => record.type))
    const expected = ['series', 'samples', 'tombstones', 'exemplars', 'mmapMarkers', 'histograms', 'floatHistograms', ...(isAtLeast(version!, 3, 0) ? ['customBucketHistograms', ...(compression === 'snappy' ? ['metadata'] : [])] : [])]
    expect([...types]).toEqual(expect.arrayContaining(expected))
    expect(types).not.toContain('unknown')
    expect(logged.compressions.has(compression)).toBe(true)
    expect(logged.records.some(({ record }) => record.type === 'samples' && record.samples.some(({ ref, timestampMs }) => ref < record.samples[0]!.ref && timestampMs < record.samples[0]!.timestampMs))).toBe(true)
    expect(answersText(replay(logged.records, outOfOrder.records))).toBe(answersText(answered.floats))
    expect([...answered.floats.values()].filter((samples) => samples.size > 0)).toHaveLength(60)
    for (const [recordType, kind] of [['histograms', 'integer'], ['floatHistograms', 'float'], ['customBucketHistograms', 'custom']] as const) {
      const refs = refsOf(logged.records, { __name__: 'wal_histogram', kind })
      const entries = logged.records.flatMap(({ record }) => (record.type === recordType ? record.histograms.filter(({ ref }) => refs.has(ref)) : []))
      if (refs.size > 0) expect(entries.map(({ histogram }) => ({ ...histogram, counterResetHint: 0 }))).toEqual([...Array(20).keys(), ...Array(20).keys()].map((round) => histogramOf(kind, round)))
    }

    // The writer makes the same bytes: of each record, and of each segment (whose last page a kill leaves unpadded).
    expect(encodedOtherwise([...logged.records, ...outOfOrder.records])).toEqual([])
    for (const [i, { path }] of wal.segments.entries()) expect(Buffer.compare(logged.reframed[i]!, await readFile(path))).toBe(0)
    for (const [i, { path }] of wbl.segments.entries()) expect(Buffer.compare(outOfOrder.reframed[i]!, await readFile(path))).toBe(0)

    // Cut, written by us, replayed by a real server.
    const directory = join(await temporaryDirectory('cut-wal'), 'data')
    const cut = cutAll(logged.records, cutMs)
    expect(cut.counts.samples.dropped).toBeGreaterThan(500)
    expect(cut.counts).toMatchObject({ unknown: new Map(), newestSampleMs: startMs + 299_986 })
    await writeLog(join(directory, 'wal'), cut.contents, { compression: compression === 'none' ? 'none' : 'snappy', segmentBytes: 32 * 1024 })
    await writeLog(join(directory, 'wbl'), cutAll(outOfOrder.records, cutMs).contents, { compression: 'snappy' })
    const restored = await startLoggingServer(compression, { dataDir: directory })
    expect(answersText(await answersOf(restored, wholeRange))).toBe(answersText(answered.floats, cutMs))
    expect(await histogramsOf(restored, cutMs)).toBe(answered.histograms)
    const exemplars = answered.exemplars.filter(({ timestampMs }) => timestampMs <= cutMs)
    expect(exemplars.length).toBeGreaterThan(20)
    expect((await exemplarsOf(restored.url, wholeRange)).map(({ text }) => text)).toEqual(exemplars.map(({ text }) => text))
    expect(await readFile(restored.logFile, 'utf8')).not.toMatch(/corrupt|level=error|level=ERROR|unknown series/i)
    await restored.kill()
  })
})

describe.skipIf(skipped)('real logs', () => {
  it('can be followed while they are written: any prefix gives whole records, and the rest comes when it is there', async () => {
    const server = await startLoggingServer('snappy')
    const path = join(server.dataDir, 'wal', '00000000')
    const reader = new SegmentReader(path)
    const following: number[] = []
    let samples = 0
    for (let step = 0; step < 5; step++) {
      await writeRounds(server.url, { startMs: startMs + step * 100_000, rounds: 3, version: version! })
      const grown = await readFile(path)
      // What a commit wrote is in the file when it returns; we take it in a few bytes late.
      const until = step === 4 ? grown.length : grown.length - 37 * step
      reader.push(grown.subarray(reader.offset, until), (record) => void following.push(record.endOffset))
      expect(reader.recordEnd).toBeLessThanOrEqual(until)
      samples += 3
    }
    expect(reader.end()).toEqual({ state: 'whole', recordEnd: reader.offset, sizeBytes: reader.offset })
    expect(samples).toBe(15)
    await server.kill()

    const bytes = await readFile(path)
    for (let length = 0; length <= bytes.length; length += 211) {
      const prefix = new SegmentReader(path)
      const ends: number[] = []
      prefix.push(bytes.subarray(0, length), (record) => void ends.push(record.endOffset))
      expect(ends).toEqual(following.filter((end) => end <= length))
      expect(prefix.end().recordEnd).toBe(ends.at(-1) ?? 0)
    }
  })

  it('made of random samples by the writer are replayed whole by a real server', async () => {
    const samples = fc.uniqueArray(fc.record({ offset: fc.nat(600_000), bits: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }), { selector: ({ offset }) => offset, minLength: 1, maxLength: 40 })
    const series = fc.uniqueArray(fc.record({ value: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }), samples }), { selector: ({ value }) => value, minLength: 1, maxLength: 120 })
    const settings = fc.record({ compression: fc.constantFrom('none' as const, 'snappy' as const), segmentBytes: fc.constantFrom(32 * 1024, 128 * 1024 * 1024), perRecord: fc.integer({ min: 1, max: 500 }) })
    await fc.assert(
      fc.asyncProperty(series, settings, async (made, { perRecord, ...options }) => {
        const directory = join(await temporaryDirectory('random-wal'), 'data')
        const labelled = made.map(({ value }, i) => ({ ref: i * 3 + 1, labels: [['__name__', 'wal_random'], ['value', value]] as const }))
        const all = made.flatMap((one, i) => one.samples.map(({ offset, bits }) => ({ ref: labelled[i]!.ref, timestampMs: startMs + offset, startTimestampMs: 0, valueBits: bits })))
        all.sort((left, right) => left.timestampMs - right.timestampMs)
        const records = [encodeRecord({ type: 'series', series: labelled })]
        for (let from = 0; from < all.length; from += perRecord) records.push(encodeRecord({ type: 'samples', samples: all.slice(from, from + perRecord) }))
        await writeLog(join(directory, 'wal'), records, options)
        const server = await startLoggingServer('snappy', { dataDir: directory })
        const written = new Map(made.map(({ value, samples: ofSeries }) => [seriesKey({ __name__: 'wal_random', value }), new Map(ofSeries.map(({ offset, bits }) => [startMs + offset, bits]))]))
        expect(answersText(await answersOf(server, wholeRange))).toBe(answersText(written))
        await server.kill()
      }),
      { numRuns: 4 },
    )
  })

  it('with a checkpoint and blocks are decoded, written anew and replayed with the same answers', async () => {
    const options = { minBlockDuration: '10s', retention: '100d' }
    const server = await startLoggingServer('snappy', options)
    const walPath = join(server.dataDir, 'wal')
    let rounds = 0
    await waitFor(
      async () => {
        await writeRounds(server.url, { startMs: startMs + rounds * 10_000, rounds: 1, version: version! })
        rounds++
        return (await listWalDirectory(walPath, 'wal')).newestCheckpoint !== undefined
      },
      // Newer servers truncate their log only once they have caught up with what can be compacted.
      { what: 'a checkpoint', intervalMs: 250 },
    )
    await writeRounds(server.url, { startMs: startMs + rounds * 10_000, rounds: 2, version: version! })
    const before = { floats: answersText(await answersOf(server, wholeRange)), histograms: await histogramsOf(server, startMs + (rounds + 1) * 10_000) }
    await server.kill()

    const found = await listWalDirectory(walPath, 'wal')
    expect(found.gaps).toEqual([])
    const checkpoint = await readLog(found.newestCheckpoint!.segments)
    const live = await readLog(found.live)
    expect(encodedOtherwise([...checkpoint.records, ...live.records])).toEqual([])

    const dataDir = join(await temporaryDirectory('checkpoint-wal'), 'data')
    await mkdir(dataDir)
    await cp(server.dataDir, dataDir, { recursive: true })
    for (const name of ['wal', 'chunks_head', 'wbl']) await rm(join(dataDir, name), { recursive: true, force: true })
    const { number } = found.newestCheckpoint!
    await writeLog(join(dataDir, 'wal', `checkpoint.${String(number).padStart(8, '0')}`), checkpoint.records.map(({ record }) => encodeRecord(record)), {})
    await writeLog(join(dataDir, 'wal'), live.records.map(({ record }) => encodeRecord(record)), { firstSegment: number + 1, compression: 'none' })
    const restored = await startLoggingServer('snappy', { ...options, dataDir })
    expect(answersText(await answersOf(restored, wholeRange))).toBe(before.floats)
    expect(await histogramsOf(restored, startMs + (rounds + 1) * 10_000)).toBe(before.histograms)
    await restored.kill()
  })
})
