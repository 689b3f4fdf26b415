import { describe, expect, it } from 'vitest'
import { exactWindows, streamGaps } from '../../src/domain/reachable.ts'
import { type StreamInventory, chooseReplay, datePieces, piecesUntil } from '../../src/domain/wal-plan.ts'
import type { WalPiece } from '../../src/domain/wal-stream.ts'

const piece = (segment: number, seenAt: number): WalPiece => ({
  log: 'wal', segment, start: 0, end: 100, newestSample: seenAt, seenAt, digest: `digest of ${segment}`, predecessor: undefined, sealed: false, key: `${segment}`, storedBytes: 10,
})

function stream(id: string, startedAt: number, more: Partial<StreamInventory['generation']> & { wal: WalPiece[] }): StreamInventory {
  const { wal, ...generation } = more
  const last = wal.at(-1)
  return { repository: 'primary', generation: { id, startedAt, reason: 'test', parent: null, firstSegment: 0, checkpoint: null, bound: null, gap: null, ...generation }, wal, wbl: [], checkpoints: [], heartbeat: last && { at: last.seenAt, segment: last.segment, offset: last.end } }
}

const base = { id: 'base', createdAt: 5, blocks: [] }
const first = stream('first', 0, { wal: [piece(0, 100)] })

describe('the log up to latest', () => {
  it('stops at its end where nothing was logged since', () => {
    expect(chooseReplay([base], [first], { atMs: 'latest' })).toMatchObject({ generation: 'first', stoppedBy: 'end' })
    const silent = stream('second', 200, { firstSegment: 3, checkpoint: 2, bound: 90, wal: [] })
    expect(chooseReplay([base], [first, silent], { atMs: 'latest' })).toMatchObject({ generation: 'first', stoppedBy: 'end' })
  })

  it('stops at a gap where a later generation has more that the recovery point does not lead to', () => {
    const second = stream('second', 200, { firstSegment: 3, checkpoint: 2, bound: 90, wal: [piece(3, 300)] })
    expect(chooseReplay([base], [first, second], { atMs: 'latest' })).toMatchObject({ generation: 'first', stoppedBy: 'gap' })
    const later = { id: 'later', createdAt: 250, blocks: [{ inOrder: true, maxTime: 90 }] }
    const withCheckpoint = { ...second, checkpoints: [{ segment: 2, bound: 90, seenAt: 210, files: [] }] }
    expect(chooseReplay([base, later], [first, withCheckpoint], { atMs: 'latest' })).toMatchObject({ baseId: 'later', generation: 'second', stoppedBy: 'end' })
  })

  it('goes on with the newest generation that the recovery point leads to', () => {
    const second = stream('second', 200, { wal: [piece(0, 300)] })
    expect(chooseReplay([base], [first, second], { atMs: 'latest' })).toMatchObject({ generation: 'second', stoppedBy: 'end' })
  })
})

describe('a server whose log was lost', () => {
  const old = { id: 'old', createdAt: 5, blocks: [{ inOrder: true, maxTime: 4 }] }
  const fresh = stream('fresh', 200, { gap: { from: 100, to: 150, reason: 'test' }, wal: [piece(0, 300)] })
  const whole = stream('whole', 400, { wal: [piece(0, 500)] })

  it('is not brought on from before the gap by what was logged after it', () => {
    expect(exactWindows([old], [first, fresh, whole])).toEqual([{ fromMs: 5, toMs: 100 }])
    expect(chooseReplay([old], [first, fresh, whole], { atMs: 120 })).toBeUndefined()
    expect(chooseReplay([old], [first, fresh, whole], { atMs: 250 })).toBeUndefined()
    expect(chooseReplay([old], [first, fresh, whole], { atMs: 'latest' })).toMatchObject({ generation: 'first', stoppedBy: 'gap' })
  })

  it('is brought on from a recovery point that was made in the meantime', () => {
    const between = { id: 'between', createdAt: 160, blocks: [] }
    expect(chooseReplay([old, between], [first, fresh, whole], { atMs: 250 })).toMatchObject({ baseId: 'between', generation: 'fresh' })
    expect(exactWindows([old, between], [first, fresh, whole])).toEqual([{ fromMs: 5, toMs: 100 }, { fromMs: 160, toMs: 500 }])
  })
})

describe('a log whose shipper was catching up', () => {
  const lagging = { ...stream('lagging', 0, { wal: [piece(0, 100), { ...piece(1, 400), newestSample: 150, predecessor: { segment: 0, length: 100, digest: 'digest of 0' } }] }), heartbeat: { at: 110, segment: 0, offset: 100 } }
  const at = (atMs: number | 'latest', ...streams: StreamInventory[]) => chooseReplay([base], streams, { atMs })

  it('is known up to the last moment at which it was seen to its end, whatever was stored since', () => {
    expect(at(110, lagging)).toMatchObject({ cutAt: 110 })
    expect(at(111, lagging)).toBeUndefined()
    expect(exactWindows([base], [lagging])).toEqual([{ fromMs: 5, toMs: 110 }])
  })

  it('brings all of it for latest, but not before one that is further on', () => {
    expect(at('latest', lagging)).toMatchObject({ generation: 'lagging', pieces: [{ segment: 0 }, { segment: 1 }] })
    const current = { ...stream('current', 0, { wal: [piece(0, 300)] }), repository: 'secondary' }
    for (const both of [[lagging, current], [current, lagging]]) expect(at('latest', ...both)).toMatchObject({ generation: 'current' })
  })

  it('is known up to its newest sample where it was never seen to its end, or nothing says so any more', () => {
    const damaged = { at: 500, knownUntil: null, segment: 1, offset: 100 }
    for (const heartbeat of [undefined, damaged]) {
      expect(at(150, { ...lagging, heartbeat })).toMatchObject({ cutAt: 150 })
      expect(at(151, { ...lagging, heartbeat })).toBeUndefined()
    }
    expect(at('latest', { ...lagging, heartbeat: damaged })).toMatchObject({ generation: 'lagging' })
    expect(exactWindows([base], [{ ...lagging, heartbeat: { ...damaged, knownUntil: 120 } }])).toEqual([{ fromMs: 5, toMs: 120 }])
  })
})

describe('a log in a store that lets nobody delete', () => {
  // More than a call of a function takes arguments: two weeks of parts.
  const parts = Array.from({ length: 150_000 }, (_, at): WalPiece => ({ ...piece(Math.floor(at / 700), at), start: (at % 700) * 10, end: (at % 700) * 10 + 10, digest: `digest of ${at}`, startDigest: at % 700 === 0 ? undefined : `digest of ${at - 1}`, key: `${at}`, predecessor: at % 700 === 0 && at > 0 ? { segment: Math.floor(at / 700) - 1, length: 7000, digest: `digest of ${at - 1}` } : undefined }))
  const whole = stream('whole', 0, { wal: parts })

  it('is planned with like any other', () => {
    expect(streamGaps([whole])).toEqual([])
    expect(exactWindows([base], [whole])).toEqual([{ fromMs: 5, toMs: 149_999 }])
    expect(chooseReplay([base], [whole], { atMs: 100_000 })).toMatchObject({ generation: 'whole', stoppedBy: 'moment' })
  })

  it('has a gap where its first pieces are missing', () => {
    const missing = stream('missing', 0, { wal: parts.slice(700) })
    expect(streamGaps([missing])).toMatchObject([{ fromMs: null, toMs: 700 }])
  })
})

describe('a log that goes on after a restore', () => {
  const blocks = [{ inOrder: true, maxTime: 10 }]
  const lost = stream('lost', 0, { bound: 0, wal: [piece(0, 100)] })
  const parent = { generation: 'lost', at: 50, restoredAt: 120, recoveryPoint: 'from' }
  const restored = stream('restored', 130, { bound: 10, parent, wal: [piece(0, 200)] })
  const point = (id: string, createdAt: number) => ({ id, createdAt, blocks })
  const baseOf = (...points: ReturnType<typeof point>[]) => chooseReplay(points, [lost, restored], { atMs: 'latest' })?.baseId

  it('is not replayed onto what was stored of the history that was left behind', () => {
    expect(baseOf(point('before', 40), point('behind', 70))).toBe('before')
    expect(exactWindows([point('behind', 70)], [lost, restored])).toEqual([])
    expect(chooseReplay([point('before', 40), point('behind', 70)], [lost, restored], { atMs: 'latest', generation: 'lost' })).toMatchObject({ baseId: 'behind', generation: 'lost' })
  })

  it('is not either when yet another generation began since', () => {
    const later = stream('later', 220, { bound: 10, wal: [piece(0, 300)] })
    expect(chooseReplay([point('before', 40), point('behind', 70)], [lost, restored, later], { atMs: 'latest' })).toMatchObject({ baseId: 'before', generation: 'later' })
  })

  it('leaves a moment before the restore to the log that was shipped then', () => {
    const at = (atMs: number) => chooseReplay([point('before', 40)], [lost, restored], { atMs })
    expect(at(45)).toMatchObject({ generation: 'lost', cutAt: 45, stoppedBy: 'moment' })
    expect(at(60)).toMatchObject({ generation: 'restored', cutAt: 60, stoppedBy: 'moment' })
    const elsewhere = [restored, lost].map((one) => ({ ...one, repository: 'secondary' }))
    expect(chooseReplay([point('before', 40)], [restored, lost, ...elsewhere], { atMs: 45 })).toMatchObject({ repository: 'primary', generation: 'lost' })
  })

  it('is replayed onto the recovery point that was restored, whose newest sample is older than itself, and onto those made since', () => {
    expect(baseOf(point('before', 40), point('from', 70))).toBe('from')
    expect(baseOf(point('before', 40), point('behind', 70), point('since', 125))).toBe('since')
  })
})

describe('the pieces that a restore to a moment reads', () => {
  const seen = (...times: number[]) => times.map((seenAt, segment) => piece(segment, seenAt))
  const segmentsUntil = (pieces: readonly WalPiece[], untilMs: number) => piecesUntil(pieces, untilMs).map(({ segment }) => segment)

  it('end with the second look after it', () => {
    expect(segmentsUntil(seen(100, 110, 120, 130, 140), 105)).toEqual([0, 1, 2])
  })

  it('are all that came after the clock was set back, whatever it had told before', () => {
    const pieces = seen(100, 9000, 9010, 9020, 110, 120, 130, 140)
    expect(segmentsUntil(pieces, 115)).toEqual([0, 1, 2, 3, 4, 5, 6])
    expect(datePieces(pieces).map(({ spans }) => spans[0]?.loggedAfter).slice(4)).toEqual([Number.NEGATIVE_INFINITY, 100, 110, 120])
  })
})
