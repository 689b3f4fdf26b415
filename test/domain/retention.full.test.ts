import { describe, expect, test } from 'vitest'
import { defaultRetention } from '../../src/domain/retention.ts'
import { tiers } from '../../src/domain/tiers.ts'
import { simulateYears } from '../fakes/simulated-years.ts'
import { expectGolden } from '../support/golden.ts'
import { writeLinePlot } from '../support/line-plot.ts'

// Half an hour, two hours and negative summer time; a date left out; midnights that do not exist; zones that changed their mind.
const zones = [
  'UTC', 'Europe/Berlin', 'Europe/Dublin', 'America/New_York', 'America/St_Johns', 'America/Sao_Paulo', 'America/Caracas', 'Africa/Casablanca', 'Africa/Cairo',
  'Asia/Kathmandu', 'Asia/Tehran', 'Asia/Pyongyang', 'Australia/Lord_Howe', 'Pacific/Apia', 'Pacific/Chatham', 'Pacific/Kiritimati', 'Antarctica/Troll',
]

describe('ten years of hourly backups, blocks included', () => {
  test.each(zones)('in %s: every recovery point that is kept is whole at every step, and expired blocks are gone', async (timezone) => {
    const stored: { atMs: number; value: number }[] = []
    const outcome = simulateYears({
      startMs: Date.UTC(2009, 0, 1, 0, 7), endMs: Date.UTC(2019, 0, 1), timezone, retention: defaultRetention, blocks: true,
      onExpiry: ({ nowMs, storedBytes }) => stored.push({ atMs: nowMs, value: storedBytes / 1e6 }),
    })
    expect(outcome).toMatchObject({ missing: [], forgotten: [], made: 87_648 })
    expect(outcome.looks).toBeGreaterThan(200_000)
    await writeLinePlot(`bytes-stored-${timezone.replace('/', '-').toLowerCase()}`, { title: `Bytes of blocks stored, ${timezone}`, unit: 'MB', curves: [{ name: 'stored', points: stored }] })
    const years = stored.filter(({ atMs }) => new Date(atMs).getUTCMonth() === 11 && new Date(atMs).getUTCDate() === 31).map(({ atMs, value }) => `${new Date(atMs).getUTCFullYear()}: ${value.toFixed(1)} MB`)
    const counts = tiers.map((tier) => `${outcome.kept.filter((point) => point.tiers.includes(tier)).length} ${tier}`)
    await expectGolden(`retention/stored-${timezone.replace('/', '-').toLowerCase()}.txt`, [`# ${timezone}: blocks stored at the end of each year; ${(outcome.uploadedBytes / 1e6).toFixed(1)} MB were uploaded in all`, ...years, `kept: ${counts.join(', ')}`, ''].join('\n'))
  })
})
