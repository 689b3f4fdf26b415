import pLimit from 'p-limit'
import { type BitSample, type KnownAnswers, type KnownQuery, type KnownSeries, differenceOfSeries, seriesName } from '../../domain/known-answers.ts'
import { withExternalLabels } from '../../domain/external-labels.ts'
import { seededRandom, shuffled } from '../../domain/seeded-choice.ts'
import { hasCode, messageOf } from '../../errors.ts'
import type { PrometheusApi, RawSeries } from '../../integrations/prometheus/prometheus-api.ts'
import type { AnswersReport } from '../verify/verify-report.ts'

/** A part of the server's history to take known answers from; both ends included, ms. */
export interface AnswerWindow {
  startMs: number
  endMs: number
  /** How many series to take from it. */
  series: number
}

export interface CollectRequest {
  seed: string
  windows: AnswerWindow[]
  samplesPerSeries: number
  queries: readonly string[]
  /** When the queries are asked, ms. */
  queryAtMs: number
  externalLabels: Record<string, string>
  signal?: AbortSignal | undefined
}

const requestsAtOnce = 8

export interface CollectedAnswers {
  answers: KnownAnswers
  /** What the server did not answer, in words: a recovery point is made all the same. */
  problems: string[]
}

/**
 * Reads a seeded sample of what the server answers: series bit by bit through remote read, queries as text. `up` is
 * always among the series where it exists. Series with native histograms in the range are counted as dropped: their
 * counter reset hints depend on chunk boundaries, so that they need not come back the same.
 */
export async function collectKnownAnswers(api: PrometheusApi, request: CollectRequest): Promise<CollectedAnswers> {
  const random = seededRandom(request.seed)
  const limit = pLimit(requestsAtOnce)
  const answers: KnownAnswers = { seed: request.seed, series: [], queries: [], dropped: 0 }
  const problems = new Set<string>()
  const refused = (what: string, alone = false) => (error: unknown) => {
    if (!hasCode(error, 'PROMETHEUS_BAD_RESPONSE', 'PROMETHEUS_UNAUTHORIZED') && !wasCutOff(error) && !(alone && isOutOfReach(error))) throw error
    problems.add(`no known answers of ${what}: ${messageOf(error)}`)
    return undefined
  }
  const namesIn = async (window: AnswerWindow) => (await persistently(window.endMs, (endMs) => api.labelValues('__name__', { startMs: window.startMs, endMs, ...signalOf(request) })).catch(refused('series'))) ?? []
  const namesOf = await Promise.all(request.windows.map((window) => limit(() => namesIn(window))))
  const reading = request.windows.map((window, index) => {
    const names = namesOf[index] ?? []
    const order = shuffled(names, random).sort((a, b) => Number(b === 'up') - Number(a === 'up'))
    const picks = Array.from({ length: window.series }, () => random())
    const chosen = order.slice(0, window.series)
    return chosen.map((name, at) => limit(() => readOneSeries(api, name, { window, pick: picks[at] ?? 0, request })))
  })
  const taken = new Set<string>()
  for (const series of await Promise.all(reading.flat())) {
    if (series === 'dropped') answers.dropped += 1
    else if (series !== undefined && !taken.has(keyOf(series))) {
      taken.add(keyOf(series))
      answers.series.push(series)
    }
  }
  const asked = await Promise.all(request.queries.map((query) => limit(async () => {
    const result = await api.query(query, request.queryAtMs, signalOf(request)).catch(refused(`query ${JSON.stringify(query)}`, true))
    return result === undefined ? [] : [{ query, atMs: request.queryAtMs, result }]
  })))
  answers.queries = asked.flat()
  return { answers, problems: [...problems] }
}

interface OneSeries {
  window: AnswerWindow
  /** In [0, 1): which of the name's series. */
  pick: number
  request: CollectRequest
}

async function readOneSeries(api: PrometheusApi, name: string, choice: OneSeries): Promise<KnownSeries | 'dropped' | undefined> {
  const { window, request } = choice
  const range = { startMs: window.startMs, endMs: window.endMs, ...signalOf(request) }
  try {
    const all = await persistently(range.endMs, (endMs) => api.series([{ type: '=', name: '__name__', value: name }], { ...range, endMs }))
    const labels = all[Math.floor(choice.pick * all.length)]
    if (labels === undefined) return undefined
    const raw = await readSeries(api, labels, { ...range, externalLabels: request.externalLabels })
    if (raw === undefined) return undefined
    if (raw.histogramSamples > 0) return 'dropped'
    const samples = raw.samples.slice(-request.samplesPerSeries)
    const first = samples[0]
    return first === undefined ? undefined : { labels, startMs: first.timestampMs, endMs: window.endMs, samples }
  } catch (error) {
    // A name with more series than an answer may have, or with damaged chunks, is passed over.
    if (hasCode(error, 'PROMETHEUS_BAD_RESPONSE', 'PROMETHEUS_UNAUTHORIZED') || wasCutOff(error)) return 'dropped'
    throw error
  }
}

const hourMs = 3_600_000
/** By how much later a range ends each time it is asked for again: beyond a chunk, a day's block, and the longest block. */
const laterEndsMs = [0, 3 * hourMs, 48 * hourMs, 32 * 24 * hourMs]

/**
 * Asks again for a range that ends later where the server hung up. Prometheus 2.53 and 3.5 do so whenever a chunk of a block has to be cut at both
 * ends and its series has a tombstone that ends after the range: the request panics (tsdb/tombstones, Intervals.Add, index out of range).
 */
async function persistently<T>(endMs: number, ask: (endMs: number) => Promise<T>): Promise<T> {
  for (const [tries, laterMs] of laterEndsMs.entries()) {
    try {
      return await ask(endMs + laterMs)
    } catch (error) {
      if (!wasCutOff(error) || tries === laterEndsMs.length - 1) throw error
    }
  }
  throw new Error('unreachable')
}

/** Of a query it says nothing of the others: it may be one that takes too long. */
export function isOutOfReach(error: unknown): boolean {
  return hasCode(error, 'PROMETHEUS_UNREACHABLE', 'PROMETHEUS_NOT_READY')
}

/** One that is down refuses the connection. */
function wasCutOff(error: unknown): boolean {
  return hasCode(error, 'PROMETHEUS_UNREACHABLE') && error.details?.['connectionClosed'] === true
}

/**
 * Reads the series with exactly these labels; undefined when the server has none in the range. A server may answer with whole chunks, so that
 * what is outside of the range is left out here: Prometheus 2.42 does not cut them at the beginning where the series has tombstones
 * (tsdb/tombstones, Intervals.Add takes one from the smallest time).
 */
async function readSeries(api: PrometheusApi, labels: Record<string, string>, range: { startMs: number; endMs: number; externalLabels: Record<string, string>; signal?: AbortSignal | undefined }): Promise<RawSeries | undefined> {
  const matchers = Object.entries(labels).map(([name, value]) => ({ type: '=' as const, name, value }))
  const found = await persistently(range.endMs, (endMs) => api.remoteRead({ matchers, startMs: range.startMs, endMs, ...signalOf(range) }))
  const names = new Set([labelKey(labels), labelKey(withExternalLabels(labels, range.externalLabels))])
  const series = found.find(({ labels: of }) => names.has(labelKey(of)))
  return series && { ...series, samples: series.samples.filter(({ timestampMs }) => timestampMs >= range.startMs && timestampMs <= range.endMs) }
}

/**
 * Asks the same again after the snapshot and keeps what did not change: what was still being written, was deleted
 * meanwhile, or is refused now, proves nothing. Answers that reach beyond `coveredUntilMs`, which the recovery point does
 * not hold, go too.
 */
export async function confirmKnownAnswers(api: PrometheusApi, answers: KnownAnswers, context: { externalLabels: Record<string, string>; coveredUntilMs: number; signal?: AbortSignal | undefined }): Promise<KnownAnswers> {
  const covered: KnownAnswers = { ...answers, series: answers.series.filter((known) => known.endMs <= context.coveredUntilMs), queries: answers.queries.filter((known) => known.atMs <= context.coveredUntilMs) }
  const again = await askAnswers(api, covered, { ...context, refusal: 'is a change' })
  const series = covered.series.filter((known, at) => differenceOfSeries(known, again.series[at] ?? []) === undefined)
  const queries = covered.queries.filter((known, at) => known.result === again.queries[at])
  const dropped = answers.dropped + (answers.series.length - series.length) + (answers.queries.length - queries.length)
  return { seed: answers.seed, series, queries, dropped }
}

/** Asks a restored server what its source answered, and compares every time and every bit. */
export async function askKnownAnswers(api: PrometheusApi, answers: KnownAnswers, context: { recoveryPoint: string; externalLabels: Record<string, string>; signal?: AbortSignal | undefined }): Promise<AnswersReport> {
  const observed = await askAnswers(api, answers, context)
  const differences = answers.series.flatMap((known, at) => differenceOfSeries(known, observed.series[at] ?? []) ?? [])
  for (const [at, known] of answers.queries.entries()) {
    const result = observed.queries[at] ?? ''
    if (result !== known.result) differences.push({ what: `query ${known.query} at ${new Date(known.atMs).toISOString()}`, expected: clip(known.result), observed: clip(result) })
  }
  return {
    recoveryPoint: context.recoveryPoint,
    equal: differences.length === 0,
    series: answers.series.length,
    samples: answers.series.reduce((sum, known) => sum + known.samples.length, 0),
    queries: answers.queries.length,
    skipped: answers.dropped,
    differences,
  }
}

async function askAnswers(api: PrometheusApi, answers: KnownAnswers, context: { externalLabels: Record<string, string>; signal?: AbortSignal | undefined; refusal?: 'is a change' }): Promise<{ series: BitSample[][]; queries: string[] }> {
  const limit = pLimit(requestsAtOnce)
  const refused = <T>(nothing: T, alone = false) => (error: unknown): T => {
    if (context.refusal === undefined || !(hasCode(error, 'PROMETHEUS_BAD_RESPONSE', 'PROMETHEUS_UNAUTHORIZED') || wasCutOff(error) || (alone && isOutOfReach(error)))) throw error
    return nothing
  }
  const askSeries = async (known: KnownSeries) => (await readSeries(api, known.labels, { ...known, ...context }).catch(refused(undefined)))?.samples ?? []
  const askQuery = (known: KnownQuery) => api.query(known.query, known.atMs, signalOf(context)).catch(refused('', true))
  const [series, queries] = await Promise.all([
    Promise.all(answers.series.map((known) => limit(() => askSeries(known)))),
    Promise.all(answers.queries.map((known) => limit(() => askQuery(known)))),
  ])
  return { series, queries }
}

function keyOf(series: KnownSeries): string {
  return `${seriesName(series.labels)} ${series.endMs}`
}

function labelKey(labels: Record<string, string>): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function clip(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 300)}…`
}

function signalOf(options: { signal?: AbortSignal | undefined }): { signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal }
}
