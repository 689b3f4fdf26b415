import { type FileHandle, open } from 'node:fs/promises'
import { readIndexToc } from './check-file.ts'
import { dataFileError, onDataFile } from './file-errors.ts'
import type { IndexRegion } from './index-toc.ts'
import { damagedAt, maxEntryBytes } from './stream-checker.ts'

const windowBytes = 1024 * 1024
const longestLengthBytes = 10
const checksumBytes = 4

/**
 * Sees one series of an index: the reference that chunks and tombstones know it by, the numbers of its labels' symbols (a name, its value, the
 * next name…), and its chunks in order, by the times (ms) of their first and last sample.
 */
export type SeriesVisitor = (series: { ref: number; labels(): number[]; chunks: ChunkRanges }) => void

/** Sees a chunk: its first and last sample's times, and where it lies (`chunkPlace`). */
export type ChunkVisitor = (firstMs: number, lastMs: number, ref: number) => void

/** Calls `visit` for each chunk of the series; to be used before the next series is seen. */
export type ChunkRanges = (visit: ChunkVisitor) => void

/** Where a chunk lies by its reference: the file (`chunks/000001` is number 1) and the byte that it begins at. */
export function chunkPlace(ref: number): { file: string; offset: number } {
  return { file: `chunks/${String(Math.floor(ref / 2 ** 32) + 1).padStart(6, '0')}`, offset: ref % 2 ** 32 }
}

/**
 * Shows every series of a block's index (Prometheus, tsdb/docs/format/index.md, versions 1 to 3). Only the series are read, a mebibyte
 * at a time; their checksums are left to IndexChecker.
 * @throws DAMAGED, DATA_DIR_UNREADABLE, the signal's reason
 */
export async function visitSeries(indexPath: string, visit: SeriesVisitor, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
  const toc = await readIndexToc(indexPath)
  const region = toc.regions.find(({ name }) => name === 'series')
  if (region === undefined) return
  const handle = await onDataFile(indexPath, open(indexPath, 'r'))
  try {
    const version = (await handle.read(Buffer.alloc(1), 0, 1, 4)).buffer[0] ?? 0
    await visitRegion(handle, { indexPath, region, alignment: version === 1 ? 1 : 16, visit, ...options })
  } catch (error) {
    throw dataFileError(error, indexPath)
  } finally {
    await handle.close()
  }
}

interface SeriesScan {
  indexPath: string
  region: IndexRegion
  /** A series' reference is its offset in units of this. */
  alignment: number
  visit: SeriesVisitor
  signal?: AbortSignal | undefined
}

async function visitRegion(handle: FileHandle, scan: SeriesScan): Promise<void> {
  const { indexPath, region, alignment } = scan
  let window = Buffer.alloc(0)
  let windowStart = region.start
  /** Makes bytes [offset, offset + count) of the file part of the window, as far as the region goes. */
  const load = async (offset: number, count: number) => {
    scan.signal?.throwIfAborted()
    const wanted = Buffer.allocUnsafe(Math.min(Math.max(count, windowBytes), region.end - offset))
    const { bytesRead } = await handle.read(wanted, 0, wanted.length, offset)
    window = wanted.subarray(0, bytesRead)
    windowStart = offset
  }
  for (let offset = align(region.start, alignment); offset < region.end; ) {
    if (offset + longestLengthBytes > windowStart + window.length) await load(offset, longestLengthBytes)
    const cursor = { bytes: window, at: offset - windowStart }
    const bodyBytes = uvarint(cursor)
    const entryBytes = windowStart + cursor.at - offset + bodyBytes + checksumBytes
    if (bodyBytes === 0 || bodyBytes > maxEntryBytes || offset + entryBytes > region.end) throw damagedAt(indexPath, offset, 'a series has no valid length')
    if (offset + entryBytes > windowStart + window.length) {
      cursor.at -= offset - windowStart
      await load(offset, entryBytes)
      cursor.bytes = window
    }
    const bodyEnd = cursor.at + bodyBytes
    const body = { ...cursor }
    scan.visit({ ref: offset / alignment, labels: () => readLabels({ ...body }, bodyEnd), chunks: (visit) => visitChunks(cursor, bodyEnd, visit) })
    if (cursor.at > bodyEnd) throw damagedAt(indexPath, offset, 'a series has more chunks than bytes')
    offset = align(offset + entryBytes, alignment)
  }
}

function readLabels(cursor: Cursor, bodyEnd: number): number[] {
  const symbols: number[] = []
  for (let labels = uvarint(cursor); labels > 0 && cursor.at <= bodyEnd; labels -= 1) symbols.push(uvarint(cursor), uvarint(cursor))
  return symbols
}

/** The chunks of the series whose body the cursor is in. */
function visitChunks(cursor: Cursor, bodyEnd: number, visit: ChunkVisitor): void {
  for (let labels = uvarint(cursor); labels > 0 && cursor.at <= bodyEnd; labels -= 1) {
    uvarint(cursor)
    uvarint(cursor)
  }
  let lastMs = 0
  let ref = 0
  const chunks = uvarint(cursor)
  for (let nth = 0; nth < chunks && cursor.at <= bodyEnd; nth += 1) {
    const first = uvarint(cursor)
    const firstMs = lastMs + (nth === 0 ? unzigzag(first) : first)
    lastMs = firstMs + uvarint(cursor)
    const place = uvarint(cursor)
    ref += nth === 0 ? place : unzigzag(place)
    visit(firstMs, lastMs, ref)
  }
}

interface Cursor {
  bytes: Uint8Array
  at: number
}

/** Zeros follow the bytes. Numbers beyond 2^53 lose their last bits; times have fewer. */
function uvarint(cursor: Cursor): number {
  let value = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = cursor.bytes[cursor.at++] ?? 0
    value += (byte & 127) * scale
    if (byte < 128) return value
  }
}

function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}

function align(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment
}
