import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { maxFragmentDataBytes, pageBytes } from '../../../src/tsdb/wal/format.ts'
import { readSegment } from '../../../src/tsdb/wal/read-segment.ts'
import { SegmentFrames } from '../../../src/tsdb/wal/segment-frames.ts'
import { WalWriter, type WalWriterOptions } from '../../../src/tsdb/wal/wal-writer.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { noise, recordContent } from '../../support/wal-records.ts'
import { idOf } from '../../support/wal-segments.ts'

async function write(directory: string, contents: readonly Uint8Array[], options: WalWriterOptions): ReturnType<WalWriter['close']> {
  const writer = new WalWriter(directory, options)
  for (const content of contents) await writer.append(content)
  return writer.close()
}

async function readAll(paths: readonly string[]): Promise<string[]> {
  const ids: string[] = []
  for (const path of paths) {
    const end = await readSegment(path, {}, (records) => void ids.push(...records.map((record) => idOf(record.content()))))
    expect(end.state).toBe('whole')
  }
  return ids
}

test('records come back from the segments they were written into, whatever the compression and the size of a segment', async () => {
  const directory = await temporaryDirectory()
  let run = 0
  const options = fc.record({ compression: fc.constantFrom('none' as const, 'snappy' as const), segmentBytes: fc.constantFrom(1, 2, 5, 100).map((pages) => pages * pageBytes), firstSegment: fc.nat(20) })
  await fc.assert(
    fc.asyncProperty(fc.array(recordContent, { maxLength: 30 }), options, async (contents, settings) => {
      const target = join(directory, String(run++))
      const segments = await write(target, contents, settings)
      expect((await readdir(target)).sort()).toEqual(segments.map((_, i) => String(settings.firstSegment + i).padStart(8, '0')))
      for (const { path, sizeBytes } of segments) {
        expect((await stat(path)).size).toBe(sizeBytes)
        expect(sizeBytes % pageBytes).toBe(0)
      }
      expect(await readAll(segments.map((segment) => segment.path))).toEqual(contents.map(idOf))
    }),
    { numRuns: 40 },
  )
})

test('a segment ends where the next record would not fit, and a larger record has one to itself', async () => {
  const directory = await temporaryDirectory()
  const fits = 2 * maxFragmentDataBytes
  const segments = await write(join(directory, 'wal'), [noise(fits, 1), noise(1, 2), noise(fits, 3), noise(5 * pageBytes, 4), noise(3, 5)], { compression: 'none', segmentBytes: 2 * pageBytes })
  expect(segments.map(({ number, sizeBytes }) => [number, sizeBytes / pageBytes])).toEqual([[0, 2], [1, 1], [2, 2], [3, 6], [4, 1]])
})

test('a log without records is one empty segment', async () => {
  const directory = await temporaryDirectory()
  expect(await write(join(directory, 'wal'), [], { firstSegment: 7 })).toEqual([{ number: 7, path: join(directory, 'wal', '00000007'), sizeBytes: 0 }])
})

test('no segment is ever overwritten', async () => {
  const directory = await temporaryDirectory()
  await writeFile(join(directory, '00000000'), 'here')
  await expect(write(directory, [noise(5, 1)], {})).rejects.toMatchObject({ code: 'FILE_SYSTEM', message: expect.stringContaining('00000000') })
  expect(await readFile(join(directory, '00000000'), 'utf8')).toBe('here')
})

test('a directory that cannot be made is named', async () => {
  await expect(new WalWriter('/dev/full/wal').append(noise(10, 1))).rejects.toMatchObject({ code: 'DATA_DIR_UNREADABLE', message: expect.stringContaining('/dev/full/wal') })
})

describe('pages', () => {
  test('a header never crosses a page’s end: fewer than 7 bytes are zeros, exactly 7 hold an empty first fragment', () => {
    for (const left of [0, 1, 6, 7, 8]) {
      const frames = new SegmentFrames(10 * pageBytes)
      const first = frames.frame({ compression: 'none', bytes: noise(pageBytes - 7 - left, 1) })
      const second = frames.frame({ compression: 'snappy', bytes: noise(20, 2) })
      expect(first.length).toBe(left < 7 ? pageBytes : pageBytes - left)
      expect([...second.subarray(0, 3)]).toEqual(left < 7 ? [0x09, 0, 20] : [0x0a, 0, left - 7])
      expect(second.length).toBe(left < 7 ? 27 : 34)
    }
  })

  test('the end of a segment is padded, and the end of a page is not', () => {
    const frames = new SegmentFrames(10 * pageBytes)
    expect(frames.padding()).toHaveLength(0)
    frames.frame({ compression: 'none', bytes: noise(20, 1) })
    expect(frames.padding()).toHaveLength(pageBytes - 27)
    expect(frames.padding()).toHaveLength(0)
    expect(frames.sizeBytes).toBe(pageBytes)
  })

  test('a segment consists of whole pages', () => {
    expect(() => new SegmentFrames(pageBytes + 1)).toThrow(RangeError)
    expect(() => new SegmentFrames(0)).toThrow(RangeError)
  })
})

describe('reading a file', () => {
  test('starts and ends where it is told, and hands over what is before the damage', async () => {
    const directory = await temporaryDirectory()
    const contents = [noise(100, 1), noise(2_000_000, 2), noise(300, 3)]
    const path = (await write(join(directory, 'wal'), contents, { compression: 'none' }))[0]!.path
    const ends: number[] = []
    await readSegment(path, {}, (records) => void ends.push(...records.map((record) => record.endOffset)))
    const between = async (start: number, end?: number) => {
      const ids: string[] = []
      const state = await readSegment(path, { start, ...(end !== undefined && { end }) }, (records) => void ids.push(...records.map((record) => idOf(record.content()))))
      return { ids, state: state.state }
    }
    expect(await between(ends[0]!)).toEqual({ ids: contents.slice(1).map(idOf), state: 'whole' })
    expect(await between(0, ends[1]!)).toEqual({ ids: contents.slice(0, 2).map(idOf), state: 'whole' })
    expect(await between(0, ends[1]! - 1)).toEqual({ ids: contents.slice(0, 1).map(idOf), state: 'torn' })

    const bytes = await readFile(path)
    bytes[ends[1]! + 20]! ^= 4
    await writeFile(path, bytes)
    const read: string[] = []
    await expect(readSegment(path, {}, async (records) => void read.push(...records.map((record) => idOf(record.content()))))).rejects.toMatchObject({ code: 'DAMAGED', details: { file: path, offset: ends[1] } })
    expect(read).toEqual(contents.slice(0, 2).map(idOf))
  })

  test('says what is missing, and can be interrupted', async () => {
    const directory = await temporaryDirectory()
    await expect(readSegment(join(directory, '00000001'), {}, () => {})).rejects.toMatchObject({ code: 'DATA_DIR_UNREADABLE' })
    await writeFile(join(directory, '00000001'), '')
    await expect(readSegment(join(directory, '00000001'), { signal: AbortSignal.abort() }, () => {})).rejects.toMatchObject({ code: 'INTERRUPTED' })
  })
})
