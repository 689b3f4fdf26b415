import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { recoveryPointId } from '../../src/domain/recovery-point.ts'
import { type PlannablePoint, type RestoreMoment, planRestore } from '../../src/domain/restore-plan.ts'
import { PromDrError } from '../../src/errors.ts'
import { firstMs, hourMs, namedBlock } from '../fakes/recovery-points.ts'

/** Made `hours` after the first, of samples up to two seconds before. */
function point(hours: number, more: Partial<PlannablePoint> = {}): PlannablePoint {
  const createdAt = firstMs + hours * hourMs
  return { id: recoveryPointId(new Date(createdAt), 'a1b2c3'), createdAt, maxTime: createdAt - 2_000, blocks: [namedBlock(0)], head: { kind: 'empty' }, ...more }
}

const points = [point(10), point(11), point(12)] as const
const source = (name: string, ...all: PlannablePoint[]) => ({ name, points: all })
const primary = source('primary', ...points)
const time = (hours: number, offsetMs = 0): RestoreMoment => ({ kind: 'time', ms: firstMs + hours * hourMs + offsetMs })
const strict = { nearest: false }
const nearest = { nearest: true }

function refusal(attempt: () => unknown): { code: string; message: string; hint: string | undefined; details: unknown } {
  try {
    attempt()
  } catch (error) {
    if (!(error instanceof PromDrError)) throw error
    return { code: error.code, message: error.message, hint: error.hint, details: error.details }
  }
  throw new Error('it was not refused')
}

describe('a plan for "latest"', () => {
  test('takes the newest recovery point of all sources', () => {
    const plan = planRestore([source('old', points[0]), source('new', points[1], points[2])], { kind: 'latest' }, strict)
    expect(plan).toMatchObject({ point: points[2], sources: ['new'], stoppedBy: 'recovery-point', recoverableAt: points[2].maxTime, warnings: [] })
  })

  test('does not depend on the order in which recovery points are listed', () => {
    expect(planRestore([source('x', points[2], points[0], points[1])], { kind: 'latest' }, strict).point).toBe(points[2])
  })

  test('passes over recovery points of components alone, whatever the moment asked for', () => {
    const alone = point(13, { blocks: [], head: { kind: 'none' }, maxTime: null })
    const among = source('x', ...points, alone)
    expect(planRestore([among], { kind: 'latest' }, strict).point).toBe(points[2])
    expect(planRestore([among], time(13), nearest).point).toBe(points[2])
    expect(refusal(() => planRestore([among], { kind: 'recovery-point', id: alone.id }, strict))).toMatchObject({ code: 'NO_RECOVERY_POINT', hint: expect.stringContaining('--only') })
    expect(refusal(() => planRestore([source('x', alone)], { kind: 'latest' }, strict)).code).toBe('NO_RECOVERY_POINT')
  })

  test('takes the greater id of two that were made in the same millisecond', () => {
    const twins = [point(12, { id: recoveryPointId(new Date(points[2].createdAt), 'ffffffff') }), points[2]]
    expect(planRestore([source('x', ...twins)], { kind: 'latest' }, strict).point).toBe(twins[0])
  })

  test('names every source that has the recovery point, the first to be read from', () => {
    const plan = planRestore([source('far', points[2]), source('empty'), source('near', points[1], points[2])], { kind: 'latest' }, strict)
    expect(plan.sources).toEqual(['far', 'near'])
  })

  test('takes the manifest of the first source where two differ', () => {
    const other = point(12, { blocks: [namedBlock(1), namedBlock(0)] })
    expect(planRestore([source('far', other), primary], { kind: 'latest' }, strict).point).toBe(other)
  })

  test('has no recoverable moment when the server had no sample', () => {
    expect(planRestore([source('x', point(1, { maxTime: null, blocks: [] }))], { kind: 'latest' }, strict)).toMatchObject({ recoverableAt: null, blocks: [], warnings: [] })
  })
})

describe('a plan for a recovery point', () => {
  test('takes it by its id, also when it is not the newest', () => {
    expect(planRestore([primary], { kind: 'recovery-point', id: points[0].id }, strict)).toMatchObject({ point: points[0], stoppedBy: 'recovery-point' })
  })

  test('is refused for an id that no source has, also with --nearest', () => {
    const id = '20250101T000000Z-00000000'
    expect(refusal(() => planRestore([primary], { kind: 'recovery-point', id }, nearest))).toEqual({
      code: 'NO_RECOVERY_POINT', message: `there is no recovery point ${id}`, hint: 'run "prom-dr list" to see the ids; one of components alone is restored with --only', details: undefined,
    })
  })
})

test.each<RestoreMoment>([{ kind: 'latest' }, { kind: 'time', ms: firstMs }, { kind: 'recovery-point', id: points[0].id }])('without any recovery point every moment is refused: %j', (at) => {
  const { code, hint } = refusal(() => planRestore([source('a'), source('b')], at, nearest))
  expect(code).toBe('NO_RECOVERY_POINT')
  expect(hint).toContain('prom-dr list')
})

describe('a plan for a time', () => {
  test('takes the recovery point that was made at it', () => {
    expect(planRestore([primary], time(11), strict)).toMatchObject({ point: points[1], stoppedBy: 'recovery-point', warnings: [] })
  })

  test.each([
    ['before one was made, if only by a moment: deletions may have come since', 11, -1, 'it lies between two recovery points; nearest is before it 2026-11-21T10:00:00.000Z (20261121T100000Z-00a1b2c3), after it 2026-11-21T11:00:00.000Z (20261121T110000Z-00a1b2c3)'],
    ['just after one was made', 11, 1, 'it lies between two recovery points; nearest is before it 2026-11-21T11:00:00.000Z (20261121T110000Z-00a1b2c3), after it 2026-11-21T12:00:00.000Z (20261121T120000Z-00a1b2c3)'],
    ['after the newest', 13, 0, 'it is after the newest recovery point; nearest is before it 2026-11-21T12:00:00.000Z (20261121T120000Z-00a1b2c3)'],
    ['before the first', 9, 0, 'it is before the first recovery point; nearest is after it 2026-11-21T10:00:00.000Z (20261121T100000Z-00a1b2c3)'],
  ])('is refused where no recovery point answers, naming the neighbours: %s', (_, hours, offsetMs, reason) => {
    const { code, message } = refusal(() => planRestore([primary], time(hours, offsetMs), strict))
    const asked = new Date(firstMs + hours * hourMs + offsetMs).toISOString()
    expect({ code, message }).toEqual({ code: 'MOMENT_UNREACHABLE', message: `${asked} cannot be reached: ${reason}` })
  })

  test('is refused with advice that can be typed, and the neighbours for scripts', () => {
    const between = refusal(() => planRestore([primary], time(11, 1), strict))
    expect(between).toMatchObject({ hint: `restore --at ${points[1].id}, or add --nearest to take the one before`, details: { before: points[1].id, after: points[2].id } })
    const early = refusal(() => planRestore([primary], time(9), strict))
    expect(early).toMatchObject({ hint: `restore --at ${points[0].id}`, details: { before: null, after: points[0].id } })
    const late = refusal(() => planRestore([primary], time(13), strict))
    expect(late).toMatchObject({ details: { before: points[2].id, after: null } })
  })

  test('takes the one before when told --nearest, and says that it did', () => {
    expect(planRestore([primary], time(11.5), nearest)).toMatchObject({ point: points[1], stoppedBy: 'nearest', recoverableAt: points[1].maxTime })
    expect(planRestore([primary], time(99), nearest)).toMatchObject({ point: points[2], stoppedBy: 'nearest' })
  })

  test('does not say "nearest" where the moment itself was reached', () => {
    expect(planRestore([primary], time(11), nearest).stoppedBy).toBe('recovery-point')
  })

  test('is refused before the first recovery point, also with --nearest: the one after is another moment', () => {
    expect(refusal(() => planRestore([primary], time(9), nearest)).code).toBe('MOMENT_UNREACHABLE')
  })

  test('takes an empty recovery point only for the moment it was made', () => {
    const empty = source('x', point(5, { maxTime: null, blocks: [] }))
    expect(planRestore([empty], time(5), strict).point).toBe(empty.points[0])
    expect(refusal(() => planRestore([empty], time(5, -1), strict)).code).toBe('MOMENT_UNREACHABLE')
  })

  test('is refused between the blocks of a recovery point without head and the moment it was made: those samples are missing', () => {
    const headless = source('x', points[0], point(13, { maxTime: firstMs + 12 * hourMs - 1, head: { kind: 'omitted' } }))
    expect(refusal(() => planRestore([headless], time(12.5), strict))).toMatchObject({ code: 'MOMENT_UNREACHABLE', details: { before: points[0].id, after: headless.points[1]?.id } })
    expect(planRestore([headless], time(12.5), nearest).point).toBe(points[0])
  })

  test('warns when the recovery point was made without the head', () => {
    const headless = point(13, { head: { kind: 'omitted' } })
    expect(planRestore([source('x', headless)], time(13), strict)).toMatchObject({ point: headless, warnings: [`recovery point ${headless.id} was made without the head: samples newer than its newest block are not in it`] })
  })

  test('warns when targets dated samples ahead of the moment asked for', () => {
    const ahead = point(12, { maxTime: firstMs + 12 * hourMs + 540_000 })
    expect(planRestore([source('x', ahead)], time(12), strict).warnings).toEqual([`recovery point ${ahead.id} has samples that their targets dated ahead, up to 2026-11-21T12:09:00.000Z`])
    expect(planRestore([source('x', ahead)], { kind: 'latest' }, strict).warnings).toEqual([])
  })
})

describe('the blocks of a plan', () => {
  test('are fetched newest first, the head among them', () => {
    const head = namedBlock(7)
    const plan = planRestore([source('x', point(16, { blocks: [namedBlock(2), namedBlock(5), namedBlock(0)], head: { kind: 'block', block: head } }))], { kind: 'latest' }, strict)
    expect(plan.blocks.map((block) => block.ulid)).toEqual([7, 5, 2, 0].map((at) => namedBlock(at).ulid))
  })

  test('of one end come in the order of their ULIDs, newest first', () => {
    const outOfOrder = { ...namedBlock(2), ulid: namedBlock(9).ulid, inOrder: false }
    const plan = planRestore([source('x', point(16, { blocks: [namedBlock(2), outOfOrder] }))], { kind: 'latest' }, strict)
    expect(plan.blocks).toEqual([outOfOrder, namedBlock(2)])
  })

  test('are sorted without touching the recovery point', () => {
    const blocks = [namedBlock(0), namedBlock(1)]
    planRestore([source('x', point(16, { blocks }))], { kind: 'latest' }, strict)
    expect(blocks).toEqual([namedBlock(0), namedBlock(1)])
  })
})

test('whatever is stored and asked for, no plan brings back a later moment than was asked for', () => {
  let planned = 0
  let refused = 0
  const anyPoint = fc.record({ hours: fc.integer({ min: 0, max: 40 }), lagMs: fc.integer({ min: -600_000, max: 4 * hourMs }), head: fc.constantFrom('empty' as const, 'omitted' as const), bare: fc.boolean() })
  fc.assert(
    fc.property(fc.array(fc.array(anyPoint, { maxLength: 6 }), { maxLength: 3 }), fc.integer({ min: -1, max: 41 }), fc.integer({ min: -5_000, max: 5_000 }), fc.boolean(), (repositories, hours, offsetMs, isNearest) => {
      const sources = repositories.map((all, at) => source(`r${at}`, ...all.map(({ hours: made, lagMs, head, bare }, n) => point(made, { id: recoveryPointId(new Date(firstMs + made * hourMs), `${at}${n}`.padStart(8, '0')), maxTime: bare ? null : firstMs + made * hourMs - lagMs, head: { kind: head } }))))
      const all = sources.flatMap((one) => one.points)
      const at = firstMs + hours * hourMs + offsetMs
      try {
        const { point: chosen, stoppedBy, recoverableAt, warnings } = planRestore(sources, { kind: 'time', ms: at }, { nearest: isNearest })
        planned += 1
        expect(recoverableAt).toBe(chosen.maxTime)
        expect(chosen.createdAt).toBeLessThanOrEqual(at)
        if ((chosen.maxTime ?? at) > at) expect(warnings.join()).toContain('dated ahead')
        if (stoppedBy === 'nearest') {
          expect(isNearest).toBe(true)
          expect(all.some((other) => other.createdAt > chosen.createdAt && other.createdAt <= at)).toBe(false)
        }
      } catch (error) {
        if (!(error instanceof PromDrError)) throw error
        refused += 1
        expect(error.code).toBe(all.length === 0 ? 'NO_RECOVERY_POINT' : 'MOMENT_UNREACHABLE')
        if (isNearest) expect(all.every((other) => other.createdAt > at)).toBe(true)
        if (all.length === 0) return
        const neighbours = error.details as { before: string | null; after: string | null }
        const before = all.filter((other) => other.createdAt <= at).map((other) => other.createdAt)
        const after = all.filter((other) => other.createdAt > at).map((other) => other.createdAt)
        expect(all.find((other) => other.id === neighbours.before)?.createdAt).toBe(before.length === 0 ? undefined : Math.max(...before))
        expect(all.find((other) => other.id === neighbours.after)?.createdAt).toBe(after.length === 0 ? undefined : Math.min(...after))
      }
    }),
    { numRuns: 2_000 },
  )
  expect(Math.min(planned, refused)).toBeGreaterThan(200)
})
