import { randomUUID } from 'node:crypto'
import { basename } from 'node:path'
import { z } from 'zod'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import type { PrometheusApi } from '../../integrations/prometheus/prometheus-api.ts'
import type { Logger } from '../../system/logger.ts'
import type { ProcessIdentity } from '../../system/machine.ts'
import { directoryContents, listBlocks, listSnapshots } from '../../tsdb/data-directory.ts'
import { announceSnapshot, listAnnouncements, listOwnSnapshots, noteSnapshot, removeSnapshot, snapshotPath, withdrawAnnouncement } from '../../tsdb/snapshots.ts'

const takerSchema = z.looseObject({ machineId: z.string(), bootId: z.string(), hostname: z.string(), pid: z.number().int(), processStart: z.string() })

export interface SnapshotRequest {
  prometheus: PrometheusApi
  dataDir: string
  skipHead: boolean
  self: ProcessIdentity
  logger: Logger
  signal?: AbortSignal | undefined
}

export interface TakenSnapshot {
  name: string
  path: string
  /** Blocks in it that are not the server's own: at most one, which was written from the head. */
  headUlid: string | undefined
  warnings: string[]
  remove(): Promise<void>
}

export interface DeadSnapshots {
  /** Names of those that were removed. */
  removed: string[]
  /** What was left, and why. */
  warnings: string[]
}

/** Who took a snapshot, and whether he is certainly gone. */
type IsDead = (taker: ProcessIdentity) => boolean

const parseTaker = (note: unknown) => takerSchema.safeParse(note).data

/**
 * Removes the snapshots of earlier backups that were killed. Only what carries our note and whose taker is certainly
 * dead is removed; what was taken where this process cannot see whether its taker lives is named.
 */
export async function removeDeadSnapshots(dataDir: string, isDead: IsDead): Promise<DeadSnapshots> {
  const own = await listOwnSnapshots(dataDir, parseTaker)
  const dead = own.filter((snapshot) => isDead(snapshot.taker))
  for (const snapshot of dead) await removeSnapshot(snapshot.path)
  const living = own.filter((snapshot) => !dead.includes(snapshot))
  const warnings = living.map(({ path, taker }) => `${path} was taken by process ${taker.pid} on ${taker.hostname}, which may still be at work: remove it if that is long gone, it pins deleted blocks on the disk`)
  return { removed: dead.map((snapshot) => snapshot.name), warnings }
}

/**
 * Names what appeared since a backup that was killed asked for a snapshot: it may be somebody else's, and is not removed. To be called when
 * this backup's own snapshot has been taken, before which the server has finished one that was asked for earlier. Told once, to the log at
 * once: killed in between, the next backup finds out the same.
 * @returns the warnings
 */
export async function tellLostSnapshots(dataDir: string, { isDead, logger }: { isDead: IsDead; logger: Logger }): Promise<string[]> {
  const announcements = await listAnnouncements(dataDir, parseTaker)
  const [dead, living] = [announcements.filter(({ taker }) => isDead(taker)), announcements.filter(({ taker }) => !isDead(taker))]
  if (dead.length === 0) return []
  const own = new Set((await listOwnSnapshots(dataDir, parseTaker)).map(({ name }) => name))
  const nameless = (await listSnapshots(dataDir)).filter(({ name }) => !own.has(name) && dead.some(({ before }) => !before.includes(name)))
  // Of one that another process may be about to write its note into, the next backup will know.
  const lost = nameless.filter(({ name }) => living.every(({ before }) => before.includes(name)))
  for (const { path } of lost) logger.warn({ path }, 'a snapshot appeared since a backup asked for one and was killed')
  if (lost.length === nameless.length) for (const { path } of dead) await withdrawAnnouncement(path)
  return lost.map(({ path }) => `${path} appeared since a backup asked for a snapshot and was killed: remove it unless somebody else took it, it pins deleted blocks on the disk`)
}

/**
 * Takes a snapshot and writes down that it is ours. It has to be removed by its taker whatever happens next; should
 * this process be killed, the next backup does it.
 * @throws DATA_DIR_UNREADABLE and DISK_FULL before a snapshot is taken where none could be removed or noted,
 * DATA_DIR_MISMATCH when it does not appear in the data directory, and what the API throws
 */
export async function takeSnapshot(request: SnapshotRequest): Promise<TakenSnapshot> {
  const { prometheus, dataDir, self } = request
  const before = new Set((await listSnapshots(dataDir)).map((snapshot) => snapshot.name))
  const blocksBefore = await ulidsOf(dataDir)
  const announcement = await announceSnapshot(dataDir, { id: `${self.pid}-${randomUUID()}`, taker: self, before: [...before] })
  try {
    request.signal?.throwIfAborted()
    // Deliberately without the signal: an answer that nobody waits for is a snapshot that nobody removes.
    const name = await prometheus.takeSnapshot({ skipHead: request.skipHead }).catch(async (error: unknown) => {
      throw await withLostSnapshots(error, dataDir, before)
    })
    const path = snapshotPath(dataDir, name)
    if ((await directoryContents(path)).state === 'missing') throw elsewhere(prometheus, dataDir, name)
    return await takePossession(request, path, blocksBefore)
  } finally {
    await withdrawAnnouncement(announcement)
  }
}

async function takePossession(request: SnapshotRequest, path: string, blocksBefore: readonly string[]): Promise<TakenSnapshot> {
  const remove = () => removeSnapshot(path)
  try {
    await noteSnapshot(path, request.self)
    const inSnapshot = await ulidsOf(path)
    const now = new Set(await ulidsOf(request.dataDir))
    const headUlid = request.skipHead ? undefined : headOf(inSnapshot, new Set([...blocksBefore, ...now]))
    const unloaded = blocksBefore.filter((ulid) => now.has(ulid) && !inSnapshot.includes(ulid))
    const warnings = unloaded.map((ulid) => `block ${ulid} lies in ${request.dataDir} but the server has not loaded it: it is not in this recovery point (see the server's log, or back up again in a minute if it was just put there)`)
    return { name: basename(path), path, headUlid, warnings, remove }
  } catch (error) {
    await remove().catch((failure: unknown) => {
      throw new PromDrError('DATA_DIR_UNREADABLE', `the snapshot ${path} could neither be used (${messageOf(error)}) nor removed (${messageOf(failure)})`, {
        hint: `remove it by hand; run prom-dr as root or as the user that Prometheus runs as`, cause: error,
      })
    })
    throw error
  }
}

/**
 * The block that the snapshot wrote from the head: the newest of those that the server does not have itself. (One that
 * the server cut and compacted away within these milliseconds would be taken for it, and stored as a head: harmless.)
 */
function headOf(inSnapshot: readonly string[], serverBlocks: ReadonlySet<string>): string | undefined {
  return inSnapshot.filter((ulid) => !serverBlocks.has(ulid)).at(-1)
}

async function ulidsOf(dataDir: string): Promise<string[]> {
  return (await listBlocks(dataDir)).blocks.map((block) => block.ulid)
}

/** A snapshot whose name never reached us may be somebody else's: it is named, not removed. */
async function withLostSnapshots(error: unknown, dataDir: string, before: Set<string>): Promise<unknown> {
  const appeared = (await listSnapshots(dataDir)).filter((snapshot) => !before.has(snapshot.name))
  const full = /no space left on device|disk quota exceeded/i.test(messageOf(error))
  if (!(error instanceof PromDrError) || (appeared.length === 0 && !full)) return error
  const leftover = appeared.length === 0 ? '' : ` ${appeared.map((snapshot) => snapshot.path).join(', ')} appeared meanwhile and was left alone: remove it unless somebody else took it.`
  if (full && hasCode(error, 'PROMETHEUS_BAD_RESPONSE')) {
    return new PromDrError('DISK_FULL', `the file system of ${dataDir} is full: Prometheus could not write the snapshot (${error.message})`, {
      hint: `free some space; "--head never" needs almost none.${leftover}`, cause: error,
    })
  }
  return new PromDrError(error.code, error.message, { hint: `${error.hint ?? ''}${leftover}`.trim(), cause: error })
}

function elsewhere(prometheus: PrometheusApi, dataDir: string, name: string): PromDrError {
  return new PromDrError('DATA_DIR_MISMATCH', `${prometheus.url} took the snapshot ${name}, but it is not in ${dataDir}/snapshots`, {
    hint: `set prometheus.dataDir to the server's data directory as this host sees it, and remove snapshots/${name} there by hand`,
  })
}
