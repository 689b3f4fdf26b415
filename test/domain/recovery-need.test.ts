import { describe, expect, it } from 'vitest'
import { type NeedPoint, type NeedStream, recoveryNeed } from '../../src/domain/recovery-need.ts'

const nowMs = 100_000_000

function stream(over: Partial<NeedStream> & { blocks?: number; source?: object; gap?: NeedStream['generation']['gap']; bound?: number | null; checkpoint?: number | null } = {}): NeedStream {
  const { gap = null, bound = null, checkpoint = null, blocks, source, ...others } = over
  return { generation: { startedAt: nowMs - 1000, gap, bound, checkpoint, firstSegment: 0, blocks, source }, checkpoints: [], damagedSince: undefined, ...others }
}

const point = (over: Partial<NeedPoint> = {}): NeedPoint => ({ createdAt: nowMs - 5000, headStored: true, bound: nowMs - 50_000, ...over })
const gap = { from: nowMs - 9000, to: nowMs - 2000, reason: 'segment 00000003 is gone' }

describe('a shipped log wants a recovery point', () => {
  it('after a gap, until one with the head was made since', () => {
    expect(recoveryNeed(stream({ gap }), [point()], nowMs)).toMatchObject({ kind: 'gap', reason: expect.stringContaining(gap.reason) })
    expect(recoveryNeed(stream({ gap }), [point(), point({ createdAt: nowMs - 500, headStored: false })], nowMs)).toMatchObject({ kind: 'gap' })
    expect(recoveryNeed(stream({ gap }), [point({ createdAt: nowMs - 500 })], nowMs)).toBeUndefined()
  })

  it('where none has the blocks that it goes on from', () => {
    const bound = nowMs - 20_000
    expect(recoveryNeed(stream({ bound }), [point()], nowMs)).toMatchObject({ kind: 'unreachable' })
    expect(recoveryNeed(stream({ bound }), [point({ bound: null })], nowMs)).toMatchObject({ kind: 'unreachable' })
    expect(recoveryNeed(stream({ bound }), [point({ bound })], nowMs)).toBeUndefined()
    // A checkpoint that goes on from older blocks does as well.
    expect(recoveryNeed(stream({ bound, checkpoints: [{ bound: nowMs - 60_000 }, { bound }] }), [point()], nowMs)).toBeUndefined()
    expect(recoveryNeed(stream({ bound, checkpoint: 4, checkpoints: [{ bound: nowMs - 30_000 }] }), [point()], nowMs)).toMatchObject({ kind: 'unreachable' })
  })

  it('not while its own beginning is not shipped yet', () => {
    expect(recoveryNeed(stream({ bound: nowMs, checkpoint: 4 }), [point()], nowMs)).toBeUndefined()
  })

  it('where there is none at all', () => {
    expect(recoveryNeed(stream(), [], nowMs)).toMatchObject({ kind: 'first' })
    expect(recoveryNeed(stream(), [point({ bound: null })], nowMs)).toBeUndefined()
  })

  it('not where it is all that its server ever had, which is restored by itself', () => {
    const alone = { blocks: 0, source: {} }
    expect(recoveryNeed(stream(alone), [], nowMs)).toBeUndefined()
    expect(recoveryNeed(stream({ ...alone, bound: nowMs }), [], nowMs)).toMatchObject({ kind: 'first' })
    expect(recoveryNeed(stream({ ...alone, gap }), [], nowMs)).toMatchObject({ kind: 'gap' })
  })

  it('with the block that took samples from the out-of-order log before they were seen there, with the head or without', () => {
    const late = stream({ lateSince: nowMs - 1000, blocks: 0, source: {} })
    expect(recoveryNeed(late, [], nowMs)).toMatchObject({ kind: 'late' })
    expect(recoveryNeed(late, [point()], nowMs)).toMatchObject({ kind: 'late' })
    expect(recoveryNeed(late, [point({ createdAt: nowMs - 500, headStored: false })], nowMs)).toBeUndefined()
  })

  it('again and again while the server\'s own log is damaged', () => {
    const damaged = (damagedSince: number) => stream({ damagedSince })
    expect(recoveryNeed(damaged(nowMs - 100), [point()], nowMs)).toMatchObject({ kind: 'damage' })
    expect(recoveryNeed(damaged(nowMs - 6000), [point()], nowMs)).toBeUndefined()
    expect(recoveryNeed(damaged(nowMs - 9_000_000), [point({ createdAt: nowMs - 960_000 })], nowMs)).toMatchObject({ kind: 'damage' })
  })
})
