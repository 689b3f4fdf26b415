import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatTime, parseFutureTime, parseMoment, parsePastTime } from '../../src/domain/moment.ts'
import { PromDrError } from '../../src/errors.ts'

const now = new Date('2026-11-21T12:00:00Z')
const time = (text: string) => ({ kind: 'time', ms: Date.parse(text) })

function refusal(text: string, localTimeZone = 'Europe/Berlin'): PromDrError {
  try {
    parseMoment(text, now, { localTimeZone })
  } catch (error) {
    if (error instanceof PromDrError) return error
    throw error
  }
  throw new Error(`${text} was accepted`)
}

describe('parseMoment', () => {
  test('knows latest and recovery point ids', () => {
    expect(parseMoment('latest', now)).toEqual({ kind: 'latest' })
    expect(parseMoment('20261121T023615Z-79535b0z', now)).toEqual({ kind: 'recovery-point', id: '20261121T023615Z-79535b0z' })
  })

  test.each([
    ['2026-11-21T03:00:00Z', '2026-11-21T03:00:00Z'],
    ['2026-11-21t03:00:00z', '2026-11-21T03:00:00Z'],
    ['2026-11-21 03:00:00Z', '2026-11-21T03:00:00Z'],
    ['2026-11-21T03:00Z', '2026-11-21T03:00:00Z'],
    ['2026-11-21T03:00:00+05:30', '2026-11-20T21:30:00Z'],
    ['2026-11-21T03:00:00.123456789-01:00', '2026-11-21T04:00:00.123Z'],
    ['2024-02-29Z', '2024-02-29T00:00:00Z'],
    ['2h ago', '2026-11-21T10:00:00Z'],
    ['1d2h ago', '2026-11-20T10:00:00Z'],
    ['  0 ago ', '2026-11-21T12:00:00Z'],
  ])('reads %s', (text, expected) => {
    expect(parseMoment(text, now)).toEqual(time(expected))
  })

  test('refuses a time without a zone and names both readings', () => {
    const error = refusal('2026-11-21T03:00:00')
    expect(error.code).toBe('USAGE')
    expect(error.message).toContain('2026-11-21T03:00:00Z (UTC) or 2026-11-21T03:00:00+01:00 (Europe/Berlin)')
    expect(error.details).toEqual({ readings: ['2026-11-21T03:00:00Z', '2026-11-21T03:00:00+01:00'] })
  })

  test('takes the local offset from the date that was given, not from today', () => {
    expect(refusal('2026-07-01 03:00').message).toContain('2026-07-01T03:00:00+02:00')
    expect(refusal('2026-01-15', 'America/St_Johns').message).toContain('2026-01-15T00:00:00-03:30')
    expect(refusal('2026-01-15', 'UTC').message).toContain('2026-01-15T00:00:00Z (UTC)')
  })

  test('says a reading once where the clocks here show UTC', () => {
    expect(refusal('2026-11-21T03:00:00', 'UTC').message).toContain('it could be 2026-11-21T03:00:00Z (UTC) or a time of another zone')
    expect(refusal('2026-11-21T03:00:00', 'Europe/London').message).toContain('(UTC, and Europe/London)')
    expect(refusal('2026-07-21T03:00:00', 'Europe/London').message).toContain('2026-07-21T03:00:00+01:00 (Europe/London)')
  })

  test('gives readings that it then accepts', () => {
    const [utc = '', local = ''] = (refusal('2026-11-21T03:00:00', 'Asia/Kolkata').details?.['readings'] ?? []) as string[]
    expect(parseMoment(utc, now)).toEqual(time('2026-11-21T03:00:00Z'))
    expect(parseMoment(local, now)).toEqual(time('2026-11-20T21:30:00Z'))
  })

  test.each(['2026-11-21T12:00:01Z', '2027-01-01T00:00:00Z', '2026-11-21T12:00:00-00:01'])('refuses the future: %s', (text) => {
    expect(refusal(text).message).toMatch(/is in the future: it is now 2026-11-21T12:00:00Z/)
  })

  test.each([
    '', 'yesterday', 'now', 'LATEST', '2026-13-01T00:00:00Z', '2026-02-30T00:00:00Z', '2026-11-21T24:00:01Z', '2026-11-21T03:60:00Z',
    '2026-11-21T03:00:61Z', '2026-11-21T03:00:00+25:00', '1732158000', '2 hours ago', '-2h ago', '20261121T023615Z-79535B0Z',
    '20261121T023615Z', '2026-11-21T03:00:00Z; rm -rf /',
  ])('refuses %j', (text) => {
    expect(refusal(text).code).toBe('USAGE')
  })

  test('refuses a moment before 1970', () => {
    expect(refusal('99y ago').message).toContain('before 1970')
  })

  test('reads back every time that formatTime writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: now.getTime() }), (ms) => {
        expect(parseMoment(formatTime(ms), now)).toEqual({ kind: 'time', ms })
      }),
    )
  })

  test('names two readings of every time without a zone, in every zone', () => {
    const zone = fc.constantFrom(...Intl.supportedValuesOf('timeZone'))
    fc.assert(
      fc.property(fc.integer({ min: 86_400_000, max: now.getTime() - 86_400_000 }), zone, (ms, localTimeZone) => {
        const wall = formatTime(Math.floor(ms / 60_000) * 60_000).slice(0, -1)
        const [utc = '', local = ''] = (refusal(wall, localTimeZone).details?.['readings'] ?? []) as string[]
        expect(utc).toBe(`${wall}Z`)
        expect(local.startsWith(wall)).toBe(true)
        expect(Math.abs(parsePastTime(local, now) - parsePastTime(utc, now))).toBeLessThanOrEqual(15 * 3_600_000)
      }),
      { numRuns: 60 },
    )
  })
})

describe('a time that is to come', () => {
  test('is a time with its zone, or how long from now', () => {
    expect(parseFutureTime('2027-01-01T00:00:00+01:00', now)).toBe(Date.UTC(2026, 11, 31, 23))
    expect(parseFutureTime('90d', now)).toBe(now.getTime() + 90 * 86_400_000)
    expect(parseFutureTime(' in 1d12h ', now)).toBe(now.getTime() + 36 * 3_600_000)
  })

  test.each(['2026-11-21T12:00:00Z', '2020-01-01T00:00:00Z', '2027-01-01T00:00:00', 'soon', '90', '0d', '100000000y'])('is not %s', (text) => {
    expect(() => parseFutureTime(text, now, { localTimeZone: 'Europe/Berlin' })).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })

  test.each(['tomorrow', 'latest', '1h ago'])('is not %s, and the hint names only what is', (text) => {
    expect(() => parseFutureTime(text, now)).toThrow(expect.objectContaining({ hint: 'give a time that is still to come, such as 2030-01-01T00:00:00Z or 90d' }))
  })
})
