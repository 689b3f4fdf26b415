import { type FileHandle, open } from 'node:fs/promises'
import { readIndexToc } from './check-file.ts'
import { dataFileError, onDataFile } from './file-errors.ts'
import type { IndexRegion } from './index-toc.ts'
import { damagedAt, maxEntryBytes } from './stream-checker.ts'
import type { Tombstone } from './tombstones.ts'

const windowBytes = 1024 * 1024
const longestLengthBytes = 10
const checksumBytes = 4

type Interval = Pick<Tombstone, 'mint' | 'maxt'>

export interface NewestSampleOptions {
  /** Deletions in force in the block. */
  tombstones?: readonly Tombstone[] | undefined
  signal?: AbortSignal | undefined
}

/**
 * The time in ms of the newest sample of a block, as its index knows it (Prometheus, tsdb/docs/format/index.md): a chunk's end is
 * the time of its last sample, while the block's own maxTime is the end of its range. Chunks whose last sample is deleted do
 * not count, so that the answer may be too early and is never too late. Only the series are read, a mebibyte at a time; their
 * checksums are left to IndexChecker.
 * @returns undefined when no sample is known to be left @throws DAMAGED, DATA_DIR_UNREADABLE, the signal's reason
 */
export async function newestSampleMs(indexPath: string, options: NewestSampleOptions = {}): Promise<number | undefined> {
  const toc = await readIndexToc(indexPath)
  const region = toc.regions.find(({ name }) => name === 'series')
  if (region === undefined) return undefined
  const handle = await onDataFile(indexPath, open(indexPath, 'r'))
  try {
    const version = (await handle.read(Buffer.alloc(1), 0, 1, 4)).buffer[0] ?? 0
    return await newestOfSeries(handle, { indexPath, region, alignment: version === 1 ? 1 : 16, ...options })
  } catch (error) {
    throw dataFileError(error, indexPath)
  } finally {
    await handle.close()
  }
}

interface SeriesScan extends NewestSampleOptions {
  indexPath: string
  region: IndexRegion
  alignment: number
}

async function newestOfSeries(handle: FileHandle, scan: SeriesScan): Promise<number | undefined> {
  const { indexPath, region, alignment } = scan
  const deleted = byReference(scan.tombstones ?? [])
  let newest: number | undefined
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
    const end = newestOfChunks(cursor, bodyEnd, deleted.get(offset / alignment))
    if (cursor.at > bodyEnd) throw damagedAt(indexPath, offset, 'a series has more chunks than bytes')
    if (end !== undefined && (newest === undefined || end > newest)) newest = end
    offset = align(offset + entryBytes, alignment)
  }
  return newest
}

/** The end of the newest chunk of a series, whose body the cursor is in. */
function newestOfChunks(cursor: Cursor, bodyEnd: number, deleted: readonly Interval[] | undefined): number | undefined {
  for (let labels = uvarint(cursor); labels > 0 && cursor.at <= bodyEnd; labels -= 1) {
    uvarint(cursor)
    uvarint(cursor)
  }
  let newest: number | undefined
  let end = 0
  const chunks = uvarint(cursor)
  for (let nth = 0; nth < chunks && cursor.at <= bodyEnd; nth += 1) {
    const first = uvarint(cursor)
    end += (nth === 0 ? unzigzag(first) : first) + uvarint(cursor)
    uvarint(cursor)
    if (deleted === undefined || !deleted.some(({ mint, maxt }) => mint <= BigInt(end) && BigInt(end) <= maxt)) newest = end
  }
  return newest
}

/** By the reference that the index knows the series by: its offset in units of the alignment. */
function byReference(tombstones: readonly Tombstone[]): Map<number, Interval[]> {
  const found = new Map<number, Interval[]>()
  for (const { seriesRef, ...interval } of tombstones) {
    const reference = Number(seriesRef)
    const intervals = found.get(reference)
    if (intervals === undefined) found.set(reference, [interval])
    else intervals.push(interval)
  }
  return found
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
