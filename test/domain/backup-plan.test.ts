import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ServerBlock, planBackup } from '../../src/domain/backup-plan.ts'
import { defaultCompactedSpanMs } from '../../src/domain/compaction-cover.ts'
import { type SimulatedBlock, SimulatedTsdb } from '../fakes/simulated-tsdb.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs

function block(ulid: string, more: Partial<ServerBlock> = {}): ServerBlock {
  return { ulid, minTime: 0, maxTime: 2 * hourMs, level: 1, sources: [ulid], numSamples: 10, hasTombstones: false, ...more }
}

describe('a backup', () => {
  test('uploads what is not stored, and names everything once', () => {
    const plan = planBackup([block('A'), block('B')], [block('A')], dayMs)
    expect(plan).toEqual({ upload: ['B'], reuse: ['A'], covers: new Map(), standIns: new Map(), named: ['A', 'B'] })
  })

  test('of a server without blocks names nothing', () => {
    expect(planBackup([], [block('A')], dayMs)).toEqual({ upload: [], reuse: [], covers: new Map(), standIns: new Map(), named: [] })
  })

  const merged = block('M', { level: 2, sources: ['A', 'B'], numSamples: 20, maxTime: 4 * hourMs })

  test('names the stored sources of a compacted block in its place', () => {
    const plan = planBackup([merged], [block('A'), block('B')], dayMs)
    expect(plan).toEqual({ upload: [], reuse: [], covers: new Map([['M', ['A', 'B']]]), standIns: new Map(), named: ['A', 'B'] })
  })

  test('uploads a compacted block that spans enough, and names its sources no more', () => {
    expect(planBackup([merged], [block('A'), block('B')], 4 * hourMs)).toEqual({ upload: ['M'], reuse: [], covers: new Map(), standIns: new Map([['M', ['A', 'B']]]), named: ['M'] })
    expect(planBackup([merged], [block('A'), block('B')], 4 * hourMs + 1)).toMatchObject({ upload: [], named: ['A', 'B'] })
  })

  test('names a compacted block itself once it is stored, however small it is', () => {
    expect(planBackup([merged], [block('A'), block('B'), merged], dayMs)).toMatchObject({ upload: [], reuse: ['M'], named: ['M'] })
  })

  test('names a stored block although it has new tombstones: they are stored beside it', () => {
    expect(planBackup([block('A', { hasTombstones: true })], [block('A')], dayMs)).toMatchObject({ upload: [], reuse: ['A'] })
  })

  test.each([
    ['the compacted block has tombstones', { hasTombstones: true }, {}],
    ['one of its sources has', {}, { hasTombstones: true }],
    ['samples were deleted in the compaction', { numSamples: 19 }, {}],
  ])('uploads a compacted block when %s', (_, compacted, source) => {
    expect(planBackup([{ ...merged, ...compacted }], [block('A'), block('B', source)], dayMs)).toMatchObject({ upload: ['M'], standIns: new Map(), named: ['M'] })
  })

  test('never covers a level-1 block by others: it is nobody\'s compaction', () => {
    expect(planBackup([block('N', { sources: ['A'], numSamples: 10 })], [block('A')], dayMs)).toMatchObject({ upload: ['N'] })
  })
})

interface Month {
  retentionMs: number
  /** True: what the newest recovery point does not name is gone at once. False: nothing ever expires. */
  expires: boolean
  /** Whether the backup of an hour is made. */
  isMade(hour: number): boolean
  /** Whether the server scrapes in that hour. */
  isUp(hour: number): boolean
  /** Called before the backup of an hour. */
  disturb?(tsdb: SimulatedTsdb, hour: number): void
  hours?: number
}

/** Makes hourly backups of a server whose blocks are cut, merged and removed, each against what the ones before it uploaded. */
function simulate(month: Month) {
  const startMs = Date.UTC(2026, 0, 1)
  const minBlockMs = 2 * hourMs
  // Prometheus: the lower of 31 days and a tenth of the retention.
  const maxBlockMs = Math.max(minBlockMs, Math.min(31 * dayMs, month.retentionMs / 10))
  const tsdb = new SimulatedTsdb(startMs, { minBlockMs, maxBlockMs, retentionMs: month.retentionMs, samplesPerHour: 240_000, bytesPerSample: 1.5, indexBytes: 150_000, firstSampleMs: 7_345 })
  const compactedSpanMs = defaultCompactedSpanMs(minBlockMs, maxBlockMs)
  let existing = new Map<string, SimulatedBlock>()
  let named: string[] = []
  let uploadedBytes = 0
  let points = 0
  let covered = 0
  let largestPoint = 0
  for (let hour = 1; hour <= (month.hours ?? 31 * 24); hour += 1) {
    tsdb.advance(startMs + hour * hourMs, month.isUp(hour))
    month.disturb?.(tsdb, hour)
    if (!month.isMade(hour)) continue
    const server = tsdb.blocks.map((candidate) => ({ ...candidate }))
    // What the inventory of a backup finds: the blocks that the newest recovery point names, the server's, and their sources.
    const known = new Set([...named, ...server.flatMap((candidate) => [candidate.ulid, ...candidate.sources])])
    const plan = planBackup(server, [...existing.values()].filter((candidate) => known.has(candidate.ulid)), compactedSpanMs)
    for (const ulid of plan.upload) {
      const uploaded = server.find((candidate) => candidate.ulid === ulid) as SimulatedBlock
      existing.set(ulid, uploaded)
      uploadedBytes += uploaded.sizeBytes
    }
    // Tombstones of named blocks are in the manifest: the next backup sees them.
    for (const candidate of server) if (plan.named.includes(candidate.ulid)) existing.set(candidate.ulid, { ...(existing.get(candidate.ulid) as SimulatedBlock), hasTombstones: candidate.hasTombstones })
    named = plan.named
    if (month.expires) existing = new Map([...existing].filter(([ulid]) => named.includes(ulid)))
    expectExactlyOnce(server, named.map((ulid) => existing.get(ulid) as SimulatedBlock))
    points += 1
    covered += plan.covers.size
    largestPoint = Math.max(largestPoint, named.length)
  }
  const newBytes = tsdb.cut.reduce((sum, cut) => sum + cut.sizeBytes, 0)
  return { ratio: uploadedBytes / newBytes, points, covered, largestPoint, cut: tsdb.cut.length, largest: Math.max(...tsdb.blocks.map((candidate) => candidate.maxTime - candidate.minTime)), tsdb }
}

/** The recovery point's blocks hold the server's samples: every source once, and as many samples as there are. */
function expectExactlyOnce(server: readonly SimulatedBlock[], point: readonly (SimulatedBlock | undefined)[]): void {
  expect(point).not.toContain(undefined)
  const blocks = point as SimulatedBlock[]
  const sourcesOf = (all: readonly SimulatedBlock[]) => all.flatMap((candidate) => candidate.sources).sort()
  const samplesOf = (all: readonly SimulatedBlock[]) => all.reduce((sum, candidate) => sum + candidate.numSamples, 0)
  expect(sourcesOf(blocks)).toEqual(sourcesOf(server))
  expect(new Set(sourcesOf(blocks)).size).toBe(sourcesOf(blocks).length)
  expect(samplesOf(blocks)).toBe(samplesOf(server))
}

const always = { isMade: () => true, isUp: () => true }

describe('over a month of hourly backups with compaction left on', () => {
  test.each([
    ['15 days of retention, nothing expires', 15 * dayMs, false],
    ['15 days of retention, only the newest recovery point is kept', 15 * dayMs, true],
    ['30 days, nothing expires', 30 * dayMs, false],
    ['90 days, only the newest is kept', 90 * dayMs, true],
    ['a year, nothing expires', 365 * dayMs, false],
    ['2 days: blocks are never merged', 2 * dayMs, true],
  ])('block bytes uploaded are at most 2.2 times those of new samples, and every recovery point has each sample once: %s', (_, retentionMs, expires) => {
    const month = simulate({ ...always, retentionMs, expires })
    expect(month.points).toBe(31 * 24)
    expect(month.cut).toBeGreaterThan(360)
    expect(month.ratio).toBeLessThanOrEqual(2.2)
    expect(month.ratio).toBeGreaterThan(0.98)
    if (retentionMs >= 15 * dayMs) {
      expect(month.covered).toBeGreaterThan(700)
      expect(month.largest).toBeGreaterThan(17 * hourMs)
    }
  })

  test('the same holds when backups are missed and the server is down for hours', () => {
    const month = simulate({ retentionMs: 15 * dayMs, expires: true, isMade: (hour) => hour % 7 !== 0 && (hour < 300 || hour > 326), isUp: (hour) => hour % 100 > 9 })
    expect(month.points).toBeLessThan(640)
    expect(month.cut).toBeLessThan(345)
    expect(month.ratio).toBeLessThanOrEqual(2.2)
  })

  test('old history is few objects: a recovery point never names more than a small multiple of the server\'s blocks', () => {
    const month = simulate({ ...always, retentionMs: 90 * dayMs, expires: false })
    // 162 h blocks of 81 sources are uploaded whole; before that at most one range of small blocks is open, and its predecessor.
    expect(month.largestPoint).toBeLessThan(2 * 81 + 10)
  })
})

test('after deletions every recovery point still has the samples of the server, exactly once', () => {
  let deletions = 0
  const month = simulate({
    ...always,
    retentionMs: 15 * dayMs,
    expires: true,
    disturb: (tsdb, hour) => {
      const target = tsdb.blocks[hour % Math.max(1, tsdb.blocks.length)]
      if (hour % 29 !== 0 || target === undefined) return
      tsdb.deleteFrom(target)
      deletions += 1
    },
  })
  expect(deletions).toBeGreaterThan(20)
  expect(month.ratio).toBeLessThan(3)
})

test('whenever backups are made, and whatever the server does, no recovery point lacks or repeats a sample', () => {
  fc.assert(
    fc.property(
      fc.record({ retentionDays: fc.constantFrom(1, 10, 15, 40), expires: fc.boolean(), made: fc.array(fc.boolean(), { minLength: 3, maxLength: 30 }), up: fc.array(fc.boolean(), { minLength: 3, maxLength: 30 }), deletes: fc.option(fc.integer({ min: 3, max: 60 })) }),
      ({ retentionDays, expires, made, up, deletes }) => {
        simulate({
          retentionMs: retentionDays * dayMs, expires, hours: 240,
          isMade: (hour) => made[hour % made.length] as boolean,
          isUp: (hour) => up[hour % up.length] === true || hour % 3 === 0,
          disturb: (tsdb, hour) => {
            const target = tsdb.blocks[(hour * 7) % Math.max(1, tsdb.blocks.length)]
            if (deletes !== null && hour % deletes === 0 && target !== undefined) tsdb.deleteFrom(target)
          },
        })
      },
    ),
    { numRuns: 60 },
  )
})
