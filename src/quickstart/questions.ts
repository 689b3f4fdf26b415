import { PromDrError } from '../errors.ts'
import type { PrometheusApi } from '../integrations/prometheus/prometheus-api.ts'

/** What is asked of the server before the disaster and of its successor after it, beside prom-dr's own known answers. */
export const questions = [
  { title: 'series', query: 'count({__name__=~".+"})' },
  { title: 'scrapes that worked', query: 'sum(sum_over_time(up[1h]))' },
  { title: 'samples of CPU time', query: 'sum(count_over_time(node_cpu_seconds_total[1h]))' },
  { title: 'bytes of memory in use', query: 'max(node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes)' },
  { title: 'busiest CPU', query: '1 - min(rate(node_cpu_seconds_total{mode="idle"}[15s]))' },
] as const

export interface Answer {
  title: string
  /** As Prometheus prints it. */
  value: string
}

export interface ComparedAnswer {
  title: string
  before: string
  after: string
}

/** The answers for the moment `atMs`. */
export async function askQuestions(api: PrometheusApi, atMs: number, signal: AbortSignal): Promise<Answer[]> {
  const answers: Answer[] = []
  for (const { title, query } of questions) answers.push({ title, value: await ask(api, query, { atMs, signal }) })
  return answers
}

/** Unix milliseconds of the newest sample that a scrape wrote at or before `atMs`. */
export async function newestSampleMs(api: PrometheusApi, atMs: number, signal: AbortSignal): Promise<number> {
  return Math.round(Number(await ask(api, 'max(timestamp(up))', { atMs, signal })) * 1000)
}

export function compareAnswers(before: readonly Answer[], after: readonly Answer[]): ComparedAnswer[] {
  return before.map((answer, index) => ({ title: answer.title, before: answer.value, after: after[index]?.value ?? 'no answer' }))
}

async function ask(api: PrometheusApi, query: string, { atMs, signal }: { atMs: number; signal: AbortSignal }): Promise<string> {
  const text = await api.query(query, atMs, { signal })
  const { result } = JSON.parse(text) as { result?: { value: [number, string] }[] }
  if (result === undefined) throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `the answer to ${query} has no result: ${text.slice(0, 200)}`)
  return result[0]?.value[1] ?? 'none'
}
