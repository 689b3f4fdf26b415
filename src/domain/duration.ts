import { PromDrError } from '../errors.ts'

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour
const unitsMs: readonly (readonly [unit: string, ms: number])[] = [
  ['y', 365 * day],
  ['w', 7 * day],
  ['d', day],
  ['h', hour],
  ['m', minute],
  ['s', second],
  ['ms', 1],
]
/** Prometheus's own grammar (common/model/time.go): each unit at most once, from large to small. */
const grammar = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?$/

/**
 * Milliseconds of a duration as Prometheus writes it: `10s`, `1h30m`, `15d`, `0`. A year has 365 days.
 * @throws USAGE for anything else
 */
export function parseDuration(text: string): number {
  if (text === '0') return 0
  const match = text === '' ? null : grammar.exec(text)
  if (match === null) {
    throw new PromDrError('USAGE', `${JSON.stringify(text)} is not a duration`, {
      hint: 'write it as Prometheus does, large units first: 10s, 1h30m, 15d',
    })
  }
  let totalMs = 0
  for (const [index, [, unitMs]] of unitsMs.entries()) totalMs += Number(match[index + 1] ?? 0) * unitMs
  if (!Number.isSafeInteger(totalMs)) throw new PromDrError('USAGE', `the duration ${text} is too long`)
  return totalMs
}

/** The inverse of `parseDuration`, as Prometheus prints it: years and weeks only where they fit exactly. */
export function formatDuration(durationMs: number): string {
  let restMs = Math.round(Math.abs(durationMs))
  if (restMs === 0) return '0s'
  let text = durationMs < 0 ? '-' : ''
  for (const [unit, unitMs] of unitsMs) {
    if ((unit === 'y' || unit === 'w') && restMs % unitMs !== 0) continue
    const count = Math.floor(restMs / unitMs)
    if (count > 0) text += `${count}${unit}`
    restMs -= count * unitMs
  }
  return text
}
