import { closestMatch } from 'leven'
import type { z } from 'zod'
import { PromDrError } from '../errors.ts'

export type Path = readonly (string | number)[]

/** One mistake, where to find it, and what is wrong. Never holds a secret's value. */
export interface Problem {
  path: Path
  message: string
  /** Of the file, from 1; for a value that came from the file. */
  line?: number
  /** For a value that came from the environment. */
  variable?: string
}

/** `prometheus.tls.caFile`, `repositories[0].url`. */
export function formatPath(path: Path): string {
  let text = ''
  for (const step of path) text += typeof step === 'number' ? `[${step}]` : text === '' ? step : `.${step}`
  return text
}

/** A zod issue as problems: one for each unknown key. `known` tells the keys allowed at a path, for suggestions. */
export function problemsOf(issue: z.core.$ZodIssue, known: (path: Path) => string[]): Problem[] {
  const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step))
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: `is not a known key${suggestion(key, known(path))}` }))
  }
  if (issue.code === 'invalid_type') return [{ path, message: wrongType(issue) }]
  if (issue.code === 'invalid_value') {
    return [{ path, message: `must be one of ${issue.values.map(String).join(', ')}` }]
  }
  return [{ path, message: issue.message }]
}

function wrongType(issue: z.core.$ZodIssueInvalidType): string {
  const received = /received (\w+)/.exec(issue.message)?.[1]
  if (received === 'undefined') return 'is required'
  if (received === 'null') return `has no value; expected ${nounOf(issue.expected)}`
  return `must be ${nounOf(issue.expected)}${received === undefined ? '' : `, not ${nounOf(received)}`}`
}

function nounOf(type: string): string {
  const nouns: Record<string, string> = { object: 'a mapping', array: 'a list', string: 'text', number: 'a number', boolean: 'true or false' }
  return nouns[type] ?? type
}

/** `; did you mean "url"?`, or nothing when no candidate is near. */
export function suggestion(word: string, candidates: readonly string[]): string {
  const nearest = closestMatch(word, candidates, { maxDistance: Math.max(2, Math.floor(word.length / 3)) })
  if (nearest !== undefined) return `; did you mean "${nearest}"?`
  return candidates.length > 0 && candidates.length <= 12 ? `; known here: ${candidates.join(', ')}` : ''
}

/** All mistakes as one error, in the order of the file. */
export function configInvalid(source: string | null, problems: readonly Problem[]): PromDrError {
  const sorted = problems.toSorted((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity) || 0)
  const lines = sorted.map((problem) => `  ${placeOf(problem)}${messageWithPath(problem)}`)
  const count = problems.length === 1 ? 'a mistake' : `${problems.length} mistakes`
  return new PromDrError('CONFIG_INVALID', `${source ?? 'the configuration'} has ${count}:\n${lines.join('\n')}`, {
    hint: source === null ? 'correct the environment, or write a file with "prom-dr init"' : `correct ${source} and run "prom-dr doctor"`,
    details: { problems: sorted.map(({ path, ...rest }) => ({ path: formatPath(path), ...rest })) },
  })
}

function placeOf(problem: Problem): string {
  if (problem.variable !== undefined) return `${problem.variable}: `
  return problem.line === undefined ? '' : `line ${problem.line}: `
}

function messageWithPath(problem: Problem): string {
  const path = problem.variable === undefined ? formatPath(problem.path) : ''
  return path === '' ? problem.message : `${path} ${problem.message}`
}
