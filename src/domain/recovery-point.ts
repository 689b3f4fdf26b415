import { type NamedArchive, archiveBytes } from './archive.ts'
import type { KnownAnswers } from './known-answers.ts'
import type { Tier } from './tiers.ts'

/** Bytes of each file of a block by its path in the block (`index`, `chunks/000001`, `meta.json`). */
export type BlockFiles = Record<string, number>

/** A block as a recovery point names it. Its files' digests are in its meta.json, whose own digest is here. */
export interface NamedBlock {
  ulid: string
  /** Half-open range, ms. */
  minTime: number
  maxTime: number
  level: number
  /** False for blocks of out-of-order samples and other `from-*` blocks: they do not bound what the WAL replays. */
  inOrder: boolean
  numSeries: number
  numSamples: number
  numChunks: number
  files: BlockFiles
  metaSha256: string
  /** Deletions in force in the block when the recovery point was made; stored once per content. */
  tombstones?: { sha256: string; sizeBytes: number }
}

/** What covers the samples that were still in memory. */
export type Head =
  | { kind: 'block'; block: NamedBlock }
  /** The head was empty: nothing is missing. */
  | { kind: 'empty' }
  /** Left out on request: samples newer than the blocks are not in the recovery point. */
  | { kind: 'omitted' }
  /** The shipped WAL has it, in this generation and those that follow: without that log only the blocks are left. */
  | { kind: 'wal'; generation: string }
  /** Made of components alone: no TSDB is in the recovery point, and none is restored from it. */
  | { kind: 'none' }

/** False for recovery points of components alone (`archive`): retention and tiers count them apart, restores of a TSDB pass them over. */
export function holdsTsdb(point: Pick<RecoveryPoint, 'head'>): boolean {
  return point.head.kind !== 'none'
}

/** Where what was in memory is: in the recovery point (an empty head too), in the shipped WAL, or nowhere; `none` where there is no TSDB at all. */
export type HeadPlace = 'stored' | 'wal' | 'omitted' | 'none'

export function headPlace(head: Head): HeadPlace {
  return head.kind === 'block' || head.kind === 'empty' ? 'stored' : head.kind
}

/** The server that a recovery point was made of. */
export interface Source {
  prometheusVersion: string
  hostname: string
  dataDir: string
  owner: { uid: number; gid: number; user: string | null; group: string | null }
  /** Effective retention; null where there is no such limit. */
  retention: { timeMs: number | null; sizeBytes: number | null }
  externalLabels: Record<string, string>
  /** The longest that a scrape may take, and how far samples may come out of order, ms; absent in recovery points of older versions. */
  scrapeTimeoutMs?: number | undefined
  outOfOrderWindowMs?: number | undefined
  /** Command line flags as the server reports them. */
  flags: Record<string, string>
}

/** The value that a manifest holds. It exists when its manifest exists, and never changes. */
/** A block that the server itself had in a damaged state. What could be read of it is stored. */
export interface DamagedBlock {
  ulid: string
  reason: string
}

export interface RecoveryPoint {
  id: string
  instance: string
  /** ms; the snapshot was complete at this moment. */
  createdAt: number
  /** Time of the oldest and newest sample, ms; null when there are none. */
  minTime: number | null
  maxTime: number | null
  tiers: Tier[]
  source: Source
  blocks: NamedBlock[]
  head: Head
  /** At most one of each component, sorted by its name. Collected before the snapshot was taken. */
  archives: NamedArchive[]
  /** Undefined without any. */
  damagedAtSource?: DamagedBlock[]
  knownAnswers: KnownAnswers
  cost: { uploadedBytes: number; reusedBytes: number; durationMs: number }
}

const idPattern = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z-[0-9a-z]{8}$/

/**
 * UTC basic time to the second, then two characters for the millisecond and six random ones: ids sort by time, also those made in
 * one second. `random` is lowercase hex or letters.
 */
export function recoveryPointId(createdAt: Date, random: string): string {
  const millisecond = createdAt.getUTCMilliseconds().toString(36).padStart(2, '0')
  return `${basicTime(createdAt)}-${millisecond}${random.slice(0, 6)}`
}

function basicTime(time: Date): string {
  return time.toISOString().replace(/[-:]/g, '').replace(/\.\d+Z$/, 'Z')
}

export function isRecoveryPointId(text: string): boolean {
  return !Number.isNaN(recoveryPointIdTime(text))
}

/** The time in an id, ms, to the second; NaN for text that is not an id, also where it only looks like one (a 13th month). */
export function recoveryPointIdTime(id: string): number {
  const parts = idPattern.exec(id)
  if (parts === null) return Number.NaN
  const [, year, month, day, hour, minute, second] = parts
  const timeMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  // Date.parse takes the 30th of February for the 2nd of March.
  return Number.isNaN(timeMs) || !id.startsWith(basicTime(new Date(timeMs))) ? Number.NaN : timeMs
}

export function blockBytes(block: NamedBlock): number {
  let bytes = block.tombstones?.sizeBytes ?? 0
  for (const sizeBytes of Object.values(block.files)) bytes += sizeBytes
  return bytes
}

/** Blocks and head together, newest first by maxTime. */
export function allBlocks(point: Pick<RecoveryPoint, 'blocks' | 'head'>): NamedBlock[] {
  const blocks = point.head.kind === 'block' ? [...point.blocks, point.head.block] : [...point.blocks]
  return blocks.sort((a, b) => b.maxTime - a.maxTime || (a.ulid < b.ulid ? 1 : -1))
}

export function recoveryPointBytes(point: Pick<RecoveryPoint, 'blocks' | 'head' | 'archives'>): number {
  const archived = point.archives.reduce((bytes, archive) => bytes + archiveBytes(archive), 0)
  return allBlocks(point).reduce((bytes, block) => bytes + blockBytes(block), archived)
}
