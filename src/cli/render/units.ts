import { formatDuration } from '../../domain/duration.ts'
import { formatTime } from '../../domain/moment.ts'

export { formatByteSize } from '../../domain/byte-size.ts'

/** For people: `230 ms`, `4.2 s`, `1m30s`. */
export function formatElapsed(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  return formatDuration(Math.round(ms / 1000) * 1000)
}

export function formatSeconds(seconds: number): string {
  return seconds < 0 ? `-${formatElapsed(-seconds * 1000)}` : formatElapsed(seconds * 1000)
}

/** `1,234,567`. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}

/** `1 block`, `2 blocks`. */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : plural}`
}

/** RFC 3339 to the second; `none` for a time that is not there. */
export function formatInstant(time: string | null): string {
  if (time === null) return 'none'
  const ms = Date.parse(time)
  return Number.isNaN(ms) ? time : formatTime(Math.floor(ms / 1000) * 1000)
}
