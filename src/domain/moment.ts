import { PromDrError } from '../errors.ts'
import { parseDuration } from './duration.ts'

/** What `--at` names. `ms` is a Unix time in milliseconds. */
export type Moment = { kind: 'latest' } | { kind: 'time'; ms: number } | { kind: 'recovery-point'; id: string }

/** The end of the year 9999: what four digits can say. */
const latestMs = Date.UTC(10_000, 0, 1) - 1
const recoveryPointId = /^\d{8}T\d{6}Z-[0-9a-z]{8}$/
const relative = /^(\S+)\s+ago$/
const dateTime =
  /^(?<date>\d{4}-\d{2}-\d{2})(?:[Tt ](?<clock>\d{2}:\d{2})(?::(?<seconds>\d{2}(?:\.\d{1,9})?))?)?\s?(?<zone>[Zz]|[+-]\d{2}:\d{2})?$/

export interface MomentOptions {
  /** The zone a time without a zone might have been meant in. Default: the process's zone. */
  localTimeZone?: string
}

/**
 * Reads `latest`, an RFC 3339 time with its zone, `2h ago`, `1d2h ago`, or a recovery point's id.
 * A time without a zone is refused with the two readings it could have: a guess would restore to the wrong hour.
 * @throws USAGE
 */
export function parseMoment(text: string, now: Date, options: MomentOptions = {}): Moment {
  const trimmed = text.trim()
  if (trimmed === 'latest') return { kind: 'latest' }
  if (recoveryPointId.test(trimmed)) return { kind: 'recovery-point', id: trimmed }
  return { kind: 'time', ms: parsePastTime(trimmed, now, options) }
}

/**
 * A time that is not in the future, as Unix milliseconds: RFC 3339 with its zone, or relative (`2h ago`).
 * @throws USAGE
 */
export function parsePastTime(text: string, now: Date, options: MomentOptions = {}): number {
  const ago = relative.exec(text.trim())?.[1]
  const ms = ago === undefined ? parseDateTime(text.trim(), options) : now.getTime() - parseDuration(ago)
  if (ms > now.getTime()) {
    throw new PromDrError('USAGE', `${text} is in the future: it is now ${formatTime(now.getTime())}`, {
      hint: 'give a time that has passed, or "latest"',
    })
  }
  if (ms < 0) throw new PromDrError('USAGE', `${text} is before 1970`)
  return ms
}

const futureHint = 'give a time that is still to come, such as 2030-01-01T00:00:00Z or 90d'

/**
 * A time that is still to come, as Unix milliseconds: RFC 3339 with its zone, or how long from now (`90d`, `in 90d`).
 * @throws USAGE
 */
export function parseFutureTime(text: string, now: Date, options: MomentOptions = {}): number {
  const trimmed = text.trim()
  const after = /^(?:in\s+)?(\d\S*[a-z])$/.exec(trimmed)?.[1]
  if (after === undefined && !dateTime.test(trimmed)) throw new PromDrError('USAGE', `${JSON.stringify(text)} is not a time`, { hint: futureHint })
  const ms = after === undefined ? parseDateTime(trimmed, options) : now.getTime() + parseDuration(after)
  if (ms > now.getTime() && ms <= latestMs) return ms
  throw new PromDrError('USAGE', `${text} is ${ms > latestMs ? 'too far away' : `in the past: it is now ${formatTime(now.getTime())}`}`, { hint: futureHint })
}

function parseDateTime(text: string, options: MomentOptions): number {
  const parts = dateTime.exec(text)?.groups
  if (parts === undefined) throw notATime(text)
  const { date = '', clock = '00:00', seconds = '00', zone } = parts
  const wall = Date.parse(`${date}T${clock}:00Z`)
  if (Number.isNaN(wall) || new Date(wall).toISOString().slice(0, 10) !== date || Number(seconds) >= 60) throw notATime(text)
  const utcMs = wall + Math.floor(Number(seconds) * 1000 + 1e-6)
  if (zone === undefined) throw withoutZone(text, utcMs, options)
  const offsetMs = parseOffset(zone)
  if (offsetMs === undefined) throw notATime(text)
  return utcMs - offsetMs
}

function parseOffset(zone: string): number | undefined {
  if (zone.toUpperCase() === 'Z') return 0
  const hours = Number(zone.slice(1, 3))
  const minutes = Number(zone.slice(4, 6))
  if (hours > 23 || minutes > 59) return undefined
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000
}

function notATime(text: string): PromDrError {
  return new PromDrError('USAGE', `${JSON.stringify(text)} is not a moment`, {
    hint: 'give "latest", a time with its zone (2026-11-21T03:00:00Z, 2026-11-21T03:00:00+01:00), "2h ago", or a recovery point id from "prom-dr list"',
  })
}

function withoutZone(text: string, wallMs: number, options: MomentOptions): PromDrError {
  const zone = options.localTimeZone ?? processTimeZone()
  const utc = formatTime(wallMs)
  const local = `${formatTime(wallMs).slice(0, -1)}${formatOffset(localOffsetMs(wallMs, zone))}`
  if (localOffsetMs(wallMs, zone) === 0) {
    return new PromDrError('USAGE', `${text} has no time zone: it could be ${utc} (${zone === 'UTC' ? zone : `UTC, and ${zone}`}) or a time of another zone`, { hint: `write ${utc} if you mean that`, details: { readings: [utc, local] } })
  }
  return new PromDrError('USAGE', `${text} has no time zone: it could be ${utc} (UTC) or ${local} (${zone})`, {
    hint: `write the one you mean: ${utc} or ${local}`,
    details: { readings: [utc, local] },
  })
}

/** Of a TZ that names no zone (`TZ=:/etc/localtime`) the process makes UTC, and its name is undefined. */
function processTimeZone(): string {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions() as Partial<Intl.ResolvedDateTimeFormatOptions>
  return timeZone ?? 'UTC'
}

/** How far `zone` is ahead of UTC when its clocks show `wallMs`; where they show it twice, the later offset. */
function localOffsetMs(wallMs: number, zone: string): number {
  const guessMs = zoneOffsetMs(wallMs, zone)
  return zoneOffsetMs(wallMs - guessMs, zone)
}

function zoneOffsetMs(utcMs: number, zone: string): number {
  const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' })
  const name = format.formatToParts(new Date(utcMs)).find((part) => part.type === 'timeZoneName')?.value ?? 'GMT'
  const offset = name.slice(3, 9)
  return offset === '' ? 0 : (parseOffset(offset) ?? 0)
}

function formatOffset(offsetMs: number): string {
  const minutes = Math.abs(offsetMs) / 60_000
  const pad = (value: number) => String(Math.floor(value)).padStart(2, '0')
  return `${offsetMs < 0 ? '-' : '+'}${pad(minutes / 60)}:${pad(minutes % 60)}`
}

/** RFC 3339 in UTC, with milliseconds only where there are any. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}
