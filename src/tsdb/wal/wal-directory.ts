import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../../errors.ts'
import { dataFileError } from '../file-errors.ts'

export interface WalSegmentFile {
  number: number
  path: string
  sizeBytes: number
}

export interface WalCheckpoint {
  /** The last segment it stands for. */
  number: number
  path: string
  /** Numbered from 0, in order. */
  segments: WalSegmentFile[]
  /** None, unless it is being deleted or is damaged. */
  gaps: SegmentGap[]
}

/** Segments that are missing, both included. Prometheus does not start on such a log. */
export interface SegmentGap {
  from: number
  to: number
}

export interface WalDirectory {
  path: string
  /** In order. */
  segments: WalSegmentFile[]
  /** In order; those being written (`.tmp`) are not among them. */
  checkpoints: WalCheckpoint[]
  /** The one that a start would read. */
  newestCheckpoint: WalCheckpoint | undefined
  /** The segments that a start would read: those after the newest checkpoint. */
  live: WalSegmentFile[]
  /** Between segments, between the checkpoint and the live ones, and in a `wal/` without checkpoint before the first. */
  gaps: SegmentGap[]
  /** Everything else: `.tmp` of checkpoints, `.repair` of segments, the `min-valid-time` of newer servers. */
  others: string[]
}

const segmentPattern = /^\d{8,}$/
const checkpointPattern = /^checkpoint\.(\d{8,})$/

/**
 * What a `wal/` or `wbl/` holds (names as in tsdb/wlog of Prometheus). A directory that does not exist holds nothing: there is
 * no `wbl/` without out-of-order ingestion. What a running server deletes while this reads is left out.
 * @throws DATA_DIR_UNREADABLE or FILE_SYSTEM
 */
export async function listWalDirectory(path: string, kind: 'wal' | 'wbl'): Promise<WalDirectory> {
  const entries = await entriesOf(path)
  const segmentNames = entries.filter((entry) => entry.isFile() && segmentPattern.test(entry.name)).map((entry) => entry.name)
  const checkpointNames = entries.filter((entry) => kind === 'wal' && entry.isDirectory() && checkpointPattern.test(entry.name)).map((entry) => entry.name)
  const segments = await segmentsOf(path, segmentNames)
  const checkpoints: WalCheckpoint[] = []
  for (const name of checkpointNames) {
    const checkpoint = await readCheckpoint(path, name)
    if (checkpoint.segments.length > 0) checkpoints.push(checkpoint)
  }
  checkpoints.sort(byNumber)
  const newestCheckpoint = checkpoints.at(-1)
  const live = segments.filter(({ number }) => number > (newestCheckpoint?.number ?? -1))
  const expected = newestCheckpoint !== undefined ? newestCheckpoint.number + 1 : kind === 'wal' ? 0 : undefined
  const known = new Set([...segmentNames, ...checkpointNames])
  const others = entries.map((entry) => entry.name).filter((name) => !known.has(name))
  return { path, segments, checkpoints, newestCheckpoint, live, gaps: gapsOf(segments, expected), others: others.sort() }
}

async function entriesOf(path: string): Promise<Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true })
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw dataFileError(error, path)
  }
}

async function readCheckpoint(directory: string, name: string): Promise<WalCheckpoint> {
  const path = join(directory, name)
  const entries = await entriesOf(path)
  const names = entries.filter((entry) => entry.isFile() && segmentPattern.test(entry.name)).map((entry) => entry.name)
  const segments = await segmentsOf(path, names)
  return { number: Number(checkpointPattern.exec(name)![1]), path, segments, gaps: gapsOf(segments, 0) }
}

async function segmentsOf(directory: string, names: string[]): Promise<WalSegmentFile[]> {
  const segments: WalSegmentFile[] = []
  for (const name of names) {
    const path = join(directory, name)
    const sizeBytes = await sizeOf(path)
    if (sizeBytes !== undefined) segments.push({ number: Number(name), path, sizeBytes })
  }
  return segments.sort(byNumber)
}

/** Undefined when it is gone by now. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw dataFileError(error, path)
  }
}

/** `expected`: the number that the first segment to be read should have, where that is known. */
function gapsOf(segments: WalSegmentFile[], expected?: number): SegmentGap[] {
  const gaps: SegmentGap[] = []
  let next = expected === undefined ? undefined : Math.min(expected, segments[0]?.number ?? expected)
  for (const { number } of segments) {
    if (next !== undefined && number > next) gaps.push({ from: next, to: number - 1 })
    next = number + 1
  }
  return gaps
}

function byNumber(left: { number: number }, right: { number: number }): number {
  return left.number - right.number
}
