import type { Keeper } from './tier-storage.ts'
import { type Tier, periodOf, tiers } from './tiers.ts'

/** How many recovery points are kept: of the newest ones, and of those that stand for each tier. */
export interface Retention {
  keepLast: number
  keepHourly: number
  keepDaily: number
  keepWeekly: number
  keepMonthly: number
  keepYearly: number
}

/** Where no retention is given. */
export const defaultRetention: Readonly<Retention> = { keepLast: 3, keepHourly: 48, keepDaily: 14, keepWeekly: 8, keepMonthly: 12, keepYearly: 3 }

/** The setting that keeps recovery points of a tier. */
export const retentionKeys = { hourly: 'keepHourly', daily: 'keepDaily', weekly: 'keepWeekly', monthly: 'keepMonthly', yearly: 'keepYearly' } as const satisfies Record<Tier, keyof Retention>

/** A given retention replaces the defaults: a key that is absent keeps nothing. */
export function retentionOf(given: Partial<Retention> | undefined): Retention {
  if (given === undefined) return defaultRetention
  return { keepLast: 0, keepHourly: 0, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, keepYearly: 0, ...given }
}

/** Keeps a recovery point from expiry. */
export interface Hold {
  /** ms; null where the hold cannot be read, and so never ends by itself. */
  until: number | null
  reason: string
}

export function isInForce(hold: Hold, nowMs: number): boolean {
  return hold.until === null || nowMs < hold.until
}

export interface RetainedPoint {
  id: string
  /** ms */
  createdAt: number
  tiers: readonly Tier[]
}

export interface RetentionDecision {
  id: string
  keep: boolean
  /** Every rule that keeps it; or why none does. */
  reasons: string[]
  /** The same rules, by their names. */
  keepers: Keeper[]
}

export interface RetentionCircumstances {
  retention: Retention
  /** By the recovery point's id. */
  holds: ReadonlyMap<string, Hold>
  nowMs: number
  timezone: string
  /** They are those of components alone, which are counted apart: the reasons say so. */
  componentsAlone?: boolean
}

/**
 * Which recovery points of one instance in one repository stay, and why; in their order of time. The tiers of a recovery point were
 * fixed when it was made, so that what is kept today can be told years ahead. A tier keeps its newest periods that have a recovery
 * point, however old they are: after a pause nothing goes for its age. The newest recovery point always stays.
 */
export function planRetention(points: readonly RetainedPoint[], circumstances: RetentionCircumstances): RetentionDecision[] {
  const { retention, holds, nowMs } = circumstances
  const apart = apartFrom(circumstances)
  const oldestFirst = [...points].sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
  const kept = new Map<string, KeptBy[]>(oldestFirst.map(({ id }) => [id, []]))
  const gone = new Map<string, string[]>(oldestFirst.map(({ id }) => [id, []]))
  newest(oldestFirst, retention.keepLast).forEach(({ id }, nth) => kept.get(id)?.push({ keeper: 'last', reason: `last ${nth + 1} of ${retention.keepLast}${apart}` }))
  for (const tier of tiers) judgeTier(tier, oldestFirst, { circumstances, kept, gone })
  for (const { id } of oldestFirst) {
    const hold = holds.get(id)
    if (hold !== undefined && isInForce(hold, nowMs)) kept.get(id)?.push({ keeper: 'hold', reason: describeHold(hold) })
  }
  for (const { id } of newest(oldestFirst, 1)) if (kept.get(id)?.length === 0) kept.get(id)?.push({ keeper: 'newest', reason: `the newest${apart} is never removed` })
  return oldestFirst.map(({ id, tiers: own }) => {
    const by = kept.get(id) ?? []
    if (by.length > 0) return { id, keep: true, reasons: by.map(({ reason }) => reason), keepers: by.map(({ keeper }) => keeper) }
    const last = retention.keepLast > 0 ? [`not among the last ${retention.keepLast}${apart}`] : []
    return { id, keep: false, reasons: [...last, ...(own.length === 0 ? ['it stands for no hour, day, week, month or year'] : (gone.get(id) ?? []))], keepers: [] }
  })
}

interface KeptBy {
  keeper: Keeper
  reason: string
}

function newest(oldestFirst: readonly RetainedPoint[], count: number): RetainedPoint[] {
  return oldestFirst.slice(Math.max(0, oldestFirst.length - count)).reverse()
}

interface Verdicts {
  circumstances: RetentionCircumstances
  kept: Map<string, KeptBy[]>
  gone: Map<string, string[]>
}

/** Two may stand for one period where the time zone was changed, or a manifest could not be read for a while: the older one does. */
function judgeTier(tier: Tier, oldestFirst: readonly RetainedPoint[], { circumstances, kept, gone }: Verdicts): void {
  const { retention, timezone } = circumstances
  const apart = apartFrom(circumstances)
  const limit = retention[retentionKeys[tier]]
  const byPeriod = new Map<string, RetainedPoint>()
  for (const point of oldestFirst) {
    if (!point.tiers.includes(tier)) continue
    const period = periodOf(tier, point.createdAt, timezone)
    const other = byPeriod.get(period)
    if (other === undefined) byPeriod.set(period, point)
    else gone.get(point.id)?.push(`${tier}: ${other.id} stands for ${period}`)
  }
  const newestFirst = [...byPeriod].reverse()
  newestFirst.forEach(([period, { id }], nth) => {
    if (nth < limit) kept.get(id)?.push({ keeper: tier, reason: `${tier} ${nth + 1} of ${limit}${apart} (${period})` })
    else gone.get(id)?.push(limit === 0 ? `${tier}: none are kept` : `${tier}: ${limit} newer ${limit === 1 ? 'one' : 'ones'}${apart} ${limit === 1 ? 'is' : 'are'} kept`)
  })
}

function apartFrom({ componentsAlone = false }: RetentionCircumstances): string {
  return componentsAlone ? ' of components alone' : ''
}

function describeHold({ until, reason }: Hold): string {
  return until === null ? `held: ${reason}` : `held until ${new Date(until).toISOString()}: ${reason}`
}
