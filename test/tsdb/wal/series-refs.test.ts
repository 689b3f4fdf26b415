import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { decodeRecord, encodeRecord, type WalRecord } from '../../../src/tsdb/wal/record-codec.ts'
import { SeriesRefs } from '../../../src/tsdb/wal/series-refs.ts'
import { WalWriter } from '../../../src/tsdb/wal/wal-writer.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { missingPrograms, startTestPrometheus } from '../../support/prometheus.ts'

const position = { file: 'test', startOffset: 0 }
const startMs = Math.floor(Date.now() / 1000) * 1000 - 600_000

const series = (ref: number, name: string): WalRecord => ({ type: 'series', series: [{ ref, labels: [['__name__', 'test'], ['name', name]] }] })
const bits = (value: number) => Buffer.from(new Float64Array([value]).buffer).readBigUInt64LE()
const sample = (ref: number, second: number): WalRecord => ({ type: 'samples', samples: [{ ref, timestampMs: startMs + second * 1000, startTimestampMs: 0, valueBits: bits(second) }] })

/** A comes and goes and comes back under another ref; B gets the ref that A had; C the one that A has now. */
const log: WalRecord[] = [
  series(1, 'a'), sample(1, 1), sample(1, 2),
  series(7, 'a'), sample(7, 3), { type: 'tombstones', tombstones: [{ ref: 7, mint: BigInt(startMs + 2000), maxt: BigInt(startMs + 2000) }] },
  series(1, 'b'), sample(1, 4), sample(7, 5),
  series(7, 'c'), sample(7, 6), series(9, 'a'), sample(9, 7), series(1, 'b'), sample(1, 8),
]

function mapped(records: readonly WalRecord[]): Uint8Array[] {
  const refs = new SeriesRefs()
  return records.flatMap((record) => refs.map(encodeRecord(record), position) ?? [])
}

describe('the refs of a log that reaches far back', () => {
  it('are damage where they are larger than any that a server gives, and nothing is looked for beyond them', () => {
    const declaring = (ref: bigint, name: string) => {
      const content = Buffer.from(encodeRecord(series(1, name)))
      content.writeBigUInt64BE(ref, 1)
      return content
    }
    for (const ref of [2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n]) {
      const refs = new SeriesRefs()
      expect(() => ['a', 'b', 'c'].map((name) => refs.map(declaring(ref, name), position))).toThrow(expect.objectContaining({ code: 'DAMAGED' }))
    }
  })

  it('are one for each series, declared once', () => {
    const declared = new Map<number, string>()
    const samples: [string | undefined, number][] = []
    for (const content of mapped(log)) {
      const record = decodeRecord(content, position)
      if (record.type === 'series') for (const { ref, labels } of record.series) {
        expect(declared.has(ref)).toBe(false)
        declared.set(ref, labels[1]?.[1] ?? '')
      }
      if (record.type === 'samples') samples.push(...record.samples.map(({ ref, timestampMs }): [string | undefined, number] => [declared.get(ref), (timestampMs - startMs) / 1000]))
      if (record.type === 'tombstones') expect(record.tombstones.map(({ ref }) => declared.get(ref))).toEqual(['a'])
    }
    expect([...declared.values()].sort()).toEqual(['a', 'b', 'c'])
    expect(samples).toEqual([['a', 1], ['a', 2], ['a', 3], ['b', 4], ['a', 5], ['c', 6], ['a', 7], ['b', 8]])
  })

  it('stay as they are, to the byte, where nothing is declared twice', () => {
    const plain = [series(1, 'a'), series(2, 'b'), sample(1, 1), sample(2, 1)]
    expect(mapped(plain).map((content) => Buffer.from(content))).toEqual(plain.map((record) => Buffer.from(encodeRecord(record))))
  })

  it('stand in the log beside it for the series that had them when it was logged', () => {
    const refs = new SeriesRefs()
    const wal: [WalRecord, number, number][] = [[series(1, 'a'), 0, 10], [series(2, 'other'), 0, 10], [series(1, 'b'), 100, 130], [series(1, 'c'), 1000, 1030]]
    const owns = wal.map(([record, loggedAfter, seenAt]) => {
      const content = refs.map(encodeRecord(record), position, { loggedAfter, seenAt })
      const declared = content === undefined ? undefined : decodeRecord(content, position)
      return declared?.type === 'series' ? declared.series[0]?.ref : undefined
    })
    const [a, other, b, c] = owns
    expect(new Set(owns).size).toBe(4)
    const late = (seenAt: number) => {
      const content = refs.mapBeside(encodeRecord({ type: 'samples', samples: [1, 2].map((ref) => ({ ref, timestampMs: startMs, startTimestampMs: 0, valueBits: bits(1) })) }), position, { seenAt })
      const record = content === undefined ? undefined : decodeRecord(content, position)
      return record?.type === 'samples' ? record.samples.map(({ ref }) => ref) : []
    }
    expect([late(90), late(100)]).toEqual([[a, other], [a, other]])
    expect([late(131), late(1000)]).toEqual([[b, other], [b, other]])
    expect(late(1031)).toEqual([c, other])
    expect(refs.unnamedSamples).toBe(0)
    // Between the two it may be either.
    expect([late(101), late(130), late(1020)]).toEqual([[other], [other], [other]])
    expect(refs.unnamedSamples).toBe(3)
    expect(refs.mapBeside(encodeRecord({ type: 'samples', samples: [{ ref: 1, timestampMs: startMs, startTimestampMs: 0, valueBits: bits(1) }] }), position, { seenAt: 110 })).toBeUndefined()
  })

  it.skipIf(missingPrograms('prometheus'))('are what a real server needs to replay every sample, under its own series', async () => {
    const answers: Record<string, number[]>[] = []
    for (const contents of [mapped(log), log.map(encodeRecord)]) {
      const dataDir = join(await temporaryDirectory('refs'), 'data')
      const writer = new WalWriter(join(dataDir, 'wal'))
      for (const content of contents) await writer.append(content)
      await writer.close()
      const server = await startTestPrometheus({ dataDir, scrapeItself: false })
      const found = await server.api.remoteRead({ matchers: [{ type: '=', name: '__name__', value: 'test' }], startMs, endMs: startMs + 600_000 })
      answers.push(Object.fromEntries(found.map(({ labels, samples }) => [labels['name'] ?? '', samples.map(({ timestampMs }) => (timestampMs - startMs) / 1000)])))
      await server.stop()
    }
    const [ours, asLogged] = answers
    expect(ours).toEqual({ a: [1, 3, 5, 7], b: [4, 8], c: [6] })
    // Otherwise all of this were for nothing.
    expect(asLogged).not.toEqual(ours)
  })
})
