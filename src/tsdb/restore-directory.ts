import { chmod, chown, lstat, mkdir, mkdtemp, readFile, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { PromDrError, systemCode } from '../errors.ts'
import { ownNamePrefix } from './data-directory.ts'
import { syncDirectory, writeDurably } from './durable-files.ts'
import { dataFileError } from './file-errors.ts'

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

const incompleteSchema = z.looseObject({
  version: z.literal(1),
  instance: z.string(),
  recoveryPoint: z.string(),
  /** Names that will lie directly in the target. */
  names: z.array(z.string()),
  /** Where the old content goes; null when there is none. */
  replacedTo: z.string().nullable(),
  /** `staging` until everything has arrived and was checked; from then on names are moved into place. */
  phase: z.enum(['staging', 'placing']),
  startedAt: z.string(),
})
export type IncompleteRestore = z.infer<typeof incompleteSchema>

export function stagingPath(target: string): string {
  return join(target, stagingName)
}

/** The restore that was interrupted in this directory; undefined when there is none. @throws DAMAGED when its note cannot be read */
export async function readIncomplete(target: string): Promise<IncompleteRestore | undefined> {
  const path = join(target, incompleteName)
  try {
    return incompleteSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined
    if (!(error instanceof SyntaxError) && !(error instanceof z.ZodError)) throw dataFileError(error, path)
    throw new PromDrError('DAMAGED', `${path} cannot be read: ${error.message}`, { hint: `look at what is in ${target}; move it away, or remove ${path}, and restore again` })
  }
}

export async function writeIncomplete(target: string, note: IncompleteRestore): Promise<void> {
  await writeDurably(join(target, incompleteName), `${JSON.stringify(note, undefined, 1)}\n`)
}

/** Removes what an interrupted restore of something else left in staging. */
export async function clearStaging(target: string): Promise<void> {
  await rm(join(target, stagingName), { recursive: true, force: true })
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
  /** What `.prom-dr-restored` will say. */
  restored: object
}

/**
 * Puts a staged restore in place by renames. Killed at any line, the next run finds `.prom-dr-incomplete` and goes on:
 * names that are no longer in staging have been moved already.
 */
export async function placeRestore(target: string, request: PlaceRequest): Promise<void> {
  const staging = join(target, stagingName)
  try {
    for (const name of await readdir(staging)) await handOver(join(staging, name), request.owner)
    await syncTree(staging)
    await writeIncomplete(target, { ...request.note, phase: 'placing' })
    if (request.note.replacedTo !== null) await moveAside(target, request.note)
    for (const name of request.names) await moveInto(join(staging, name), join(target, name))
    await writeDurably(join(target, restoredName), `${JSON.stringify(request.restored, undefined, 1)}\n`)
    await syncDirectory(target)
    await rm(staging, { recursive: true, force: true })
    await rm(join(target, incompleteName), { force: true })
    await syncDirectory(target)
  } catch (error) {
    throw dataFileError(error, target)
  }
}

/** Moves the old content into a directory beside it: nothing is deleted. Names that this restore has put in place stay. */
async function moveAside(target: string, note: IncompleteRestore): Promise<void> {
  const aside = join(target, note.replacedTo ?? '')
  await mkdir(aside, { recursive: true })
  const inStaging = new Set(await readdir(join(target, stagingName)))
  for (const name of await readdir(target)) {
    if (name === 'lost+found' || name === incompleteName || name === stagingName || name.startsWith(`${ownNamePrefix}replaced-`)) continue
    // A name that this restore brings is the old one as long as its successor still waits in staging.
    if (note.names.includes(name) && !inStaging.has(name)) continue
    await rename(join(target, name), join(aside, name))
  }
  await syncDirectory(aside)
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
  for (const entry of await readdir(path, { withFileTypes: true })) if (entry.isDirectory()) await syncTree(join(path, entry.name))
  await syncDirectory(path)
}

/** Runs `use` with a new directory below `parent`, which is gone afterwards. */
export async function withScratchDirectory<T>(parent: string, use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(parent, 'prom-dr-'))
  try {
    return await use(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
