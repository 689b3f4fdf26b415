import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chunkPlace, visitSeries } from '../../src/tsdb/index-series.ts'
import { newestTimeUntil } from '../../src/tsdb/xor-times.ts'
import { listBlocks } from '../../src/tsdb/data-directory.ts'
import { missingPrograms, startTestPrometheus, waitFor } from '../support/prometheus.ts'
import { remoteWrite } from '../support/remote-write.ts'

const hourMs = 3_600_000

describe.skipIf(missingPrograms('prometheus'))('the times of a chunk that a server wrote', () => {
  it('are read whatever lies between two of them, and between two values', async () => {
    const server = await startTestPrometheus({ scrapeItself: false, retention: '100y' })
    const startMs = Math.floor((Date.now() - 24 * hourMs) / (2 * hourMs)) * 2 * hourMs
    // Differences of every size, and values that share many bits, few or none with the one before.
    const gaps = [1, 1, 1, 7, 9_000, 1, 70_000, 15_000, 15_000, 15_001, 14_999, 600_000, 3, 1_200_000, 1, 1]
    const times: number[] = []
    for (let timestampMs = startMs + 13, nth = 0; timestampMs < startMs + 2 * hourMs; nth += 1) {
      times.push(timestampMs)
      timestampMs += gaps[(nth * 7 + (nth >> 4)) % gaps.length] as number
    }
    const valueAt = [() => 1, (nth: number) => nth, (nth: number) => Math.sin(nth), (nth: number) => (nth % 3 === 0 ? Number.NaN : -(2 ** (nth % 900))), (nth: number) => (nth % 2 === 0 ? 1e-300 : 1e300)]
    await remoteWrite(server.url, valueAt.map((value, series) => ({ labels: { __name__: 'wild', series: String(series) }, samples: times.map((timestampMs, nth) => ({ timestampMs, value: value(nth) })) })))
    // What follows makes the head be compacted.
    await remoteWrite(server.url, [{ labels: { __name__: 'later' }, samples: [{ timestampMs: startMs + 6 * hourMs, value: 1 }] }])
    const [block] = await waitFor(async () => {
      const { blocks } = await listBlocks(server.dataDir)
      return blocks.length > 0 && blocks
    }, { what: 'a block' })
    const chunks: { firstMs: number; lastMs: number; ref: number }[] = []
    await visitSeries(join(block?.path ?? '', 'index'), (series) => series.chunks((firstMs, lastMs, ref) => void chunks.push({ firstMs, lastMs, ref })))
    expect(chunks.length).toBeGreaterThanOrEqual(5 * Math.floor(times.length / 150))
    const file = await readFile(join(block?.path ?? '', chunkPlace(chunks[0]?.ref ?? 0).file))
    for (const { firstMs, lastMs, ref } of chunks) {
      const { offset } = chunkPlace(ref)
      const lengthBytes = (file[offset] ?? 0) < 128 ? 1 : 2
      const length = ((file[offset] ?? 0) & 127) + (lengthBytes === 2 ? (file[offset + 1] ?? 0) * 128 : 0)
      expect(file[offset + lengthBytes]).toBe(1)
      const data = file.subarray(offset + lengthBytes + 1, offset + lengthBytes + 1 + length)
      const own = times.filter((timeMs) => firstMs <= timeMs && timeMs <= lastMs)
      for (const [at, timeMs] of own.entries()) {
        expect(newestTimeUntil(data, timeMs)).toBe(timeMs)
        expect(newestTimeUntil(data, timeMs - 1)).toBe(own[at - 1])
      }
      expect(newestTimeUntil(data, Number.MAX_SAFE_INTEGER)).toBe(lastMs)
    }
  })
})

it('bytes that are no chunk end the reading', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), fc.integer(), (bytes, limitMs) => {
    const found = newestTimeUntil(bytes, limitMs)
    if (found !== undefined) expect(found).toBeLessThanOrEqual(limitMs)
  }))
})
