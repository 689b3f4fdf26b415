import { PromDrError } from '../errors.ts'

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
  query: string
  value: string
}

export interface ComparedAnswer {
  title: string
  before: string
  after: string
}

/** The answers as Prometheus prints them, for the moment `atMs`. */
export async function askQuestions(url: string, atMs: number, signal: AbortSignal): Promise<Answer[]> {
  const answers: Answer[] = []
  for (const { title, query } of questions) answers.push({ title, query, value: await ask(url, query, { atMs, signal }) })
  return answers
}

/** Unix milliseconds of the newest sample that a scrape wrote at or before `atMs`. */
export async function newestSampleMs(url: string, atMs: number, signal: AbortSignal): Promise<number> {
  const seconds = await ask(url, 'max(timestamp(up))', { atMs, signal })
  return Math.round(Number(seconds) * 1000)
}

export function compareAnswers(before: readonly Answer[], after: readonly Answer[]): ComparedAnswer[] {
  return before.map((answer, index) => ({ title: answer.title, before: answer.value, after: after[index]?.value ?? 'no answer' }))
}

/** @throws PROMETHEUS_BAD_RESPONSE */
async function ask(url: string, query: string, { atMs, signal }: { atMs: number; signal: AbortSignal }): Promise<string> {
  const parameters = new URLSearchParams({ query, time: (atMs / 1000).toFixed(3) })
  const response = await fetch(`${url}/api/v1/query?${parameters}`, { signal })
  const text = await response.text()
  if (!response.ok) throw new PromDrError('PROMETHEUS_BAD_RESPONSE', `${url} answered ${response.status} to ${query}: ${text.slice(0, 300)}`)
  const answer = JSON.parse(text) as { data: { result: { value: [number, string] }[] } }
  return answer.data.result[0]?.value[1] ?? 'none'
}
