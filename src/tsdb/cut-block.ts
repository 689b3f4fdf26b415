import { open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../errors.ts'
import { writeDurably } from './durable-files.ts'
import { dataFileError, onDataFile } from './file-errors.ts'
import { type IndexLabels, refsOfLabels } from './index-labels.ts'
import { chunkPlace, visitSeries } from './index-series.ts'
import { type Tombstone, encodeTombstones, parseTombstones } from './tombstones.ts'
import { newestTimeUntil } from './xor-times.ts'

const xorEncoding = 1
/** 120 samples of 16 bytes and more; servers make larger ones only of histograms. */
const longestPlainChunkBytes = 16 * 1024
/** Of those that reach beyond the moment, to find the newest sample before it: a scrape brings one to each series. */
const chunksToRead = 500

export interface BlockCut {
  /** Samples later than this, ms, are deleted; one at this very millisecond stays. */
  afterMs: number
  /** End of the block's range, ms. */
  maxTime: number
  signal?: AbortSignal | undefined
}

export interface CutOutcome {
  /** Series that have something after the moment. */
  cutSeries: number
  /**
   * Time of the newest sample that is known to be left, ms; undefined when none is. It may be too early where there are histograms, deletions or
   * very many series, and is never too late.
   */
  newestSampleMs: number | undefined
}

/**
 * Cuts a block at a moment by its `tombstones`, which Prometheus honours in every answer and applies when it compacts: the block keeps its
 * ULID, its files and what was deleted in it before.
 * @throws DAMAGED, DATA_DIR_UNREADABLE, DISK_FULL, FILE_SYSTEM
 */
export async function cutBlock(directory: string, cut: BlockCut): Promise<CutOutcome> {
  const path = join(directory, 'tombstones')
  const before = await readTombstones(path)
  const cuts: Tombstone[] = []
  let newest: number | undefined
  const straddling = new Sample<number>(chunksToRead)
  const deleted = new Set(before.map(({ seriesRef }) => Number(seriesRef)))
  await visitSeries(join(directory, 'index'), ({ ref, chunks }) => {
    let reaches = false
    chunks((firstMs, lastMs, place) => {
      if (firstMs <= cut.afterMs && lastMs > cut.afterMs && !deleted.has(ref)) straddling.offer(place)
      const known = lastMs <= cut.afterMs ? lastMs : firstMs <= cut.afterMs ? firstMs : undefined
      if (lastMs > cut.afterMs) reaches = true
      if (known !== undefined && !deleted.has(ref) && (newest === undefined || known > newest)) newest = known
    })
    if (reaches) cuts.push({ seriesRef: BigInt(ref), mint: BigInt(cut.afterMs) + 1n, maxt: BigInt(cut.maxTime) })
  }, cut)
  for (const place of straddling.taken) {
    const found = await newestInChunk(directory, place, cut.afterMs)
    if (found !== undefined && (newest === undefined || found > newest)) newest = found
  }
  if (cuts.length > 0) await writeDurably(path, encodeTombstones([...before, ...cuts]))
  return { cutSeries: cuts.length, newestSampleMs: newest }
}

/** Of the chunk at a place, as far as it holds plain samples. */
async function newestInChunk(directory: string, place: number, limitMs: number): Promise<number | undefined> {
  const { file, offset } = chunkPlace(place)
  const path = join(directory, file)
  const handle = await onDataFile(path, open(path, 'r'))
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(longestPlainChunkBytes), 0, longestPlainChunkBytes, offset)
    let length = 0
    let at = 0
    for (let scale = 1; at < bytesRead; scale *= 128) {
      const byte = buffer[at++] ?? 0
      length += (byte & 127) * scale
      if (byte < 128) break
    }
    const isPlain = buffer[at] === xorEncoding && at + 1 + length <= bytesRead
    return isPlain ? newestTimeUntil(buffer.subarray(at + 1, at + 1 + length), limitMs) : undefined
  } finally {
    await handle.close()
  }
}

/** Some of many, evenly: every second goes when there are too many, and from then on every second is passed over. */
class Sample<T> {
  taken: T[] = []
  readonly #most: number
  #step = 1
  #seen = 0

  constructor(most: number) {
    this.#most = most
  }

  offer(value: T): void {
    if (this.#seen++ % this.#step !== 0) return
    this.taken.push(value)
    if (this.taken.length <= this.#most) return
    this.taken = this.taken.filter((_, at) => at % 2 === 0)
    this.#step *= 2
  }
}

/** A deletion in whatever series has these labels, which are in the order of their names. The bounds, both included, are ms. */
export interface LabelledDeletion {
  labels: IndexLabels
  mint: bigint
  maxt: bigint
}

/** Deletes more in a block. @returns how many of the series it has @throws as `cutBlock` */
export async function deleteInBlock(directory: string, deletions: readonly LabelledDeletion[], options: { signal?: AbortSignal | undefined } = {}): Promise<number> {
  const path = join(directory, 'tombstones')
  const refs = await refsOfLabels(join(directory, 'index'), deletions.map(({ labels }) => labels), options)
  const added = deletions.flatMap(({ mint, maxt }, at) => (refs[at] === undefined ? [] : [{ seriesRef: BigInt(refs[at]), mint, maxt }]))
  if (added.length > 0) await writeDurably(path, encodeTombstones([...(await readTombstones(path)), ...added]))
  return added.length
}

/** Undoes every deletion in a block. */
export async function removeTombstones(directory: string): Promise<void> {
  await onDataFile(directory, rm(join(directory, 'tombstones'), { force: true }))
}

async function readTombstones(path: string): Promise<Tombstone[]> {
  try {
    return parseTombstones(await readFile(path), path)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw systemCode(error) === undefined ? error : dataFileError(error, path)
  }
}
