/** A sample: time in ms and the 64 bits of its value, so that stale markers and NaNs stay what they are. */
export interface BitSample {
  timestampMs: number
  valueBits: bigint
}

/** What the source answered for one series over one range (both ends included, ms). */
export interface KnownSeries {
  labels: Record<string, string>
  startMs: number
  endMs: number
  samples: BitSample[]
}

/** What the source answered to one PromQL query at one moment; `result` is the canonical text of the answer. */
export interface KnownQuery {
  query: string
  atMs: number
  result: string
}

export interface KnownAnswers {
  /** What chose the series: the same seed on the same server chooses the same. */
  seed: string
  series: KnownSeries[]
  queries: KnownQuery[]
  /** Answers that changed while the snapshot was taken, or that held histograms: not kept. */
  dropped: number
}

export const noKnownAnswers: KnownAnswers = { seed: '', series: [], queries: [], dropped: 0 }

/** What is left of them when nothing later than a moment is there (ms); what lay wholly beyond it counts as dropped. */
export function answersUntil(answers: KnownAnswers, atMs: number): KnownAnswers {
  const series = answers.series.flatMap((known) => {
    const samples = known.samples.filter(({ timestampMs }) => timestampMs <= atMs)
    return samples.length === 0 ? [] : [{ ...known, endMs: Math.min(known.endMs, atMs), samples }]
  })
  const queries = answers.queries.filter((known) => known.atMs <= atMs)
  return { ...answers, series, queries, dropped: answers.dropped + answers.series.length - series.length + answers.queries.length - queries.length }
}

export interface AnswerDifference {
  what: string
  expected: string
  observed: string
}

/** The first difference between what the source answered and what the restored server answers; undefined when equal bit for bit. */
export function differenceOfSeries(expected: KnownSeries, observed: readonly BitSample[]): AnswerDifference | undefined {
  const what = seriesName(expected.labels)
  const count = Math.max(expected.samples.length, observed.length)
  for (let at = 0; at < count; at += 1) {
    const wanted = expected.samples[at]
    const got = observed[at]
    if (wanted?.timestampMs === got?.timestampMs && wanted?.valueBits === got?.valueBits) continue
    return { what, expected: describe(wanted, expected.samples.length), observed: describe(got, observed.length) }
  }
  return undefined
}

function describe(sample: BitSample | undefined, count: number): string {
  if (sample === undefined) return `no further sample (${count} in all)`
  return `${new Date(sample.timestampMs).toISOString()} 0x${sample.valueBits.toString(16).padStart(16, '0')} (${count} samples)`
}

/** `name{label="value",…}` as PromQL writes it. */
export function seriesName(labels: Record<string, string>): string {
  const { __name__: name = '', ...rest } = labels
  const pairs = Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)).map(([label, value]) => `${label}=${JSON.stringify(value)}`)
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`
}
