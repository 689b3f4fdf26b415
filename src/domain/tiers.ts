/** Retention tiers, shortest first. */
export const tiers = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const
export type Tier = (typeof tiers)[number]

interface Tiered {
  createdAt: number
  tiers: readonly Tier[]
}

/**
 * The tiers that a recovery point made at `createdAt` (ms) stands for: those whose period, in `timezone`, has no
 * recovery point of that tier yet. Decided once, when it is made.
 */
export function tiersOf(createdAt: number, existing: readonly Tiered[], timezone: string): Tier[] {
  return tiers.filter((tier) => {
    const period = periodOf(tier, createdAt, timezone)
    return !existing.some((point) => point.tiers.includes(tier) && periodOf(tier, point.createdAt, timezone) === period)
  })
}

/**
 * Names the hour, day, ISO week, month or year that a moment falls in. The hour carries its offset from UTC, so
 * that the hour which a clock change repeats counts as two.
 */
export function periodOf(tier: Tier, atMs: number, timezone: string): string {
  const { year, month, day, hour, offset } = localParts(atMs, timezone)
  switch (tier) {
    case 'hourly':
      return `${year}-${month}-${day}T${hour}${offset}`
    case 'daily':
      return `${year}-${month}-${day}`
    case 'weekly':
      return isoWeek(Number(year), Number(month), Number(day))
    case 'monthly':
      return `${year}-${month}`
    case 'yearly':
      return year
  }
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** Every offset from UTC in use is a multiple of a quarter of an hour: within one, the hour and the date are the same. */
const slotMs = 900_000
const rememberedSlots = 10_000
const remembered = new Map<string, LocalParts>()

interface LocalParts {
  year: string
  month: string
  day: string
  hour: string
  offset: string
}

/** Looked up for every recovery point and tier again and again, and slow to find out. */
function localParts(atMs: number, timezone: string): LocalParts {
  const slot = `${timezone} ${Math.floor(atMs / slotMs)}`
  let parts = remembered.get(slot)
  if (parts === undefined) {
    if (remembered.size >= rememberedSlots) remembered.clear()
    remembered.set(slot, (parts = readLocalParts(atMs, timezone)))
  }
  return parts
}

function readLocalParts(atMs: number, timezone: string): LocalParts {
  if (timezone === 'UTC') return utcParts(atMs)
  let format = formats.get(timezone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-GB', {
      timeZone: timezone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', timeZoneName: 'longOffset',
    })
    formats.set(timezone, format)
  }
  const parts = new Map(format.formatToParts(atMs).map((part) => [part.type, part.value]))
  const part = (name: Intl.DateTimeFormatPartTypes) => parts.get(name) ?? ''
  return { year: part('year'), month: part('month'), day: part('day'), hour: part('hour'), offset: part('timeZoneName').replace('GMT', '') }
}

/** As the format gives them: making the first one of a process reads megabytes of locales, longer than most of what a backup does. */
function utcParts(atMs: number): LocalParts {
  const [year = '', month = '', day = '', hour = ''] = new Date(atMs).toISOString().split(/[-T:]/)
  return { year, month, day, hour, offset: '+00:00' }
}

/** ISO 8601: weeks start on Monday, and week 1 has the year's first Thursday. */
function isoWeek(year: number, month: number, day: number): string {
  const dayMs = 86_400_000
  const date = Date.UTC(year, month - 1, day)
  const weekday = (new Date(date).getUTCDay() + 6) % 7
  const thursday = date + (3 - weekday) * dayMs
  const weekYear = new Date(thursday).getUTCFullYear()
  const week = 1 + Math.floor((thursday - Date.UTC(weekYear, 0, 1)) / dayMs / 7)
  return `${weekYear}-W${String(week).padStart(2, '0')}`
}
