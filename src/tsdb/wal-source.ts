import { link, mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { WalLog } from '../domain/wal-stream.ts'
import { systemCode } from '../errors.ts'
import { ownNamePrefix } from './data-directory.ts'
import { dataFileError, onDataFile } from './file-errors.ts'

export interface LocalSegment {
  number: number
  path: string
  sizeBytes: number
  /** Tells a file that was replaced from one that grew; a hard link has that of its file. */
  identity: string
  /** When the file was made, ms; 0 where the file system does not tell. */
  bornAtMs: number
}

export interface LocalCheckpoint {
  /** The last segment that it stands for. */
  segment: number
  path: string
}

export interface LocalLog {
  /** In order; those that are held although Prometheus has removed them among them. */
  segments: LocalSegment[]
  /** The newest; undefined when there is none. */
  checkpoint: LocalCheckpoint | undefined
}

/** Where segments are kept by hard links that were not shipped when Prometheus removed them. */
const holdName = `${ownNamePrefix}wal-hold`

/** A live log as it is now; a segment may be gone a moment later. A log that is not there is empty. */
export async function readLocalLog(dataDir: string, log: WalLog): Promise<LocalLog> {
  const directory = join(dataDir, log)
  const names = await namesIn(directory)
  const live = await segmentsIn(directory, names)
  const held = await segmentsIn(join(dataDir, holdName, log), await namesIn(join(dataDir, holdName, log)))
  const checkpoints = names.flatMap((name) => (/^checkpoint\.\d{8,}$/.test(name) ? [{ segment: Number(name.slice('checkpoint.'.length)), path: join(directory, name) }] : []))
  return {
    segments: withHeld(live, (await isSameHistory(dataDir, { live, held })) ? held : []),
    checkpoint: checkpoints.sort((a, b) => b.segment - a.segment)[0],
  }
}

/** The first segment that a server which starts on the log replays: the one after the newest checkpoint. */
export function firstToReplay({ segments, checkpoint }: LocalLog): number {
  return checkpoint === undefined ? (segments[0]?.number ?? 0) : checkpoint.segment + 1
}

/**
 * Only a file that is both held and live shows that the two are of one history: the numbers of another server's log, copied here,
 * may fit as well. An out-of-order compaction may leave no such file in the WBL; the WAL beside it then shows it.
 */
async function isSameHistory(dataDir: string, log: { live: readonly LocalSegment[]; held: readonly LocalSegment[] }): Promise<boolean> {
  const share = ({ live, held }: typeof log) => held.some((one) => live.some((other) => other.identity === one.identity))
  if (log.held.length === 0 || share(log)) return true
  const [wal, heldWal] = [join(dataDir, 'wal'), join(dataDir, holdName, 'wal')]
  return share({ live: await segmentsIn(wal, await namesIn(wal)), held: await segmentsIn(heldWal, await namesIn(heldWal)) })
}

/**
 * The live segments and the held ones that lead up to them without a break. A server that removes segments while they are listed leaves a hole in
 * the listing: held ones are in it, and what lies below a hole that stays is gone by now.
 */
function withHeld(live: readonly LocalSegment[], held: readonly LocalSegment[]): LocalSegment[] {
  const byNumber = new Map([...held, ...live].map((segment) => [segment.number, segment]))
  const segments: LocalSegment[] = []
  for (let number = live.at(-1)?.number ?? -1; ; number -= 1) {
    const one = byNumber.get(number)
    if (one === undefined) return segments
    segments.unshift(one)
  }
}

/** The segment files of a checkpoint, in order. */
export async function readCheckpointFiles(path: string): Promise<LocalSegment[]> {
  return segmentsIn(path, await namesIn(path))
}

/**
 * Holds segments from `from` on by hard links, so that they outlive their removal by Prometheus; those that only the links keep
 * take up to `limitBytes`, the oldest go beyond that.
 * @returns the numbers of segments that had to be let go
 * @throws DATA_DIR_UNREADABLE, DISK_FULL, FILE_SYSTEM where links cannot be made: of another's files, on another file system…
 */
export async function holdSegments(dataDir: string, log: WalLog, options: { from: number; limitBytes: number }): Promise<number[]> {
  const directory = join(dataDir, holdName, log)
  const { segments } = await readLocalLog(dataDir, log)
  await onDataFile(directory, mkdir(directory, { recursive: true }))
  const before = await segmentsIn(directory, await namesIn(directory))
  for (const { path, number } of before) {
    const there = segments.find((segment) => segment.number === number)
    // What no longer leads up to the live log, or is another file than the live one of its number, is of another history.
    if (there === undefined || there.identity !== before.find((one) => one.number === number)?.identity) await rm(path, { force: true })
  }
  for (const segment of segments) {
    if (segment.number >= options.from) await linkOnce(segment.path, join(directory, name(segment.number)))
  }
  const live = new Set((await segmentsIn(join(dataDir, log), await namesIn(join(dataDir, log)))).map((segment) => segment.number))
  const onlyHeld = (await segmentsIn(directory, await namesIn(directory))).filter((segment) => !live.has(segment.number))
  let excess = onlyHeld.reduce((sum, segment) => sum + segment.sizeBytes, 0) - options.limitBytes
  const released: number[] = []
  for (const segment of onlyHeld) {
    if (excess <= 0) break
    await rm(segment.path, { force: true })
    excess -= segment.sizeBytes
    released.push(segment.number)
  }
  return released
}

/** Lets go of the segments before `before`: every repository has them. */
export async function releaseSegments(dataDir: string, log: WalLog, before: number): Promise<void> {
  const directory = join(dataDir, holdName, log)
  for (const segment of await segmentsIn(directory, await namesIn(directory))) if (segment.number < before) await rm(segment.path, { force: true })
}

/** Inode numbers are used again when a file is gone; the time of birth tells the files apart. */
export function fileIdentity(stats: { dev: bigint; ino: bigint; birthtimeNs: bigint }): string {
  return `${stats.dev}:${stats.ino}:${stats.birthtimeNs}`
}

async function linkOnce(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (!['EEXIST', 'ENOENT'].includes(systemCode(error) ?? '')) throw dataFileError(error, to)
  }
}

async function segmentsIn(directory: string, names: readonly string[]): Promise<LocalSegment[]> {
  const segments: LocalSegment[] = []
  for (const entry of names) {
    if (!/^\d{8,}$/.test(entry)) continue
    const path = join(directory, entry)
    try {
      const stats = await stat(path, { bigint: true })
      segments.push({ number: Number(entry), path, sizeBytes: Number(stats.size), identity: fileIdentity(stats), bornAtMs: Number(stats.birthtimeMs) })
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw dataFileError(error, path)
    }
  }
  return segments.sort((a, b) => a.number - b.number)
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw dataFileError(error, directory)
  }
}

function name(segment: number): string {
  return String(segment).padStart(8, '0')
}
