import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crc32c } from '../../../src/tsdb/crc32c.ts'
import { maxFragmentDataBytes, pageBytes } from '../../../src/tsdb/wal/format.ts'
import { encodeRecord } from '../../../src/tsdb/wal/record-codec.ts'
import { scanRecord } from '../../../src/tsdb/wal/scan-record.ts'
import { SegmentReader } from '../../../src/tsdb/wal/segment-reader.ts'
import { cutsOf, everyFlippedBit } from '../../support/stream-pieces.ts'
import { noise, recordContent } from '../../support/wal-records.ts'
import { idOf, readAsFarAsGood, readInPieces, segmentOf } from '../../support/wal-segments.ts'

/** A fragment written by hand: what the writer never writes, too. */
function fragment(type: number, data: Uint8Array, changes: { length?: number; checksum?: number } = {}): Uint8Array {
  const header = Buffer.alloc(7)
  header[0] = type
  header.writeUInt16BE(changes.length ?? data.length, 1)
  header.writeUInt32BE(changes.checksum ?? crc32c(data), 3)
  return Buffer.concat([header, data])
}

const contents = fc.array(recordContent, { maxLength: 12 })
const damaged = (offset: number, reason: RegExp) => expect.objectContaining({ code: 'DAMAGED', message: expect.stringMatching(reason), details: { file: '00000000', offset } })

test('records written by the writer are read back, with their ends, however the bytes arrive', () => {
  fc.assert(
    fc.property(contents, fc.constantFrom('none' as const, 'snappy' as const), fc.boolean(), fc.infiniteStream(fc.nat()), (written, compression, padded, stream) => {
      const segment = segmentOf(written, { compression, padded })
      const cuts = [...stream.take(40)].map((n) => n % (segment.length + 1)).flatMap((cut) => [cut, cut + 1])
      const { records, end } = readInPieces(segment, cuts)
      expect(records.map((record) => record.id)).toEqual(written.map(idOf))
      expect(end).toEqual({ state: 'whole', recordEnd: records.at(-1)?.endOffset ?? 0, sizeBytes: segment.length })
    }),
    { numRuns: 150 },
  )
})

test('a segment that arrives byte by byte reads as one that arrives at once', () => {
  const written = [noise(100, 1), new Uint8Array(0), noise(70_000, 2), noise(20, 3)]
  const segment = segmentOf(written)
  const everywhere = Array.from({ length: segment.length }, (_, i) => i)
  expect(readInPieces(segment, everywhere)).toEqual(readInPieces(segment))
  expect(readInPieces(segment).records.map((record) => record.id)).toEqual(written.map(idOf))
})

test('every prefix gives the records that are whole in it, and is torn exactly when it ends within one', () => {
  const written = [noise(50, 1), noise(3, 2), noise(pageBytes - 100, 3), noise(40_000, 4), new Uint8Array(0), noise(9, 5)]
  const segment = segmentOf(written)
  const { records } = readInPieces(segment)
  const lengths = new Set([...Array.from({ length: 300 }, (_, i) => i), ...records.flatMap(({ endOffset }) => [-8, -1, 0, 1, 8].map((near) => endOffset + near)), pageBytes - 1, pageBytes, pageBytes + 1, segment.length])
  for (let length = 0; length < segment.length; length += 97) lengths.add(length)
  for (const length of lengths) {
    const whole = records.filter((record) => record.endOffset <= length)
    const recordEnd = whole.at(-1)?.endOffset ?? 0
    const { ids, end, error } = readAsFarAsGood(segment.subarray(0, length))
    expect(error).toBeUndefined()
    expect(ids).toEqual(whole.map((record) => record.id))
    expect(end).toMatchObject({ recordEnd, sizeBytes: Math.min(length, segment.length) })
    const rest = segment.subarray(recordEnd, length)
    expect(end!.state, `prefix of ${length} bytes`).toBe(rest.every((byte) => byte === 0) ? 'whole' : 'torn')
  }
})

test('a record that is not complete yet is waited for', () => {
  const segment = segmentOf([noise(10, 1), noise(50_000, 2)], { padded: false })
  const reader = new SegmentReader('00000000')
  const lengths: number[] = []
  const push = (from: number, to: number) => reader.push(segment.subarray(from, to), (record) => void lengths.push(record.content().length))
  push(0, 40_000)
  expect({ lengths, recordEnd: reader.recordEnd, settledEnd: reader.settledEnd, offset: reader.offset }).toEqual({ lengths: [10], recordEnd: 17, settledEnd: 17, offset: 40_000 })
  expect(reader.end()).toMatchObject({ state: 'torn', recordEnd: 17, reason: 'it ends within a fragment that starts at byte 32768' })
  push(40_000, segment.length)
  expect({ lengths, recordEnd: reader.recordEnd }).toEqual({ lengths: [10, 50_000], recordEnd: segment.length })
  expect(reader.end()).toEqual({ state: 'whole', recordEnd: segment.length, sizeBytes: segment.length })
})

test('a segment that ends after a record’s first fragments is torn', () => {
  const segment = segmentOf([noise(10, 1), noise(50_000, 2)])
  expect(readAsFarAsGood(segment.subarray(0, pageBytes)).end).toEqual({ state: 'torn', recordEnd: 17, sizeBytes: pageBytes, reason: 'it ends within a record that starts at byte 17' })
})

describe('reading from the middle', () => {
  const written = [noise(100, 1), noise(90_000, 2), noise(30, 3), noise(20_000, 4)]
  const segment = segmentOf(written)
  const { records } = readInPieces(segment)

  test('any record’s end is a place to start', () => {
    for (const [i, { endOffset }] of records.entries()) {
      const rest = readInPieces(segment.subarray(endOffset), [5, 40_000], { start: endOffset })
      expect(rest.records).toEqual(records.slice(i + 1))
      expect(rest.end).toEqual({ state: 'whole', recordEnd: records.at(-1)!.endOffset, sizeBytes: segment.length })
    }
  })

  test('so is any page, where what is left of an earlier record is passed over', () => {
    for (let start = 0; start <= segment.length; start += pageBytes) {
      const rest = readInPieces(segment.subarray(start), [], { start, boundary: 'page' })
      expect(rest.records).toEqual(records.filter((record) => record.startOffset >= start))
    }
  })

  test('nothing else is', () => {
    expect(() => new SegmentReader('00000000', { start: 100, boundary: 'page' })).toThrow(RangeError)
    expect(() => readInPieces(segment.subarray(pageBytes), [], { start: pageBytes })).toThrow(damaged(pageBytes, /goes on that never started/))
  })

  test('padding is counted from the start of the segment', () => {
    const small = segmentOf([noise(pageBytes - 10 - 7, 1)])
    const reader = new SegmentReader('00000000', { start: pageBytes - 10 })
    reader.push(small.subarray(pageBytes - 10), () => {})
    expect([reader.recordEnd, reader.settledEnd]).toEqual([pageBytes - 10, pageBytes])
  })
})

describe('padding', () => {
  test('a page with fewer than 7 bytes left, or more after an unclean stop, is filled with zeros', () => {
    for (const left of [0, 1, 6, 7, 8, 1000]) {
      const first = fragment(1, noise(pageBytes - 7 - left, 1))
      const segment = Buffer.concat([first, Buffer.alloc(left), fragment(1, noise(5, 2))])
      expect(readInPieces(segment).records.map(({ endOffset }) => endOffset)).toEqual([pageBytes - left, pageBytes + 12])
    }
  })

  test('zeros may stand between the fragments of a record, and fill whole pages', () => {
    const segment = Buffer.concat([fragment(2, noise(5, 1)), Buffer.alloc(2 * pageBytes - 12), fragment(4, noise(6, 2))])
    expect(readInPieces(segment).records).toEqual([{ id: idOf(Uint8Array.from([...noise(5, 1), ...noise(6, 2)])), startOffset: 0, endOffset: 2 * pageBytes + 13 }])
  })

  test('a segment may end anywhere in its last page’s padding', () => {
    const segment = segmentOf([noise(5, 1)])
    for (const length of [12, 13, 20, pageBytes - 1]) expect(readAsFarAsGood(segment.subarray(0, length)).end).toMatchObject({ state: 'whole', recordEnd: 12 })
  })

  test('anything but zeros in it is damage', () => {
    const segment = segmentOf([noise(5, 1)])
    segment[20_000] = 1
    expect(() => readInPieces(segment, [12, 19_000])).toThrow(damaged(20_000, /padding of a page is not zero/))
  })
})

describe('damage', () => {
  test.each<[string, Uint8Array[], number, RegExp]>([
    ['a fragment type that does not exist', [fragment(5, noise(5, 1))], 0, /type 0x05/],
    ['a flag that no version writes', [fragment(0x21, noise(5, 1))], 0, /type 0x21/],
    ['both kinds of compression', [fragment(0x19, noise(5, 1))], 0, /type 0x19/],
    ['padding with a flag', [fragment(0x08, noise(5, 1))], 0, /type 0x08/],
    ['more than fits in a page', [fragment(1, noise(5, 1), { length: maxFragmentDataBytes + 1 })], 0, /claims 32762 bytes/],
    ['a wrong checksum', [fragment(1, noise(5, 1)), fragment(1, noise(5, 2), { checksum: 1 })], 12, /does not match its checksum/],
    ['a last fragment without a first', [fragment(4, noise(5, 1))], 0, /goes on that never started/],
    ['a middle fragment without a first', [fragment(1, noise(5, 1)), fragment(3, noise(5, 1))], 12, /goes on that never started/],
    ['a full record within another', [fragment(2, noise(5, 1)), fragment(1, noise(5, 1))], 12, /starts before the one at byte 0 has ended/],
    ['two first fragments', [fragment(2, noise(5, 1)), fragment(2, noise(5, 1))], 12, /starts before the one at byte 0 has ended/],
    ['a compression that changes within a record', [fragment(0x0a, noise(5, 1)), fragment(4, noise(5, 1))], 12, /changes its compression/],
  ])('%s', (_, fragments, offset, reason) => {
    const bytes = Buffer.concat(fragments)
    expect(() => readInPieces(bytes)).toThrow(damaged(offset, reason))
    expect(() => readInPieces(bytes, Array.from({ length: bytes.length }, (_, i) => i))).toThrow(damaged(offset, reason))
  })

  test('is told after the records before it were handed over', () => {
    const segment = segmentOf([noise(5, 1), noise(6, 2), noise(7, 3)])
    segment[12 + 7]! ^= 1
    const { ids, error } = readAsFarAsGood(segment)
    expect(ids).toEqual([idOf(noise(5, 1))])
    expect(error).toEqual(damaged(12, /checksum/))
  })

  test('a record beyond the limit is refused before it is collected', () => {
    const segment = segmentOf([noise(100_000, 1)])
    expect(() => readInPieces(segment, [], { maxRecordBytes: 99_999 })).toThrow(damaged(0, /more than 99999 bytes/))
    expect(readInPieces(segment, [], { maxRecordBytes: 100_000 }).records).toHaveLength(1)
  })

  test('middle fragments without end cost no memory when they are empty', () => {
    const reader = new SegmentReader('00000000')
    reader.push(fragment(2, noise(1, 1)), () => {})
    const many = Buffer.concat(Array.from({ length: 20_000 }, () => fragment(3, new Uint8Array(0))))
    reader.push(many, () => expect.unreachable())
    expect(reader.end()).toMatchObject({ state: 'torn', recordEnd: 0 })
  })
})

describe('flipped bits', () => {
  const position = { file: '00000000', startOffset: 0 }
  const series = encodeRecord({ type: 'series', series: [1, 2, 3].map((ref) => ({ ref, labels: [['__name__', 'up'], ['job', `j${ref}`.repeat(8)]] })) })
  const samples = encodeRecord({ type: 'samples', samples: Array.from({ length: 30 }, (_, i) => ({ ref: i, timestampMs: 1_700_000_000_000, startTimestampMs: 0, valueBits: 1n })) })
  const written = [series, samples, encodeRecord({ type: 'tombstones', tombstones: [{ ref: 1, mint: 5n, maxt: 6n }] })]

  /** Undefined: the flipped segment reads as if nothing were wrong, but for empty records. */
  function howFound(flipped: Uint8Array, recordEnd: number): string | undefined {
    const reader = new SegmentReader('00000000')
    const ids: string[] = []
    try {
      let unknown: string | undefined
      reader.push(flipped, (record) => {
        const content = record.content()
        const { type } = scanRecord(content, position)
        if (type === 'unknown') unknown = `a record of unknown type ${content[0]}`
        if (type !== 'empty') ids.push(idOf(content))
      })
      const end = reader.end()
      if (unknown !== undefined) return unknown
      if (end.state === 'torn') return end.reason
      if (end.recordEnd < recordEnd) return 'the last record is gone'
    } catch (error) {
      expect(error).toMatchObject({ code: 'DAMAGED' })
      return (error as Error).message
    }
    expect(ids).toEqual(written.map(idOf))
    return undefined
  }

  test.each(['none', 'snappy'] as const)('are all found in records stored with compression %s, by the frames or by the record that they make', (compression) => {
    const segment = segmentOf(written, { compression, padded: false })
    let flips = 0
    for (const { flipped, offset, bit } of everyFlippedBit(segment)) {
      expect(howFound(flipped, segment.length), `bit ${bit} of byte ${offset}`).toBeDefined()
      flips++
    }
    expect(flips).toBe(segment.length * 8)
  })

  test('are found in padding, unless they make a record without bytes, which says nothing', () => {
    const segment = segmentOf(written, { padded: false })
    const padded = Uint8Array.from([...segment, ...new Uint8Array(40)])
    const missed: string[] = []
    for (const { flipped, offset, bit } of everyFlippedBit(padded)) {
      if (howFound(flipped, segment.length) === undefined) missed.push(`bit ${bit} of byte ${offset}`)
    }
    // Type 1 (full), length 0, checksum 0. Only the first byte of padding is a type.
    expect(missed).toEqual([`bit 0 of byte ${segment.length}`])
  })
})

test('whatever overwrites a segment, no record comes out that was not written', () => {
  const written = [noise(40, 1), noise(33_000, 2), noise(9, 3), noise(500, 4)]
  const segment = segmentOf(written)
  const range = fc.record({ at: fc.nat(segment.length - 1), bytes: fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.nat(40_000).map((length) => new Uint8Array(length))) })
  fc.assert(
    fc.property(range, cutsOf(segment.length), ({ at, bytes }, cuts) => {
      const copy = Uint8Array.from(segment)
      copy.set(bytes.subarray(0, segment.length - at), at)
      const reader = new SegmentReader('00000000')
      const ids: string[] = []
      try {
        for (const [i, to] of [...cuts.filter((cut) => cut < copy.length).sort((a, b) => a - b), copy.length].entries()) {
          if (i === 0 || to > reader.offset) reader.push(copy.subarray(reader.offset, to), (record) => void ids.push(idOf(record.content())))
        }
      } catch (error) {
        expect(error).toMatchObject({ code: 'DAMAGED' })
      }
      const real = ids.filter((id) => !id.startsWith('0 bytes'))
      expect(written.map(idOf).filter((id) => real.includes(id))).toEqual(real)
    }),
  )
})
