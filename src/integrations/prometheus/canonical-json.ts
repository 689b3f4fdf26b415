/**
 * A query's answer as text that is equal when the answers are: keys sorted, and the series of a vector or matrix too
 * (`sort()` and `topk()` lose their order). Sample values are strings in the answer and stay what they are.
 */
export function canonicalAnswer(answer: { resultType: string; result: unknown }): string {
  const series = answer.resultType === 'vector' || answer.resultType === 'matrix'
  const result = series && Array.isArray(answer.result) ? answer.result.map(canonical).sort() : undefined
  if (result === undefined) return canonical(answer)
  return `{"result":[${result.join(',')}],"resultType":${JSON.stringify(answer.resultType)}}`
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1))
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${canonical(entry)}`).join(',')}}`
}
