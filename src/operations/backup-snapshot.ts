import { z } from 'zod'
import { PromDrError, hasCode, messageOf } from '../errors.ts'
import type { PrometheusApi } from '../integrations/prometheus/prometheus-api.ts'
import type { Logger } from '../system/logger.ts'
import type { ProcessIdentity } from '../system/machine.ts'
import { directoryContents, listBlocks, listSnapshots } from '../tsdb/data-directory.ts'
import { listOwnSnapshots, noteSnapshot, removeSnapshot, snapshotPath } from '../tsdb/snapshots.ts'

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
  remove(): Promise<void>
}

/**
 * Removes the snapshots of earlier backups that were killed. Only what carries our note and whose taker is certainly
 * dead is removed; everything else in `snapshots/` belongs to somebody else.
 * @returns the names of those removed
 */
export async function removeDeadSnapshots(dataDir: string, isDead: (taker: ProcessIdentity) => boolean): Promise<string[]> {
  const own = await listOwnSnapshots(dataDir, (note) => {
    const parsed = takerSchema.safeParse(note)
    return parsed.success ? parsed.data : undefined
  })
  const dead = own.filter((snapshot) => isDead(snapshot.taker))
  for (const snapshot of dead) await removeSnapshot(snapshot.path)
  return dead.map((snapshot) => snapshot.name)
}

/**
 * Takes a snapshot and writes down that it is ours. It has to be removed by its taker whatever happens next; should
 * this process be killed, the next backup does it.
 * @throws DATA_DIR_MISMATCH when the snapshot does not appear in the data directory, and what `takeSnapshot` throws
 */
export async function takeSnapshot(request: SnapshotRequest): Promise<TakenSnapshot> {
  const { prometheus, dataDir } = request
  const before = new Set((await listSnapshots(dataDir)).map((snapshot) => snapshot.name))
  const blocksBefore = await ulidsOf(dataDir)
  // Deliberately without the signal: an answer that nobody waits for is a snapshot that nobody removes.
  const name = await prometheus.takeSnapshot({ skipHead: request.skipHead }).catch(async (error: unknown) => {
    throw await withLostSnapshots(error, dataDir, before)
  })
  const path = snapshotPath(dataDir, name)
  if ((await directoryContents(path)).state === 'missing') throw elsewhere(prometheus, dataDir, name)
  const remove = () => removeSnapshot(path)
  try {
    await noteSnapshot(path, request.self)
    const headUlid = await headOf(path, request.skipHead, new Set([...blocksBefore, ...(await ulidsOf(dataDir))]))
    return { name, path, headUlid, remove }
  } catch (error) {
    await remove()
    throw error
  }
}

/**
 * The block that the snapshot wrote from the head: the newest of those that the server does not have itself. (One that
 * the server cut and compacted away within these milliseconds would be taken for it, and stored as a head: harmless.)
 */
async function headOf(path: string, skipHead: boolean, serverBlocks: Set<string>): Promise<string | undefined> {
  if (skipHead) return undefined
  const { blocks } = await listBlocks(path)
  return blocks.map((block) => block.ulid).filter((ulid) => !serverBlocks.has(ulid)).at(-1)
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
