import { chmod, chown, lstat, mkdir, mkdtemp, readFile, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { isUlid } from '../domain/ulid.ts'
import { PromDrError, systemCode } from '../errors.ts'
import { syncPath } from '../system/sync-path.ts'
import { ownNamePrefix } from './data-directory.ts'
import { writeDurably } from './durable-files.ts'
import { dataFileError, onDataFile } from './file-errors.ts'

/**
 * A data directory while it is being restored. Staging is inside it, since it may be a mount point:
 *
 *     .prom-dr-incomplete   what is being restored, written first and removed last: while it is there, do not start a server
 *     .prom-dr-staging/     blocks that are arriving
 *     .prom-dr-replaced-…/  what --replace moved aside
 *     .prom-dr-restored     what was restored, for those who look later
 */
export const stagingName = `${ownNamePrefix}staging`
export const incompleteName = `${ownNamePrefix}incomplete`
export const restoredName = `${ownNamePrefix}restored`
export const replacedPrefix = `${ownNamePrefix}replaced-`
export const clonePrefix = `${ownNamePrefix}clone-`

/** The note names what is renamed: anything but these was not written by a restore. */
const placedName = z.string().refine((name) => isUlid(name) || name === 'wal' || name === 'wbl', 'not a name that a restore puts in place')
const asideName = z.string().refine((name) => name.startsWith(replacedPrefix) && /^[0-9A-Za-z-]+$/.test(name.slice(replacedPrefix.length)), 'not a name for old content')

const incompleteSchema = z.looseObject({
  version: z.literal(1),
  instance: z.string(),
  recoveryPoint: z.string(),
  /** The moment that its blocks and log are cut at, RFC 3339; null or absent when it is taken whole. */
  moment: z.string().nullish(),
  /** Names that will lie directly in the target. */
  names: z.array(placedName),
  /** Where the old content goes; null when there is none. */
  replacedTo: asideName.nullable(),
  /** `staging` until everything has arrived and was checked; from then on names are moved into place. */
  phase: z.enum(['staging', 'placing']),
  startedAt: z.string(),
})
export type IncompleteRestore = z.infer<typeof incompleteSchema>

export function stagingPath(target: string): string {
  return join(target, stagingName)
}

/** The restore that was interrupted in this directory; undefined when there is none. @throws PREFLIGHT_REFUSED when its note cannot be read */
export async function readIncomplete(target: string): Promise<IncompleteRestore | undefined> {
  const path = join(target, incompleteName)
  try {
    return incompleteSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined
    if (!(error instanceof SyntaxError) && !(error instanceof z.ZodError)) throw dataFileError(error, path)
    const reason = error instanceof z.ZodError ? error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ') : error.message
    throw new PromDrError('PREFLIGHT_REFUSED', `the restore was refused, nothing was changed: ${path}, which tells of an interrupted restore, cannot be read: ${reason}`, { hint: `look at what is in ${target}; move it away, or remove ${path}, and restore again` })
  }
}

const restoredSchema = z.looseObject({
  instance: z.string(),
  recoveryPoint: z.string(),
  /** Newest restored sample, RFC 3339. */
  recoverableAt: z.string().nullable(),
  restoredAt: z.string(),
  /** The generation of the WAL stream that was replayed; absent when none was. */
  generation: z.string().optional(),
  /** Whose log that was: other repositories have it under other names. Absent where an earlier version noted it. */
  server: z.object({ machineId: z.string(), dataDir: z.string() }).optional(),
})
export type RestoredNote = z.infer<typeof restoredSchema>

/** What the directory was last restored from; undefined when it never was. @throws DAMAGED when the note cannot be read */
export async function readRestored(dataDir: string): Promise<RestoredNote | undefined> {
  const path = join(dataDir, restoredName)
  try {
    return restoredSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined
    if (!(error instanceof SyntaxError) && !(error instanceof z.ZodError)) throw dataFileError(error, path)
    throw new PromDrError('DAMAGED', `${path} cannot be read: ${error.message}`, { hint: `it only says what was restored: remove it, and ship once with --new-generation` })
  }
}

export async function writeIncomplete(target: string, note: IncompleteRestore): Promise<void> {
  await writeDurably(join(target, incompleteName), `${JSON.stringify(note, undefined, 1)}\n`)
}

/** Removes what other runs left in the directory: blocks that wait for another restore, and clones of throwaway servers. */
export async function clearLeftovers(target: string, options: { keepStaging: boolean }): Promise<void> {
  for (const name of await namesIn(target)) {
    if (name.startsWith(clonePrefix) || (name === stagingName && !options.keepStaging)) await rm(join(target, name), { recursive: true, force: true })
  }
}

/** Leaves the directory as if the restore had never begun: for one that turns out to be of no use before anything is put in place. */
export async function abandonRestore(target: string): Promise<void> {
  await rm(stagingPath(target), { recursive: true, force: true })
  await rm(join(target, incompleteName), { force: true })
}

/** Removes a log that an interrupted restore had begun to write: it is written anew, to where the stream goes now. */
export async function clearLog(staging: string): Promise<void> {
  for (const name of ['wal', 'wbl']) await rm(join(staging, name), { recursive: true, force: true })
}

/** Bytes that an interrupted restore has brought already. */
export async function stagedBytes(target: string): Promise<number> {
  return bytesBelow(stagingPath(target))
}

async function bytesBelow(path: string): Promise<number> {
  let bytes = 0
  for (const name of await namesIn(path)) {
    const stats = await lstat(join(path, name))
    bytes += stats.isDirectory() ? await bytesBelow(join(path, name)) : stats.size
  }
  return bytes
}

export interface Ownership {
  uid: number
  gid: number
}

/**
 * Gives `path` and everything below it to the owner; directories get 0755 and files 0644, as Prometheus makes them. With
 * `itselfOnly` what is below is left alone, and so is the mode.
 */
export async function handOver(path: string, owner: Ownership, options: { itselfOnly?: boolean } = {}): Promise<void> {
  const stats = await lstat(path)
  if (stats.isDirectory() && options.itselfOnly !== true) {
    for (const name of await readdir(path)) await handOver(join(path, name), owner)
  }
  if (stats.uid !== owner.uid || stats.gid !== owner.gid) await chown(path, owner.uid, owner.gid)
  if (options.itselfOnly !== true) await chmod(path, stats.isDirectory() ? 0o755 : 0o644)
}

export interface PlaceRequest {
  note: IncompleteRestore
  /** What lies in staging, in the order in which it is put in place: wbl, wal, then blocks newest first. */
  names: readonly string[]
  owner: Ownership
  /** What `.prom-dr-restored` will say, asked for when all is in place: a shipper that looked on meanwhile tells by its time that it has to begin anew. */
  restored(): object
}

/**
 * Puts a staged restore in place by renames. Killed at any line, the next run finds `.prom-dr-incomplete` and goes on:
 * while its phase is `staging` everything else there is old; from then on what is no longer in staging is in place.
 * @returns where the old content is; null when there was none
 */
export async function placeRestore(target: string, request: PlaceRequest): Promise<{ replacedTo: string | null }> {
  const staging = join(target, stagingName)
  const { note, owner } = request
  try {
    if (note.phase === 'staging') {
      for (const name of await namesIn(staging)) await handOver(join(staging, name), owner)
      await syncTree(staging)
    }
    if (note.replacedTo !== null) await setAside(target, { note, to: join(target, note.replacedTo), owner })
    await writeIncomplete(target, { ...note, phase: 'placing' })
    for (const name of request.names) await moveInto(join(staging, name), join(target, name))
    await writeDurably(join(target, restoredName), `${JSON.stringify(request.restored(), undefined, 1)}\n`)
    await handOver(join(target, restoredName), owner)
    await rm(staging, { recursive: true, force: true })
    await rm(join(target, incompleteName), { force: true })
    await syncPath(target)
    const asideMade = note.replacedTo !== null && (await namesIn(target)).includes(note.replacedTo)
    return { replacedTo: asideMade ? note.replacedTo : null }
  } catch (error) {
    throw dataFileError(error, target)
  }
}

/**
 * Moves the old content into a directory beside it: nothing is deleted, nothing is written over. What this restore has put
 * in place stays; so does what earlier ones moved aside.
 */
async function setAside(target: string, request: { note: IncompleteRestore; to: string; owner: Ownership }): Promise<void> {
  const { note, to, owner } = request
  const waiting = new Set(await namesIn(join(target, stagingName)))
  const stays = (name: string) => {
    if (name === 'lost+found' || name === stagingName || name.startsWith(incompleteName) || name.startsWith(replacedPrefix)) return true
    return note.phase === 'placing' && (name.startsWith(restoredName) || (note.names.includes(name) && !waiting.has(name)))
  }
  const old = (await readdir(target)).filter((name) => !stays(name))
  if (old.length === 0) return
  await mkdir(to, { recursive: true })
  await handOver(to, owner, { itselfOnly: true })
  const taken = new Set(await readdir(to))
  for (const name of old) await rename(join(target, name), join(to, freeName(name, taken)))
  await syncPath(to)
  await syncPath(target)
}

/** A server that was started between two tries has made the same names again. */
function freeName(name: string, taken: ReadonlySet<string>): string {
  for (let count = 1, free = name; ; count += 1, free = `${name}.${count}`) if (!taken.has(free)) return free
}

async function moveInto(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    await lstat(to)
  }
}

async function syncTree(path: string): Promise<void> {
  for (const name of await namesIn(path)) if ((await lstat(join(path, name))).isDirectory()) await syncTree(join(path, name))
  await syncPath(path)
}

/** Of a directory that need not be there: a crash may have come before it was made or after it was removed. */
async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw dataFileError(error, path)
  }
}

/** Runs `use` with a new directory below `parent`, which is gone afterwards. */
export async function withScratchDirectory<T>(parent: string, use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await onDataFile(parent, mkdtemp(join(parent, 'prom-dr-')))
  try {
    return await use(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
