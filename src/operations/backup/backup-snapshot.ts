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
  /** To be called once the warnings have been told: until then the next backup finds out the same. */
  forget(): Promise<void>
}

/**
 * Removes the snapshots of earlier backups that were killed. Only what carries our note and whose taker is certainly
 * dead is removed. What appeared since a killed backup asked for a snapshot may be somebody else's: it is named, as is what was taken where this process cannot see whether its taker lives.
 */
export async function removeDeadSnapshots(dataDir: string, isDead: (taker: ProcessIdentity) => boolean): Promise<DeadSnapshots> {
  const parseTaker = (note: unknown) => takerSchema.safeParse(note).data
  const own = await listOwnSnapshots(dataDir, parseTaker)
  const dead = own.filter((snapshot) => isDead(snapshot.taker))
  for (const snapshot of dead) await removeSnapshot(snapshot.path)
  const living = own.filter((snapshot) => !dead.includes(snapshot))
  const warnings = living.map(({ path, taker }) => `${path} was taken by process ${taker.pid} on ${taker.hostname}, which may still be at work: remove it if that is long gone, it pins deleted blocks on the disk`)
  const announcements = (await listAnnouncements(dataDir, parseTaker)).filter(({ taker }) => isDead(taker))
  for (const announcement of announcements) {
    const known = new Set([...announcement.before, ...own.map(({ name }) => name)])
    for (const lost of (await listSnapshots(dataDir)).filter(({ name }) => !known.has(name))) {
      warnings.push(`${lost.path} appeared since a backup asked for a snapshot and was killed: remove it unless somebody else took it, it pins deleted blocks on the disk`)
    }
  }
  const forget = async () => {
    for (const { path } of announcements) await withdrawAnnouncement(path)
  }
  return { removed: dead.map((snapshot) => snapshot.name), warnings: [...new Set(warnings)], forget }
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
