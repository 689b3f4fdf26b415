import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runProgram } from '../../../src/system/process.ts'
import { encodeRecord, type WalRecord } from '../../../src/tsdb/wal/record-codec.ts'
import { listWalDirectory } from '../../../src/tsdb/wal/wal-directory.ts'
import { WalWriter } from '../../../src/tsdb/wal/wal-writer.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { missingPrograms } from '../../support/prometheus.ts'
import { bitsOf } from '../../support/remote-write.ts'
import { readLog, replay } from '../../support/wal-model.ts'

const startMs = 1_700_000_000_000
const seriesCount = 8

type Step =
  | { do: 'samples'; entries: { series: number; stepMs: number; value: number }[] }
  | { do: 'delete'; series: number }
  | { do: 'noise'; bytes: number }

/** Finite doubles only: of the others the dump shows no bits. A step back in time is a sample that a server refuses on replay. */
const value = fc.double({ noNaN: true, noDefaultInfinity: true })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('samples' as const), entries: fc.array(fc.record({ series: fc.nat(seriesCount - 1), stepMs: fc.integer({ min: -3, max: 5000 }), value }), { minLength: 1, maxLength: 60 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete' as const), series: fc.nat(seriesCount - 1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('noise' as const), bytes: fc.nat(90_000) }) },
)
const options = fc.record({ compression: fc.constantFrom('none' as const, 'snappy' as const), segmentBytes: fc.constantFrom(32 * 1024, 64 * 1024, 128 * 1024 * 1024), declaredLate: fc.boolean() })

/** Records as a server could have written them: a series is declared before its samples, a deletion reaches to its newest sample. */
function recordsOf(steps: readonly Step[], declaredLate: boolean): WalRecord[] {
  const declared = new Set<number>()
  const newest = new Map<number, number>()
  const declare = (series: number[]): WalRecord[] => {
    const fresh = [...new Set(series)].filter((one) => !declared.has(one))
    for (const one of fresh) declared.add(one)
    return fresh.length === 0 ? [] : [{ type: 'series', series: fresh.map((one) => ({ ref: one * 7 + 1, labels: [['__name__', 'dumped'], ['series', String(one)]] })) }]
  }
  const first = declaredLate ? [] : declare(Array.from({ length: seriesCount }, (_, at) => at))
  let nowMs = startMs
  return [...first, ...steps.flatMap((one): WalRecord[] => {
    if (one.do === 'noise') return [{ type: 'metadata', metadata: [{ ref: 1, metricType: 1, fields: [['HELP', 'x'.repeat(one.bytes)]] }] }]
    if (one.do === 'delete') {
      const until = newest.get(one.series)
      return until === undefined ? [] : [{ type: 'tombstones', tombstones: [{ ref: one.series * 7 + 1, mint: BigInt(startMs - 10_000), maxt: BigInt(until) }] }]
    }
    const samples = one.entries.map(({ series, stepMs, value: float }) => {
      nowMs += stepMs
      newest.set(series, Math.max(newest.get(series) ?? nowMs, nowMs))
      return { ref: series * 7 + 1, timestampMs: nowMs, startTimestampMs: 0, valueBits: bitsOf(float) }
    })
    return [...declare(one.entries.map(({ series }) => series)), { type: 'samples', samples }]
  })]
}

/** Series, time and bits, as `promtool tsdb dump` prints them. */
async function dumped(dataDir: string): Promise<string[]> {
  const { stdout, stderr, exitCode } = await runProgram('promtool', ['tsdb', 'dump', dataDir])
  if (exitCode !== 0) throw new Error(`promtool tsdb dump: ${stderr}`)
  return stdout.split('\n').filter((line) => line.startsWith('{')).map((line) => {
    const [, series, float, time] = /series="(\d+)"\} (\S+) (-?\d+)$/.exec(line) ?? []
    return `${series} ${time} ${bitsOf(Number(float)).toString(16)}`
  }).sort()
}

describe.skipIf(missingPrograms('promtool'))('random sequences of records', () => {
  it('that the writer wrote are read by Prometheus as by the reader', async () => {
    let samples = 0
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), options, async (steps, { declaredLate, ...settings }) => {
      const dataDir = join(await temporaryDirectory('dump'), 'data')
      await mkdir(dataDir)
      const records = recordsOf(steps, declaredLate)
      const writer = new WalWriter(join(dataDir, 'wal'), settings)
      for (const record of records) await writer.append(encodeRecord(record))
      await writer.close()
      if (records.length === 0) return
      const { segments } = await listWalDirectory(join(dataDir, 'wal'), 'wal')
      const log = await readLog(segments)
      expect(log.records.map(({ record }) => record)).toEqual(records)
      const answers = [...replay(log.records)].flatMap(([key, values]) => [...values].map(([time, bits]) => `${JSON.parse(key).find(([name]: [string]) => name === 'series')[1]} ${time} ${bits.toString(16)}`)).sort()
      expect(await dumped(dataDir)).toEqual(answers)
      samples += answers.length
    }), { numRuns: Number(process.env['PROM_DR_TEST_DUMPS'] ?? 20) })
    expect(samples).toBeGreaterThan(200)
  })
})
