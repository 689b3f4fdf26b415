import { describe, expect, it } from 'vitest'
import type { WalPiece } from '../../src/domain/wal-stream.ts'
import { type WindowGeneration, type WindowPoint, planWalWindow } from '../../src/domain/wal-window.ts'

const hourMs = 3_600_000
const nowMs = 1_000 * hourMs
const window = { nowMs, windowMs: 72 * hourMs }
/** Hours before now, as a time. */
const ago = (hours: number) => nowMs - hours * hourMs

function piece(segment: number, seenAt: number, log: WalPiece['log'] = 'wal'): WalPiece {
  return { log, segment, start: 0, end: 1000, newestSample: seenAt, seenAt, digest: 'a'.repeat(64), predecessor: undefined, sealed: true, key: `${log}/${segment}`, storedBytes: 100 }
}

/** A segment every two hours since 200 hours ago, and a checkpoint with each fourth, whose bound lies two hours before it. */
function generation(over: Partial<WindowGeneration> = {}): WindowGeneration {
  const wal = Array.from({ length: 100 }, (_, at) => piece(at, ago(200 - 2 * at)))
  const checkpoints = wal.filter(({ segment }) => segment % 4 === 3).map(({ segment, seenAt }) => ({ segment, seenAt, bound: seenAt - 2 * hourMs }))
  return { id: 'g1', startedAt: ago(200), current: true, lastSeenAt: nowMs, newestSample: nowMs, checkpoints, wal, wbl: [], ...over }
}

function pointAt(createdAt: number, over: Partial<WindowPoint> = {}): WindowPoint {
  return { createdAt, headInGeneration: undefined, bound: createdAt - hourMs, ...over }
}

const hourly = Array.from({ length: 200 }, (_, at) => pointAt(ago(200 - at)))

describe('WAL that is older than the window', () => {
  it('goes up to the newest checkpoint that leaves every moment of the window in reach', () => {
    const [removal, ...others] = planWalWindow([generation()], hourly, window)
    expect(others).toEqual([])
    const checkpoint = generation().checkpoints.find(({ segment }) => segment === removal?.upTo)
    expect(checkpoint?.seenAt).toBeLessThanOrEqual(ago(72))
    // The next one would cut into the window.
    expect(ago(200 - 2 * ((removal?.upTo ?? 0) + 4))).toBeGreaterThan(ago(72))
    expect(removal?.pieces.map(({ segment }) => segment)).toEqual(Array.from({ length: (removal?.upTo ?? 0) + 1 }, (_, at) => at))
    expect(removal?.checkpoints).not.toContain(removal?.upTo)
  })

  it('stays where no recovery point from before the window has the blocks that replace it', () => {
    expect(planWalWindow([generation()], [], window)).toEqual([])
    expect(planWalWindow([generation()], [pointAt(ago(10))], window)).toEqual([])
    expect(planWalWindow([generation()], [pointAt(ago(73), { bound: ago(199) })], window)).toEqual([])
  })

  it('goes only up to what the oldest recovery point without a head needs', () => {
    const relying = pointAt(ago(150), { headInGeneration: 'g1' })
    const [removal] = planWalWindow([generation()], [...hourly, relying], window)
    const checkpoint = generation().checkpoints.find(({ segment }) => segment === removal?.upTo)
    expect(checkpoint?.bound).toBeLessThanOrEqual(relying.bound ?? 0)
    expect(checkpoint?.seenAt).toBeGreaterThan(ago(165))
  })

  it('goes only up to a checkpoint that was there when such a recovery point was made: a later one may have later deletions in it', () => {
    const [first, second] = generation().checkpoints
    const relying = pointAt((second?.seenAt ?? 0) - 1, { headInGeneration: 'g1', bound: second?.bound ?? 0 })
    const [removal] = planWalWindow([generation()], [...hourly, relying], window)
    expect(removal?.upTo).toBe(first?.segment)
  })

  it('stays without a checkpoint, however old it is', () => {
    expect(planWalWindow([generation({ checkpoints: [] })], hourly, window)).toEqual([])
  })

  it('leaves out-of-order segments that no later one followed long before the recovery points', () => {
    const wbl = [piece(0, ago(190), 'wbl'), piece(1, ago(180), 'wbl'), piece(2, ago(1), 'wbl')]
    const [removal] = planWalWindow([generation({ wbl })], hourly.filter(({ createdAt }) => createdAt > ago(100)), window)
    expect(removal?.pieces.filter(({ log }) => log === 'wbl').map(({ segment }) => segment)).toEqual([0])
  })
})

describe('out-of-order segments in a store that lets nobody delete', () => {
  it('are told from one another in one look, however many parts there are of them', () => {
    const wbl = Array.from({ length: 150_000 }, (_, at) => ({ ...piece(Math.floor(at / 1000), ago(150 - at / 1000), 'wbl'), start: at % 1000 }))
    const [removal] = planWalWindow([generation({ wbl })], hourly, window)
    expect(removal?.pieces.filter(({ log }) => log === 'wbl').length).toBeGreaterThan(10_000)
  })
})

describe('a generation that ended before the window', () => {
  const ended = generation({ current: false, lastSeenAt: ago(100), newestSample: ago(100), startedAt: ago(150) })

  it('goes whole when blocks of later recovery points have its samples', () => {
    expect(planWalWindow([ended], hourly, window)).toMatchObject([{ generation: 'g1', upTo: undefined }])
  })

  it('stays for a recovery point that names it, also one made after its last sign of life', () => {
    expect(planWalWindow([{ ...ended, checkpoints: [] }], [...hourly, pointAt(ended.lastSeenAt + 30_000, { headInGeneration: 'g1' })], window)).toEqual([])
    expect(planWalWindow([{ ...ended, checkpoints: [] }], [...hourly, pointAt(ended.lastSeenAt + 30_000, { headInGeneration: 'g2' })], window)).toHaveLength(1)
  })

  it('stays while they do not, or a recovery point without a head needs it', () => {
    expect(planWalWindow([{ ...ended, checkpoints: [] }], [pointAt(ago(80), { bound: ago(101) })], window)).toEqual([])
    expect(planWalWindow([{ ...ended, checkpoints: [] }], [...hourly, pointAt(ago(120), { headInGeneration: 'g1' })], window)).toEqual([])
  })
})
