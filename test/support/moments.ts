import { expect } from 'vitest'
import { histogramOf } from './wal-traffic.ts'
import { bitsOf } from './remote-write.ts'
import { type RichSeries, richRemoteWrite } from './rich-remote-write.ts'
import { type Samples, type ShippedServer, differences, restored, samplesOf, samplesUntil } from './shipped-server.ts'

/** What a server held in the end, to compare with. */
export interface Held {
  samples: Samples
  fromMs: number
  toMs: number
  /** Native histograms as the server prints them at a time. */
  histogramsAt(atMs: number): string | undefined
}

/** Restores to each moment and compares every series, bit by bit. @returns how often a block came along */
export async function expectMoments(shipped: ShippedServer, held: Held, moments: readonly number[]): Promise<{ withBlocks: number }> {
  let withBlocks = 0
  for (const atMs of moments) {
    await restored(shipped.operations, { at: { kind: 'time', ms: atMs } }, async (api, report) => {
      const found = await samplesOf(api, { endMs: Date.now() + 3_600_000 })
      expect(differences(samplesUntil(held.samples, atMs), found), `restored to ${new Date(atMs).toISOString()} from ${report.plan.recoveryPoint}`).toEqual([])
      expect(report.stoppedBy).toBe('moment')
      const histograms = held.histogramsAt(atMs)
      if (histograms !== undefined) expect(await api.query(histogramQuery, atMs)).toBe(histograms)
      if (report.plan.blocks.length > 0) withBlocks += 1
    })
  }
  return { withBlocks }
}

/** Moments between two, drawn with a seed. */
export function momentsBetween(fromMs: number, toMs: number, of: { count: number; seed: number }): number[] {
  let state = of.seed
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  return Array.from({ length: of.count }, () => Math.round(fromMs + random() * (toMs - fromMs)))
}

export const histogramQuery = 'rich_histogram[10m]'

/** One round of what scrapes do not bring: native histograms, a sample nine minutes ahead, and one that comes late. */
export async function writeRichRound(url: string, round: number): Promise<void> {
  const nowMs = Date.now()
  const sample = (name: string, timestampMs: number): RichSeries => ({ labels: { __name__: name }, samples: [{ timestampMs, valueBits: bitsOf(round) }] })
  await richRemoteWrite(url, [
    ...['integer', 'float'].map((kind): RichSeries => ({ labels: { __name__: 'rich_histogram', kind }, histograms: [{ timestampMs: nowMs, histogram: histogramOf(kind, round) }] })),
    sample('rich_ahead', nowMs + 9 * 60_000),
    sample('rich_now', nowMs),
  ])
  // Out of order: the series has newer ones.
  await richRemoteWrite(url, [sample('rich_now', nowMs - 2000 - round)])
}
