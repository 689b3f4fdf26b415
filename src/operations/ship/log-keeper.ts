import type { WalLog, WalPosition } from '../../domain/wal-stream.ts'
import { hasCode } from '../../errors.ts'
import type { Clock } from '../../system/clock.ts'
import type { Logger } from '../../system/logger.ts'
import { type LocalSegment, holdSegments, readLocalLog, releaseSegments } from '../../tsdb/wal-source.ts'
import { watchLog } from '../../tsdb/wal-watch.ts'
import type { LogGrowth } from './log-growth.ts'
import { WakeUp } from './wake-up.ts'

/** Who ships the log, as its keeper sees it. */
export interface Follower {
  /** What is shipped; undefined while that is not known. */
  position(log: WalLog): WalPosition | undefined
  /** The first segment that shipping still needs; undefined while that is not known. */
  firstNeeded(log: WalLog): number | undefined
  /** There is enough for a part, or a new segment: do not wait for the interval to end. */
  wake(): void
  wokenAt: string | undefined
}

export interface KeeperContext {
  dataDir: string
  intervalMs: number
  partBytes: number
  holdBytes: number
  growth: Record<WalLog, LogGrowth>
  /** Counts segments that had to be let go before they were shipped. */
  lost: Record<WalLog, number>
  /** Logs whose segments cannot be held now, and why. */
  unheld: Map<WalLog, string>
  clock: Clock
  logger: Logger
}

/** Between looks at what is appended. */
const leastPauseMs = 1000

/**
 * Looks after the local log while it is shipped, whether or not a repository can be reached: notes when its bytes were first seen,
 * keeps segments from vanishing that some repository lacks, and wakes those who have enough to ship. The file system
 * tells when there is something to see; where it was silent about something, it is looked at every second. A segment that comes is
 * looked at (and held) at once: a server may remove the one before it a moment later.
 */
export async function keepLog(context: KeeperContext, followers: readonly Follower[], signal: AbortSignal): Promise<void> {
  const { dataDir, intervalMs, clock } = context
  const watch = watchLog(dataDir, 'wal')
  let beside = watchLog(dataDir, 'wbl')
  const event = new WakeUp()
  let pausing = false
  let told = false
  watch.onChange = (arrival) => {
    if (arrival || !pausing) event.ring()
  }
  let before: string | undefined
  try {
    for (;;) {
      // A server makes its directory when it needs it.
      if (!beside.works) beside = watchLog(dataDir, 'wbl')
      beside.onChange = (arrival) => {
        if (arrival) event.ring()
      }
      told = watch.takeChange() || told
      watch.takeArrival()
      beside.takeArrival()
      const seen = await lookAfter(context, followers)
      if (before !== undefined && seen !== before && !told && !watch.takeChange()) watch.distrust()
      before = seen
      pausing = true
      if (!watch.takeArrival() && !beside.takeArrival()) await event.wait(Math.min(leastPauseMs, intervalMs), clock, signal)
      pausing = false
      told = watch.takeChange()
      if (watch.works && !told) await event.wait(Math.max(0, intervalMs - leastPauseMs), clock, signal)
    }
  } finally {
    watch.close()
    beside.close()
  }
}

/**
 * One look. `ending`: it is the last, so that nothing stays held that is shipped, but for the newest segments where the server takes samples out of
 * order: what it logs of them until the next start may be in a block by then, and removed. @returns what was seen, to compare
 */
export async function lookAfter(context: KeeperContext, followers: readonly Follower[], options: { ending: boolean } = { ending: false }): Promise<string> {
  const { dataDir, growth, clock, partBytes } = context
  const wbl = await readLocalLog(dataDir, 'wbl')
  const wal = await readLocalLog(dataDir, 'wal')
  const atMs = clock.now().getTime()
  growth.wbl.look(wbl.segments, atMs)
  growth.wal.look(wal.segments, atMs)
  for (const [log, { segments }] of [['wal', wal], ['wbl', wbl]] as const) await holdWherePossible(context, { log, segments, needed: followers.map((follower) => follower.firstNeeded(log) ?? 0), letGo: options.ending && wbl.segments.length === 0 })
  for (const follower of followers) {
    const position = follower.position('wal')
    if (position === undefined) continue
    const place = `${position.segment}:${position.offset}`
    // Who was woken at this place and is still there cannot go on: the interval is soon enough.
    if (follower.wokenAt === place || unshippedBytes(wal.segments, position) < partBytes) continue
    follower.wokenAt = place
    follower.wake()
  }
  return wal.segments.map(({ number, sizeBytes }) => `${number}:${sizeBytes}`).join(' ')
}

/** Segments that follow the position count for a part, however small: what they finish can be sealed. */
function unshippedBytes(segments: readonly LocalSegment[], { segment, offset }: WalPosition): number {
  return segments.reduce((sum, { number, sizeBytes }) => (number > segment ? Number.POSITIVE_INFINITY : number === segment ? sum + sizeBytes - offset : sum), 0)
}

/** A log whose segments cannot be held is shipped all the same: what is not held is only lost where shipping stands still for long. */
async function holdWherePossible(context: KeeperContext, now: Parameters<typeof holdWhatIsMissing>[1]): Promise<void> {
  const { unheld, logger } = context
  const { log, letGo } = now
  try {
    await holdWhatIsMissing(context, now)
    if (!letGo && unheld.delete(log)) logger.info({ log }, 'segments are held again')
  } catch (error) {
    if (!hasCode(error, 'DATA_DIR_UNREADABLE', 'DISK_FULL', 'FILE_SYSTEM')) throw error
    if (!unheld.has(log)) logger.error({ log, code: error.code, error: error.message }, 'segments cannot be held until they are shipped; shipping goes on')
    unheld.set(log, error.message)
  }
}

/**
 * The newest segment too: an out-of-order compaction begins another one, and removes this one a moment later, with what was
 * logged since it was read last.
 */
async function holdWhatIsMissing({ dataDir, holdBytes, lost: counts, logger }: KeeperContext, now: { log: WalLog; segments: readonly LocalSegment[]; needed: readonly number[]; letGo: boolean }): Promise<void> {
  const { log, segments, needed, letGo } = now
  const newest = segments.at(-1)?.number
  if (newest === undefined) return releaseSegments(dataDir, log, Number.POSITIVE_INFINITY)
  const from = Math.min(newest, ...needed)
  if (letGo && from >= newest) return releaseSegments(dataDir, log, Number.POSITIVE_INFINITY)
  await releaseSegments(dataDir, log, from)
  const lost = await holdSegments(dataDir, log, { from, limitBytes: holdBytes })
  counts[log] += lost.length
  if (lost.length > 0) logger.error({ log, segments: lost.map((segment) => String(segment).padStart(8, '0')) }, 'segments that were not shipped had to be let go: there will be a gap')
}
