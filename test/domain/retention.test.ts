import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Hold, type Retention, type RetentionCircumstances, defaultRetention, planRetention, retentionKeys, retentionOf } from '../../src/domain/retention.ts'
import { type Tier, periodOf, tiers, tiersOf } from '../../src/domain/tiers.ts'
import { simulateYears } from '../fakes/simulated-years.ts'
import { expectGolden } from '../support/golden.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const startMs = Date.UTC(2026, 10, 16, 0, 7)

interface Point {
  id: string
  createdAt: number
  tiers: Tier[]
}

function pointsAt(hours: readonly number[], timezone = 'UTC'): Point[] {
  const points: Point[] = []
  for (const hour of hours) {
    const createdAt = startMs + hour * hourMs
    points.push({ id: `h${String(hour).padStart(4, '0')}`, createdAt, tiers: tiersOf(createdAt, points, timezone) })
  }
  return points
}

function plan(points: readonly Point[], given: Partial<Retention>, more: Partial<RetentionCircumstances> = {}) {
  return planRetention(points, { retention: retentionOf(given), holds: new Map(), nowMs: startMs, timezone: 'UTC', ...more })
}

const keptOf = (decisions: readonly { id: string; keep: boolean }[]) => decisions.filter(({ keep }) => keep).map(({ id }) => id)
const reasonsOf = (decisions: ReturnType<typeof plan>, id: string) => decisions.find((decision) => decision.id === id)?.reasons

describe('a retention', () => {
  test('that is given replaces the defaults, and a key that is absent keeps nothing', () => {
    expect(retentionOf(undefined)).toEqual({ keepLast: 3, keepHourly: 48, keepDaily: 14, keepWeekly: 8, keepMonthly: 12, keepYearly: 3 })
    expect(retentionOf({ keepDaily: 2 })).toEqual({ keepLast: 0, keepHourly: 0, keepDaily: 2, keepWeekly: 0, keepMonthly: 0, keepYearly: 0 })
    expect(retentionOf({})).toMatchObject({ keepLast: 0 })
  })

  test('keeps the last ones, whatever they stand for', () => {
    const decisions = plan(pointsAt([0, 0.1, 0.2, 0.3]), { keepLast: 2 })
    expect(keptOf(decisions)).toEqual(['h00.2', 'h00.3'])
    expect(reasonsOf(decisions, 'h00.3')).toEqual(['last 1 of 2'])
    expect(reasonsOf(decisions, 'h00.1')).toEqual(['not among the last 2', 'it stands for no hour, day, week, month or year'])
  })

  test('keeps the newest of each tier, and names every reason', () => {
    const decisions = plan(pointsAt([0, 1, 24, 25, 48, 49]), { keepLast: 1, keepHourly: 2, keepDaily: 2 })
    expect(keptOf(decisions)).toEqual(['h0024', 'h0048', 'h0049'])
    expect(reasonsOf(decisions, 'h0049')).toEqual(['last 1 of 1', 'hourly 1 of 2 (2026-11-18T01+00:00)'])
    expect(reasonsOf(decisions, 'h0048')).toEqual(['hourly 2 of 2 (2026-11-18T00+00:00)', 'daily 1 of 2 (2026-11-18)'])
    expect(reasonsOf(decisions, 'h0025')).toEqual(['not among the last 1', 'hourly: 2 newer ones are kept'])
    expect(reasonsOf(decisions, 'h0000')).toEqual(['not among the last 1', 'hourly: 2 newer ones are kept', 'daily: 2 newer ones are kept', 'weekly: none are kept', 'monthly: none are kept', 'yearly: none are kept'])
  })

  test('says of recovery points of components alone that they are counted apart', () => {
    const decisions = plan(pointsAt([0, 1, 24, 25]), { keepLast: 1, keepDaily: 2 }, { componentsAlone: true })
    expect(reasonsOf(decisions, 'h0025')).toEqual(['last 1 of 1 of components alone'])
    expect(reasonsOf(decisions, 'h0024')).toEqual(['daily 1 of 2 of components alone (2026-11-17)'])
    expect(reasonsOf(decisions, 'h0001')).toEqual(['not among the last 1 of components alone', 'hourly: none are kept'])
    const two = plan(pointsAt([0, 24, 48]), { keepDaily: 2 }, { componentsAlone: true })
    expect(reasonsOf(two, 'h0000')).toEqual(expect.arrayContaining(['daily: 2 newer ones of components alone are kept']))
    expect(reasonsOf(plan(pointsAt([0]), {}, { componentsAlone: true }), 'h0000')).toEqual(['the newest of components alone is never removed'])
  })

  test('never removes the newest recovery point, and goes on where there is none', () => {
    const decisions = plan(pointsAt([0, 1]), {})
    expect(decisions).toEqual([expect.objectContaining({ id: 'h0000', keep: false }), { id: 'h0001', keep: true, reasons: ['the newest is never removed'], keepers: ['newest'] }])
    expect(plan([], { keepLast: 1 })).toEqual([])
  })

  test('counts periods that have a recovery point: a pause of years ages nothing away', () => {
    const points = pointsAt([0, 24, 48, 20_000])
    expect(keptOf(plan(points, { keepDaily: 3 }, { nowMs: startMs + 40_000 * hourMs }))).toEqual(['h0024', 'h0048', 'h20000'])
  })

  test('takes the older one where two stand for one period', () => {
    const twice: Point[] = [{ id: 'a', createdAt: startMs, tiers: ['daily'] }, { id: 'b', createdAt: startMs + hourMs, tiers: ['daily'] }, { id: 'c', createdAt: startMs + dayMs, tiers: ['daily'] }]
    const decisions = plan(twice, { keepDaily: 5 })
    expect(keptOf(decisions)).toEqual(['a', 'c'])
    expect(reasonsOf(decisions, 'b')).toEqual(['daily: a stands for 2026-11-16'])
  })

  test('asks for no order of the recovery points', () => {
    const points = pointsAt([0, 1, 24, 25, 200])
    expect(plan([...points].reverse(), { keepLast: 1, keepDaily: 2 })).toEqual(plan(points, { keepLast: 1, keepDaily: 2 }))
  })
})

describe('a hold', () => {
  const holds = (hold: Hold) => ({ holds: new Map([['h0000', hold]]) })

  test('keeps a recovery point until its end, and not a millisecond longer', () => {
    const hold = holds({ until: startMs + 5, reason: 'the audit' })
    expect(reasonsOf(plan(pointsAt([0, 1]), {}, { ...hold, nowMs: startMs + 4 }), 'h0000')).toEqual([`held until ${new Date(startMs + 5).toISOString()}: the audit`])
    expect(keptOf(plan(pointsAt([0, 1]), {}, { ...hold, nowMs: startMs + 5 }))).toEqual(['h0001'])
  })

  test('that cannot be read keeps its recovery point', () => {
    expect(reasonsOf(plan(pointsAt([0, 1]), {}, { ...holds({ until: null, reason: 'the hold cannot be read' }), nowMs: Number.MAX_SAFE_INTEGER }), 'h0000')).toEqual(['held: the hold cannot be read'])
  })
})

const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'Pacific/Apia', 'America/Sao_Paulo', 'Africa/Casablanca']

test('in every zone a tier keeps exactly its newest periods, and a smaller retention keeps a part of what a larger one keeps', () => {
  const count = fc.integer({ min: 0, max: 6 })
  const retention = fc.record({ keepLast: count, keepHourly: count, keepDaily: count, keepWeekly: count, keepMonthly: count, keepYearly: count })
  const steps = fc.array(fc.integer({ min: 1, max: 40 * 24 * 60 }), { minLength: 1, maxLength: 60 })
  fc.assert(fc.property(fc.constantFrom(...zones), steps, retention, (timezone, minutes, given) => {
    let hour = 0
    const points = pointsAt(minutes.map((step) => (hour += step / 60)), timezone)
    const decisions = plan(points, given, { timezone })
    const kept = new Set(keptOf(decisions))
    for (const tier of tiers) {
      const periods = [...new Set(points.map((point) => periodOf(tier, point.createdAt, timezone)))]
      const wanted = periods.slice(Math.max(0, periods.length - given[retentionKeys[tier]])).map((period) => points.find((point) => periodOf(tier, point.createdAt, timezone) === period)?.id)
      expect(wanted.every((id) => kept.has(id as string))).toBe(true)
    }
    expect(decisions.every(({ reasons }) => reasons.length > 0)).toBe(true)
    expect(kept.has(points.at(-1)?.id as string)).toBe(true)
    const more = Object.fromEntries(Object.entries(given).map(([key, value]) => [key, value + 1]))
    expect([...kept].filter((id) => !new Set(keptOf(plan(points, more, { timezone }))).has(id))).toEqual([])
  }), { numRuns: 150 })
})

// Samoa left out a day in 2011; Brazil's clocks skipped midnight until 2018; 2012 and 2016 have leap days.
test.each(['UTC', 'America/Sao_Paulo', 'Pacific/Apia'])('ten years of hourly backups in %s keep what the golden file says', async (timezone) => {
  const lines: string[] = []
  let last = ''
  const { kept, made } = simulateYears({
    startMs: Date.UTC(2009, 0, 1, 0, 7), endMs: Date.UTC(2019, 0, 1), timezone, retention: defaultRetention, blocks: false,
    onExpiry({ nowMs, kept: now }) {
      const quarter = `${periodOf('yearly', nowMs, timezone)}-Q${Math.ceil(Number(periodOf('monthly', nowMs, timezone).slice(5)) / 3)}`
      if (quarter === last) return
      last = quarter
      const counts = tiers.map((tier) => `${now.filter((point) => point.tiers.includes(tier)).length} ${tier}`)
      lines.push(`${quarter}: ${now.length} kept (${counts.join(', ')}); oldest ${now[0]?.id.slice(0, 16)}`)
    },
  })
  const final = planRetention(kept, { retention: defaultRetention, holds: new Map(), nowMs: Date.UTC(2019, 0, 1), timezone })
  expect(kept.length).toBeLessThan(90)
  expect(final.filter(({ keep }) => !keep).length).toBeLessThan(24)
  const table = final.map(({ id, keep, reasons }) => `${keep ? 'stays' : 'goes '} ${id.slice(0, 16)} ${reasons.join('; ')}`)
  await expectGolden(`retention/${timezone.replace('/', '-').toLowerCase()}.txt`, [`# ${made} hourly recovery points in ${timezone}, expired daily`, ...lines, '', '# after ten years', ...table, ''].join('\n'))
})

test('two years of backups, blocks included: what is kept is whole at every step, and nothing that is not named is left', () => {
  const outcome = simulateYears({ startMs: Date.UTC(2024, 0, 1, 0, 7), endMs: Date.UTC(2026, 0, 1), timezone: 'Europe/Berlin', retention: defaultRetention, blocks: true })
  expect(outcome).toMatchObject({ missing: [], forgotten: [] })
  expect(outcome.looks).toBeGreaterThan(40_000)
  expect(outcome.storedBytes).toBeLessThan(outcome.uploadedBytes * 0.9)
})
