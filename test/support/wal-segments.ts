import { createHash } from 'node:crypto'
import { compress } from '../../src/tsdb/wal/compression.ts'
import { type Compression, defaultSegmentBytes } from '../../src/tsdb/wal/format.ts'
import { SegmentFrames } from '../../src/tsdb/wal/segment-frames.ts'
import { type SegmentEnd, SegmentReader, type SegmentReaderOptions } from '../../src/tsdb/wal/segment-reader.ts'

export interface ReadRecord {
  /** `idOf` the content: comparing megabytes element by element takes test runners seconds. */
  id: string
  startOffset: number
  endOffset: number
}

/** The length and digest of a record's content. */
export function idOf(content: Uint8Array): string {
  return `${content.length} bytes ${createHash('sha1').update(content).digest('hex').slice(0, 16)}`
}

/** A segment in memory; `padded`: ended as Prometheus ends one. */
export function segmentOf(contents: readonly Uint8Array[], options: { compression?: Compression; padded?: boolean } = {}): Uint8Array {
  const { compression = 'none', padded = true } = options
  const frames = new SegmentFrames(defaultSegmentBytes)
  const pieces = contents.map((content) => {
    const packed = compress(compression, content)
    return frames.frame(packed === undefined ? { compression: 'none', bytes: content } : { compression, bytes: packed })
  })
  return Uint8Array.from(Buffer.concat(padded ? [...pieces, frames.padding()] : pieces))
}

/** Reads a segment in pieces cut at the given offsets (of `bytes`, any order). Pieces are overwritten when they are done with. */
export function readInPieces(bytes: Uint8Array, cuts: readonly number[] = [], options: SegmentReaderOptions = {}): { records: ReadRecord[]; end: SegmentEnd } {
  const reader = new SegmentReader('00000000', options)
  const records: ReadRecord[] = []
  let from = 0
  for (const to of [...[...cuts].filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length]) {
    const piece = Uint8Array.from(bytes.subarray(from, to))
    reader.push(piece, (record) => void records.push({ id: idOf(record.content()), startOffset: record.startOffset, endOffset: record.endOffset }))
    piece.fill(0xa5)
    from = to
  }
  return { records, end: reader.end() }
}

/** What is read of a segment that may be damaged. */
export function readAsFarAsGood(bytes: Uint8Array): { ids: string[]; end: SegmentEnd | undefined; error: unknown } {
  const reader = new SegmentReader('00000000')
  const ids: string[] = []
  try {
    reader.push(bytes, (record) => void ids.push(idOf(record.content())))
    return { ids, end: reader.end(), error: undefined }
  } catch (error) {
    return { ids, end: undefined, error }
  }
}
