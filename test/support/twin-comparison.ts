import type { Samples } from './shipped-server.ts'

export interface Compared {
  restored: Samples
  /** Got all that the exporters served to the server that was lost. */
  twin: Samples
  /** What the lost server was asked for just before: it tells which scrapes failed there. */
  known: Samples
  /** Samples out of order that were served until then have to be there; ms. */
  certainMs: number
}

export interface Comparison {
  /** Newest restored sample of an exporter, ms. */
  newestMs: number
  /** Of one series of an exporter. */
  restoredSamples: number
  lateSamples: number
  /** Samples that the lost server itself never had. */
  neverStored: number
}

const minusOne = 0xbff0_0000_0000_0000n

/**
 * A scrape is logged whole: of each exporter all series must be there up to its newest restored sample, with the twin's values, and nothing
 * that the twin has not. What the lost server exported of itself is compared with what it answered.
 * @throws Error naming the first difference
 */
export function compareWithTwin({ restored, twin, known, certainMs }: Compared): Comparison {
  const outcome: Comparison = { newestMs: 0, restoredSamples: 0, lateSamples: 0, neverStored: 0 }
  const exporters = new Set([...twin.keys()].map(exporterOf).filter((exporter) => exporter !== undefined))
  for (const exporter of exporters) {
    const newest = newestOf([...restored].filter(([name]) => exporterOf(name) === exporter))
    outcome.newestMs = Math.max(outcome.newestMs, newest)
    for (const name of namesIn([restored, twin], (candidate) => exporterOf(candidate) === exporter)) {
      const [expected, found] = [twin.get(name) ?? new Map<number, bigint>(), restored.get(name) ?? new Map<number, bigint>()]
      for (const [atMs, bits] of expected) {
        const there = found.get(atMs)
        if (there === bits) continue
        const late = name.includes('"late"') && bits !== minusOne
        if (there === undefined && (atMs > newest || (late && doubleOf(bits) > certainMs))) continue
        if (there !== undefined || known.get(name)?.has(atMs) === true) throw new Error(`${name} at ${atMs}: ${there?.toString(16) ?? 'nothing'} instead of ${bits.toString(16)}; ${[...expected.keys()].filter((time) => time <= newest && !found.has(time)).length} of ${expected.size} up to the newest, of ${newest}, are missing`)
        outcome.neverStored += 1
      }
      for (const [atMs, bits] of found) if (!expected.has(atMs)) throw new Error(`${name} at ${atMs}: ${bits.toString(16)}, and the exporter never served that`)
      if (name.includes('"late"')) outcome.lateSamples += [...found.values()].filter((bits) => bits !== minusOne).length
      else outcome.restoredSamples = Math.max(outcome.restoredSamples, found.size)
    }
  }
  compareItself(restored, known)
  return outcome
}

/** What a server scrapes of itself, each job up to where both know it. */
function compareItself(restored: Samples, known: Samples): void {
  const own = (name: string) => exporterOf(name) === undefined
  for (const instance of new Set([...known.keys()].filter(own).map(instanceOf))) {
    const isOf = (name: string) => own(name) && instanceOf(name) === instance
    const upTo = Math.min(...[restored, known].map((samples) => newestOf([...samples].filter(([name]) => isOf(name)))))
    for (const name of namesIn([restored, known], isOf)) {
      const [found, had] = [restored, known].map((samples) => [...(samples.get(name) ?? [])].filter(([atMs]) => atMs <= upTo).map(([atMs, bits]) => `${atMs}:${bits.toString(16)}`)) as [string[], string[]]
      const differing = [...found.filter((one) => !had.includes(one)).map((one) => `came back ${one}`), ...had.filter((one) => !found.includes(one)).map((one) => `is missing ${one}`)]
      if (differing.length > 0) throw new Error(`${name} up to ${upTo}, of ${had.length}: ${differing.slice(0, 10).join(', ')} (${differing.length})`)
    }
  }
}

function namesIn(all: readonly Samples[], is: (name: string) => boolean): Set<string> {
  return new Set(all.flatMap((samples) => [...samples.keys()].filter(is)))
}

function newestOf(series: readonly (readonly [string, ReadonlyMap<number, bigint>])[]): number {
  return series.reduce((newest, [, values]) => Math.max(newest, ...values.keys()), 0)
}

function exporterOf(name: string): string | undefined {
  return labelOf(name, 'exporter')
}

function instanceOf(name: string): string | undefined {
  return labelOf(name, 'instance')
}

/** Names are lists of labels as JSON. */
function labelOf(name: string, label: string): string | undefined {
  return new RegExp(`\\["${label}","([^"]*)"\\]`).exec(name)?.[1]
}

function doubleOf(bits: bigint): number {
  const view = new DataView(new ArrayBuffer(8))
  view.setBigUint64(0, bits)
  return view.getFloat64(0)
}
