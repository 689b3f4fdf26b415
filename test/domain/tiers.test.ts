import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Tier, periodOf, tiers, tiersOf } from '../../src/domain/tiers.ts'

const at = (text: string) => Date.parse(text)
const hourMs = 3_600_000

interface Point {
  createdAt: number
  tiers: Tier[]
}

/** Makes recovery points one after another; only the newest of each tier can still share a period with the next. */
function makePoints(times: readonly number[], timezone: string): Point[] {
  const newest = new Map<Tier, Point>()
  return times.map((createdAt) => {
    const point = { createdAt, tiers: tiersOf(createdAt, [...newest.values()], timezone) }
    for (const tier of point.tiers) newest.set(tier, point)
    return point
  })
}

describe('the tiers of a recovery point', () => {
  test('the first one of all stands for every tier', () => {
    expect(tiersOf(at('2026-07-15T13:37:00Z'), [], 'UTC')).toEqual([...tiers])
  })

  test('a second one in the same hour stands for nothing, and the first of the next hour for that hour alone', () => {
    const first = { createdAt: at('2026-07-15T13:00:00Z'), tiers: [...tiers] }
    expect(tiersOf(at('2026-07-15T13:59:59.999Z'), [first], 'UTC')).toEqual([])
    expect(tiersOf(at('2026-07-15T14:00:00Z'), [first], 'UTC')).toEqual(['hourly'])
  })

  test('a recovery point that does not stand for a tier does not keep another from it', () => {
    const early = { createdAt: at('2026-07-15T01:00:00Z'), tiers: ['hourly'] as const }
    expect(tiersOf(at('2026-07-15T02:00:00Z'), [early], 'UTC')).toEqual([...tiers])
  })

  test('the order in which existing ones are listed does not matter', () => {
    const points = makePoints([0, 5, 30, 26, 200].map((hours) => at('2026-03-01T00:00:00Z') + hours * hourMs), 'UTC')
    const next = at('2026-03-09T10:00:00Z')
    expect(tiersOf(next, [...points].reverse(), 'UTC')).toEqual(tiersOf(next, points, 'UTC'))
  })

  test('midnight is the zone\'s own', () => {
    const evening = { createdAt: at('2026-07-15T21:30:00Z'), tiers: [...tiers] }
    const later = at('2026-07-15T22:30:00Z')
    expect(tiersOf(later, [evening], 'UTC')).toEqual(['hourly'])
    expect(tiersOf(later, [evening], 'Europe/Berlin')).toEqual(['hourly', 'daily'])
    expect(tiersOf(later, [evening], 'America/New_York')).toEqual(['hourly'])
  })
})

test('periods in UTC are those that the database of time zones gives', () => {
  fc.assert(fc.property(fc.integer({ min: at('1971-01-01T00:00:00Z'), max: at('2199-12-31T23:59:59Z') }), fc.constantFrom(...tiers), (ms, tier) => {
    expect(periodOf(tier, ms, 'UTC')).toBe(periodOf(tier, ms, 'Etc/UTC'))
  }))
})

describe('hours', () => {
  test('the hour that a clock change repeats counts as two', () => {
    const summer = periodOf('hourly', at('2026-10-25T00:30:00Z'), 'Europe/Berlin')
    const winter = periodOf('hourly', at('2026-10-25T01:30:00Z'), 'Europe/Berlin')
    expect([summer, winter]).toEqual(['2026-10-25T02+02:00', '2026-10-25T02+01:00'])
  })

  test('a clock change of half an hour splits the hour it falls in', () => {
    // Lord Howe Island goes back from +11:00 to +10:30 at 02:00.
    const before = periodOf('hourly', at('2026-04-04T14:45:00Z'), 'Australia/Lord_Howe')
    const after = periodOf('hourly', at('2026-04-04T15:15:00Z'), 'Australia/Lord_Howe')
    expect([before, after]).toEqual(['2026-04-05T01+11:00', '2026-04-05T01+10:30'])
  })

  test('an offset of 45 minutes moves the edge of the hour', () => {
    expect(periodOf('hourly', at('2026-01-01T00:14:59Z'), 'Asia/Kathmandu')).toBe('2026-01-01T05+05:45')
    expect(periodOf('hourly', at('2026-01-01T00:15:00Z'), 'Asia/Kathmandu')).toBe('2026-01-01T06+05:45')
  })

  test('midnight is hour 00, not 24', () => {
    expect(periodOf('hourly', at('2026-01-01T00:30:00Z'), 'UTC')).toMatch(/^2026-01-01T00/)
  })
})

describe('days', () => {
  test.each([
    ['23', 'Europe/Berlin', '2026-03-29'],
    ['25', 'Europe/Berlin', '2026-10-25'],
    ['23', 'America/New_York', '2026-03-08'],
    ['25', 'America/New_York', '2026-11-01'],
    ['24', 'UTC', '2026-03-29'],
    ['24', 'Asia/Kolkata', '2026-03-29'],
  ])('a day of %s hours in %s (%s) has as many hourly periods', (hours, timezone, day) => {
    const start = at(`${day}T00:00:00Z`) - 14 * hourMs
    const inDay = Array.from({ length: 60 }, (_, hour) => start + hour * hourMs).filter((ms) => periodOf('daily', ms, timezone) === day)
    expect(new Set(inDay.map((ms) => periodOf('hourly', ms, timezone))).size).toBe(Number(hours))
  })

  test('a day that a zone left out has no recovery point and no period', () => {
    // Samoa went from 29 to 31 December 2011.
    const days = Array.from({ length: 72 }, (_, hour) => periodOf('daily', at('2011-12-29T00:00:00Z') + hour * hourMs, 'Pacific/Apia'))
    expect([...new Set(days)]).toEqual(['2011-12-28', '2011-12-29', '2011-12-31', '2012-01-01'])
  })

  test.each([
    ['2028-02-29T12:00:00Z', '2028-02-29'],
    ['2100-02-28T23:59:59Z', '2100-02-28'],
    ['2100-03-01T00:00:00Z', '2100-03-01'],
  ])('leap days are days of their own, where there are any: %s', (moment, day) => {
    expect(periodOf('daily', at(moment), 'UTC')).toBe(day)
  })
})

describe('weeks', () => {
  // Of ISO 8601's own examples and the edges of years with 52 and 53 weeks.
  test.each([
    ['2005-01-01', '2004-W53'],
    ['2005-01-02', '2004-W53'],
    ['2005-12-31', '2005-W52'],
    ['2006-01-02', '2006-W01'],
    ['2007-01-01', '2007-W01'],
    ['2007-12-31', '2008-W01'],
    ['2008-12-28', '2008-W52'],
    ['2008-12-29', '2009-W01'],
    ['2009-12-31', '2009-W53'],
    ['2010-01-03', '2009-W53'],
    ['2010-01-04', '2010-W01'],
    ['2024-02-29', '2024-W09'],
    ['2026-12-31', '2026-W53'],
    ['2027-01-03', '2026-W53'],
    ['2027-01-04', '2027-W01'],
  ])('%s is in week %s', (day, week) => {
    expect(periodOf('weekly', at(`${day}T12:00:00Z`), 'UTC')).toBe(week)
  })

  test('every week has seven days, starts on a Monday and follows the one before it', () => {
    let last = ''
    let days = 0
    for (let ms = at('2023-01-02T12:00:00Z'); ms < at('2033-01-03T00:00:00Z'); ms += 24 * hourMs) {
      const week = periodOf('weekly', ms, 'UTC')
      if (week !== last) {
        if (last !== '') expect([last, days]).toEqual([last, 7])
        expect(new Date(ms).getUTCDay()).toBe(1)
        expect(week > last).toBe(true)
        days = 0
      }
      last = week
      days += 1
    }
    expect(last).toBe('2032-W53')
  })

  test('a week starts at the zone\'s midnight', () => {
    expect(periodOf('weekly', at('2026-06-28T23:30:00Z'), 'UTC')).toBe('2026-W26')
    expect(periodOf('weekly', at('2026-06-28T23:30:00Z'), 'Europe/Berlin')).toBe('2026-W27')
  })
})

test('months and years turn at the zone\'s own new year', () => {
  const moment = at('2025-12-31T12:00:00Z')
  expect([periodOf('monthly', moment, 'Pacific/Kiritimati'), periodOf('yearly', moment, 'Pacific/Kiritimati')]).toEqual(['2026-01', '2026'])
  expect([periodOf('monthly', moment, 'UTC'), periodOf('yearly', moment, 'UTC')]).toEqual(['2025-12', '2025'])
})

test('in every zone each period has exactly one recovery point that stands for it, whenever they are made', () => {
  const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'Pacific/Apia', 'America/Sao_Paulo']
  const minutes = fc.array(fc.integer({ min: 1, max: 3 * 24 * 60 }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(fc.constantFrom(...zones), fc.integer({ min: at('2015-01-01T00:00:00Z'), max: at('2035-01-01T00:00:00Z') }), minutes, (timezone, start, steps) => {
      let ms = start
      const points: Point[] = []
      for (const step of steps) {
        ms += step * 60_000
        points.push({ createdAt: ms, tiers: tiersOf(ms, points, timezone) })
      }
      for (const tier of tiers) {
        const periods = points.map((point) => periodOf(tier, point.createdAt, timezone))
        const first = points.filter((_, index) => periods.indexOf(periods[index] as string) === index)
        expect(points.filter((point) => point.tiers.includes(tier))).toEqual(first)
      }
    }),
    { numRuns: 60 },
  )
})

test('a year of hourly backups in Berlin, with three days out of order, has the tiers of the golden file', async () => {
  const start = at('2026-01-01T00:07:00Z')
  const times = Array.from({ length: 365 * 24 }, (_, hour) => start + hour * hourMs)
  const kept = times.filter((ms) => ms < at('2026-06-27T00:00:00Z') || ms > at('2026-06-29T23:30:00Z'))
  const points = makePoints(kept, 'Europe/Berlin')
  const count = (tier: Tier) => points.filter((point) => point.tiers.includes(tier)).length
  const localDays = new Set(kept.map((ms) => new Date(ms).toLocaleDateString('sv-SE', { timeZone: 'Europe/Berlin' })))
  expect(count('hourly')).toBe(kept.length)
  expect(count('daily')).toBe(localDays.size)
  expect(count('monthly')).toBe(13)
  expect(count('yearly')).toBe(2)
  const rows = points.filter((point) => point.tiers.length > 1).map((point) => `${new Date(point.createdAt).toISOString()} ${point.tiers.join(' ')}`)
  const text = [`# recovery points of more than the hourly tier; ${tiers.map((tier) => `${count(tier)} ${tier}`).join(', ')}`, ...rows, ''].join('\n')
  await expect(text).toMatchFileSnapshot('../golden/tiers-of-a-year.txt')
})
