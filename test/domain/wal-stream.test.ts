import { describe, expect, it } from 'vitest'
import { type SegmentEnd, type WalPiece, belongsTo, chainFrom } from '../../src/domain/wal-stream.ts'

/** Bytes [start, end) of a segment of a history: its digests are its name and a place. */
function piece(history: string, segment: number, [start, end]: [number, number], over: Partial<WalPiece> & { after?: string } = {}): WalPiece {
  const { after = history, ...rest } = over
  return {
    log: 'wal', segment, start, end, newestSample: end, seenAt: 1000 + end, digest: `${history}/${segment}/${end}`,
    startDigest: start === 0 ? undefined : `${after}/${segment}/${start}`, predecessor: undefined, sealed: false, key: `${history}${segment}-${start}-${end}`, storedBytes: 1, ...rest,
  }
}

const endOf = (history: string, segment: number, length: number): SegmentEnd => ({ segment, length, digest: `${history}/${segment}/${length}` })
const keys = (pieces: readonly WalPiece[], first = 0) => chainFrom(pieces, first).pieces.map(({ key }) => key)

describe('a chain of pieces', () => {
  it('leads through segments, each naming the end of the one before', () => {
    const pieces = [piece('a', 0, [0, 10]), piece('a', 0, [10, 20]), piece('a', 1, [0, 5], { predecessor: endOf('a', 0, 20) })]
    expect(chainFrom(pieces, 0)).toMatchObject({ position: { segment: 1, offset: 5 }, end: { kind: 'end' } })
    expect(keys(pieces)).toHaveLength(3)
  })

  it('takes the turns of two shippers of one log, whatever parts they cut', () => {
    expect(keys([piece('a', 0, [0, 20]), piece('a', 0, [0, 15]), piece('a', 0, [15, 25]), piece('a', 0, [25, 30])])).toEqual(['a0-0-15', 'a0-15-25', 'a0-25-30'])
  })

  it('never joins two histories, although their numbers and lengths are the same', () => {
    expect(keys([piece('a', 0, [0, 10]), piece('b', 0, [10, 20])])).toEqual(['a0-0-10'])
    expect(chainFrom([piece('a', 0, [0, 10]), piece('b', 1, [0, 10], { predecessor: endOf('b', 0, 10) })], 0)).toMatchObject({ position: { segment: 0, offset: 10 }, end: { kind: 'gap', nextSegment: 1 } })
  })

  it('follows the history that the next segment continues, where two part', () => {
    const pieces = [piece('x', 0, [0, 10]), piece('a', 0, [10, 20], { after: 'x' }), piece('b', 0, [10, 90], { after: 'x' }), piece('a', 1, [0, 5], { predecessor: endOf('a', 0, 20) })]
    expect(keys(pieces)).toEqual(['x0-0-10', 'a0-10-20', 'a1-0-5'])
  })

  it('prefers a sealed segment to its parts', () => {
    expect(keys([piece('a', 0, [0, 10]), piece('a', 0, [10, 20]), piece('a', 0, [0, 20], { sealed: true, key: 'sealed' })])).toEqual(['sealed'])
  })

  it('passes over segments that were empty, and only those', () => {
    const after = (predecessor: SegmentEnd) => [piece('a', 0, [0, 10]), piece('a', 2, [0, 5], { predecessor })]
    expect(keys(after(endOf('a', 0, 10)))).toEqual(['a0-0-10', 'a2-0-5'])
    expect(chainFrom(after(endOf('a', 1, 7)), 0).end).toMatchObject({ kind: 'gap', nextSegment: 2 })
    expect(keys([piece('a', 5, [0, 5], { predecessor: endOf('a', 3, 10) })], 4)).toEqual(['a5-0-5'])
  })

  it('is broken by a missing part', () => {
    expect(chainFrom([piece('a', 0, [0, 10]), piece('a', 0, [20, 30]), piece('a', 1, [0, 5], { predecessor: endOf('a', 0, 30) })], 0)).toMatchObject({ position: { segment: 0, offset: 10 }, end: { kind: 'gap', nextSegment: 0 } })
  })
})

describe('a checkpoint', () => {
  it('belongs to a log that has the end that was shipped before it was read, or follows it', () => {
    const chain = chainFrom([piece('a', 3, [0, 10], { predecessor: endOf('a', 2, 50) }), piece('a', 4, [0, 5], { predecessor: endOf('a', 3, 10) })], 3)
    expect(belongsTo(chain, { after: endOf('a', 3, 10) })).toBe(true)
    expect(belongsTo(chain, { after: endOf('a', 2, 50) })).toBe(true)
    expect(belongsTo(chain, { after: endOf('b', 3, 10) })).toBe(false)
    expect(belongsTo(chain, {})).toBe(true)
  })
})
