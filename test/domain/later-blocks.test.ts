import { describe, expect, test } from 'vitest'
import { completeUntilMs, cutAt, joinLaterBlocks, laterPoints, windowBeforeLog } from '../../src/domain/later-blocks.ts'
import { type NamedBlock, recoveryPointId } from '../../src/domain/recovery-point.ts'
import type { PlannablePoint } from '../../src/domain/restore-plan.ts'
import type { StreamInventory } from '../../src/domain/wal-plan.ts'
import { newUlid } from '../../src/domain/ulid.ts'
import { firstMs, hourMs, namedBlock } from '../fakes/recovery-points.ts'

const at = (hours: number) => firstMs + hours * hourMs

/** Made `hours` after the first, whose head is in the log unless told otherwise. */
function point(hours: number, blocks: NamedBlock[], head: PlannablePoint['head'] = { kind: 'wal', generation: 'g' }): PlannablePoint {
  return { id: recoveryPointId(new Date(at(hours)), 'a1b2c3'), createdAt: at(hours), maxTime: at(hours) - 2_000, blocks, head }
}

/** The successor of the blocks from..to (numbers of `namedBlock`), both included. */
function merged(from: number, to: number, more: Partial<NamedBlock> = {}): NamedBlock {
  return { ...namedBlock(from), ulid: newUlid(at(2 * to + 4), new Uint8Array(10).fill(100 + from)), maxTime: namedBlock(to).maxTime, level: 2, numSamples: (to - from + 1) * namedBlock(0).numSamples, ...more }
}

const deletions = (sha256: string) => ({ tombstones: { sha256: sha256.repeat(64), sizeBytes: 20 } })
const names = (blocks: readonly NamedBlock[]) => blocks.map(({ ulid }) => ulid).sort()
const join = (points: readonly PlannablePoint[], later: PlannablePoint, hours: number, includeDeletes = false) => joinLaterBlocks(points, later, { atMs: at(hours), includeDeletes })

describe('a recovery point has every sample', () => {
  test('up to the moment it was made where it holds the head', () => {
    expect(completeUntilMs(point(5, [namedBlock(0)], { kind: 'empty' }))).toBe(at(5))
    expect(completeUntilMs(point(5, [], { kind: 'block', block: namedBlock(0) }))).toBe(at(5))
  })

  test('up to the end of its newest in-order block where it does not', () => {
    const late = { ...namedBlock(4), inOrder: false }
    for (const head of [{ kind: 'omitted' as const }, { kind: 'wal' as const, generation: 'g' }]) expect(completeUntilMs(point(9, [namedBlock(0), namedBlock(1), late], head))).toBe(at(4) - 1)
    expect(completeUntilMs(point(9, [late]))).toBeUndefined()
  })
})

describe('recovery points made later', () => {
  test('answer for a moment that their blocks reach, the first of them first', () => {
    const points = [point(13, [0, 1, 2].map((n) => namedBlock(n))), point(7, [0, 1].map((n) => namedBlock(n))), point(9, [0, 1, 2].map((n) => namedBlock(n)))]
    expect(laterPoints(points, at(5)).map(({ createdAt }) => createdAt)).toEqual([at(9), at(13)])
    expect(laterPoints(points, at(3.5))[0]?.createdAt).toBe(at(7))
    expect(laterPoints(points, at(6))).toEqual([])
  })

  test('do not answer for a moment before all of their blocks, or for the time after they were made', () => {
    expect(laterPoints([point(9, [namedBlock(1)], { kind: 'empty' })], at(1))).toEqual([])
    expect(laterPoints([point(9, [namedBlock(1)], { kind: 'empty' })], at(9))).toEqual([])
  })
})

describe('a moment between two recovery points', () => {
  const [first, second, third, fourth] = [0, 1, 2, 3].map((n) => namedBlock(n)) as [NamedBlock, NamedBlock, NamedBlock, NamedBlock]

  test('has the blocks of the earlier one, continued by the first of the later one that reaches it', () => {
    const [early, late] = [point(5, [first, second]), point(9, [first, second, third, fourth])]
    expect(names(join([early, late], late, 5.5).point.blocks)).toEqual(names([first, second, third]))
    expect(join([early, late], late, 5.5)).toMatchObject({ before: early, undeleted: [], mixed: false })
  })

  test('has the later one\'s head where only that reaches it, and not otherwise', () => {
    const head = { kind: 'block' as const, block: { ...namedBlock(2), maxTime: at(5) } }
    const late = point(5, [first, second], head)
    expect(join([late], late, 4.5).point.head).toEqual(head)
    expect(join([late], late, 3.5).point.head).toEqual({ kind: 'empty' })
  })

  test('has what the later one lost to its retention', () => {
    const [early, late] = [point(5, [first, second]), point(9, [second, third])]
    expect(join([early, late], late, 5.5)).toMatchObject({ mixed: true, point: { blocks: expect.arrayContaining([first]) } })
  })

  test('has the successor of blocks where it reaches further, and not what went into it: a server would remove that', () => {
    const [early, late] = [point(5, [first, second]), point(9, [first, merged(1, 2)])]
    expect(names(join([early, late], late, 5.5).point.blocks)).toEqual(names([first, merged(1, 2)]))
  })

  test('keeps blocks rather than a successor that deletions went into, and takes one that late samples went into', () => {
    const early = point(7, [first, second, third])
    const deleted = point(11, [merged(0, 1, { numSamples: 9_000 }), third, fourth])
    expect(names(join([early, deleted], deleted, 7.5).point.blocks)).toEqual(names([first, second, third, fourth]))
    const grown = point(11, [merged(0, 1, { numSamples: 9_700 }), third, fourth])
    expect(names(join([early, grown], grown, 7.5).point.blocks)).toEqual(names([merged(0, 1, { numSamples: 9_700 }), third, fourth]))
  })

  test('has blocks of late samples that were written since', () => {
    const lateSamples = { ...merged(0, 0, { inOrder: false, numSamples: 5 }) }
    const [early, late] = [point(5, [first, second]), point(9, [first, second, third, lateSamples])]
    expect(names(join([early, late], late, 5.5).point.blocks)).toEqual(names([first, second, third, lateSamples]))
  })

  test('leaves deletions out that were made since in a block of both, and says so, unless they are asked for', () => {
    const [early, late] = [point(5, [{ ...first, ...deletions('a') }, second]), point(9, [{ ...first, ...deletions('b') }, second, { ...third, ...deletions('c') }])]
    const joined = join([early, late], late, 5.5)
    expect(joined).toMatchObject({ undeleted: [first.ulid], mixed: true })
    expect(joined.point.blocks.map(({ tombstones }) => tombstones?.sha256[0])).toEqual(['a', undefined, 'c'])
    const including = join([early, late], late, 5.5, true)
    expect(including).toMatchObject({ undeleted: [], mixed: false })
    expect(including.point.blocks.map(({ tombstones }) => tombstones?.sha256[0])).toEqual(['b', undefined, 'c'])
  })

  test('without an earlier one has the later one alone', () => {
    const late = point(9, [first, second, third])
    expect(join([late], late, 3)).toMatchObject({ before: undefined, mixed: false, point: { blocks: [first, second] } })
  })
})

test('a block is cut only where it reaches beyond the moment', () => {
  const block = namedBlock(1)
  expect(cutAt([block], block.maxTime - 1)).toEqual([block])
  expect(cutAt([block], block.maxTime - 2)).toEqual([{ ...block, cutAfterMs: block.maxTime - 2 }])
})

describe('the moments that are older than the log', () => {
  const points = [point(3, [namedBlock(0)]), point(7, [0, 1, 2].map((n) => namedBlock(n))), point(9, [0, 1, 2, 3].map((n) => namedBlock(n)))]
  /** A log that goes on from the fourth block. */
  const stream: StreamInventory = {
    repository: 'primary', generation: { id: 'g', startedAt: at(8.5), reason: '', parent: null, firstSegment: 7, checkpoint: null, bound: at(8), gap: null }, wbl: [], checkpoints: [],
    wal: [{ log: 'wal', segment: 7, start: 0, end: 100, newestSample: at(10), seenAt: at(10), digest: 'd'.repeat(64), predecessor: undefined, sealed: false, key: 'k', storedBytes: 50 }],
    heartbeat: { at: at(10), segment: 7, offset: 100 },
  }

  test('go from the first recovery point to the first moment that the log reaches', () => {
    expect(windowBeforeLog(points, [stream])).toEqual({ fromMs: at(3), toMs: at(8) - 1 })
    expect(windowBeforeLog([...points.slice(0, 2), { ...points[2] as PlannablePoint, head: { kind: 'empty' } }], [stream])).toEqual({ fromMs: at(3), toMs: at(9) - 1 })
  })

  test('are none without a log, and none where the first recovery point is the first that the log reaches', () => {
    expect(windowBeforeLog(points, [])).toBeUndefined()
    expect(windowBeforeLog(points.slice(2), [stream])).toBeUndefined()
  })
})
