import type { Stats } from 'node:fs'
import { chmod, chown, constants, copyFile, lstat, mkdir, open, readFile, readlink, realpath, rename, rm, stat, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PromDrError, systemCode } from '../../errors.ts'
import { ownerNumbers } from '../../system/machine.ts'

/** A file of an archive, or of a scratch directory, and where it belongs. */
export interface Placement {
  source: string
  destination: string
  /** `user:group` that it had; for a file that is new here. */
  owner: string
}

export interface PutRequest {
  /** In the order in which they appear in their places: what the others are named by comes last. */
  placements: readonly Placement[]
  /** Files that are to be there no more. */
  obsolete: readonly string[]
  /** Where what is replaced goes to; the path of each below it. */
  aside: { directory: string; pathOf(path: string): string }
  now: Date
  dryRun: boolean
}

export interface PutOutcome {
  actions: string[]
  movedAside: { from: string; to: string }[]
  warnings: string[]
}

export const replacedPrefix = '.prom-dr-replaced-'
const newSuffix = '.prom-dr-new'

interface Change extends Placement {
  present: 'file' | 'link' | undefined
}

/**
 * Puts files in their places. What is equal already is left alone. Everything new is written and fsynced beside its place first, then
 * what it replaces is copied aside, then all is renamed: killed before the renames nothing has changed, killed between them the next run
 * does the rest, and at every moment each file is there whole.
 * @throws COMPONENT_REFUSED when something else than a file is in the way, COMPONENT_FAILED, DISK_FULL
 */
export async function putInPlace(request: PutRequest): Promise<PutOutcome> {
  const changes = await changesOf(request.placements)
  const outcome: PutOutcome = { actions: [], movedAside: [], warnings: [] }
  const old = [...changes.filter(({ present }) => present !== undefined).map(({ destination }) => destination), ...request.obsolete]
  const would = request.dryRun ? 'would ' : ''
  for (const { destination, present } of changes) outcome.actions.push(`${would}${present === undefined ? 'write' : 'replace'} ${destination}`)
  for (const path of request.obsolete) outcome.actions.push(`${would}move aside ${path}, which the archive does not have`)
  const written: string[] = []
  try {
    if (!request.dryRun) for (const change of changes) written.push(await onFile(change.destination, writeBeside(change, outcome)))
    const aside = old.length === 0 ? '' : await asideDirectory(request)
    outcome.movedAside.push(...old.map((path) => ({ from: path, to: join(aside, request.aside.pathOf(path)) })))
    if (request.dryRun) return outcome
    for (const { from, to } of outcome.movedAside) await onFile(to, copyAside(from, to))
    await syncDirectoriesOf(outcome.movedAside.map(({ to }) => to))
    const last = changes.pop()
    for (const { destination } of changes) await onFile(destination, rename(`${destination}${newSuffix}`, destination))
    for (const path of request.obsolete) await onFile(path, rm(path, { force: true }))
    await syncDirectoriesOf([...changes.map(({ destination }) => destination), ...request.obsolete])
    if (last !== undefined) await onFile(last.destination, rename(`${last.destination}${newSuffix}`, last.destination))
    await syncDirectoriesOf(last === undefined ? [] : [last.destination])
  } finally {
    for (const path of written) await rm(path, { force: true })
  }
  return outcome
}

async function changesOf(placements: readonly Placement[]): Promise<Change[]> {
  const found: Change[] = []
  for (const placement of placements) {
    const present = await onFile(placement.destination, kindOf(placement.destination))
    if (present === 'other') throw new PromDrError('COMPONENT_REFUSED', `${placement.destination} is no file; in the archive it is one`, { hint: 'nothing was changed: move it away, and restore again' })
    if (present === 'file' && (await onFile(placement.destination, readFile(placement.destination))).equals(await readFile(placement.source))) continue
    found.push({ ...placement, present })
  }
  return found
}

async function kindOf(path: string): Promise<'file' | 'link' | 'other' | undefined> {
  try {
    const stats = await lstat(path)
    return stats.isFile() ? 'file' : stats.isSymbolicLink() ? 'link' : 'other'
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

async function asideDirectory({ aside, now, dryRun }: PutRequest): Promise<string> {
  const name = join(aside.directory, `${replacedPrefix}${now.toISOString().replace(/[-:]|\.\d+/g, '')}`)
  if (dryRun) return name
  for (let count = 0; ; count += 1) {
    const path = count === 0 ? name : `${name}-${count}`
    try {
      await mkdir(path, { mode: 0o700 })
      return path
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw fileFailure(error, path)
    }
  }
}

/** @returns the path of what was written */
async function writeBeside(change: Change, outcome: PutOutcome): Promise<string> {
  const { destination, source } = change
  const parent = dirname(destination)
  await makeDirectories(parent)
  const temporary = `${destination}${newSuffix}`
  await rm(temporary, { force: true })
  const handle = await open(temporary, 'wx', 0o600)
  try {
    await handle.writeFile(await readFile(source))
    await handOver(temporary, { change, like: await statOf(destination) }, outcome)
    await handle.sync()
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  } finally {
    await handle.close()
  }
  return temporary
}

/** A file keeps the owner and mode that it has here; a new one gets those that it had, or its directory's owner. */
async function handOver(temporary: string, { change, like }: { change: Change; like: Stats | undefined }, outcome: PutOutcome): Promise<void> {
  const mode = (like ?? (await stat(change.source))).mode & 0o777
  if (process.getuid?.() === 0) {
    const numbers = like ?? (await ownerNumbers(change.owner)) ?? (await stat(dirname(change.destination)))
    if (like === undefined && (await ownerNumbers(change.owner)) === undefined) {
      outcome.warnings.push(`${change.destination} belonged to ${change.owner}, whom this machine does not know: it has its directory's owner now`)
    }
    await chown(temporary, numbers.uid, numbers.gid)
  }
  await chmod(temporary, mode)
}

/** Undefined for what is not there, or is a link to nothing. */
async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** New directories belong to whom the one above them belongs. */
async function makeDirectories(path: string): Promise<void> {
  if ((await statOf(path))?.isDirectory() === true) return
  await makeDirectories(dirname(path))
  await mkdir(path, { mode: 0o755 })
  const { uid, gid } = await stat(dirname(path))
  if (process.getuid?.() === 0) await chown(path, uid, gid)
  await syncPath(dirname(path))
}

/** A copy, so that the file is in its place at every moment, and the two may lie on different disks. */
async function copyAside(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 })
  if ((await lstat(from)).isSymbolicLink()) return symlink((await statOf(from)) === undefined ? await readlink(from) : await realpath(from), to)
  await copyFile(from, to, constants.COPYFILE_EXCL)
  const { uid, gid, mode } = await stat(from)
  if (process.getuid?.() === 0) await chown(to, uid, gid)
  await chmod(to, mode & 0o777)
  await syncPath(to)
}

/** Each once, with the one above it, which may have been made for it. */
async function syncDirectoriesOf(paths: readonly string[]): Promise<void> {
  const directories = paths.map((path) => dirname(path))
  for (const directory of new Set([...directories, ...directories.map((path) => dirname(path))])) await onFile(directory, syncPath(directory))
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function onFile<T>(path: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (error) {
    throw fileFailure(error, path)
  }
}

function fileFailure(error: unknown, path: string): unknown {
  const code = systemCode(error)
  if (error instanceof PromDrError || code === undefined) return error
  if (code === 'ENOSPC' || code === 'EDQUOT') return new PromDrError('DISK_FULL', `no space left to write ${path} (${code})`, { hint: 'free space on that filesystem, and restore again', cause: error })
  const hint = code === 'EROFS' ? 'it is mounted read-only, as Kubernetes mounts a ConfigMap: restore with --components-target, and apply the files from there' : 'run prom-dr as root, or as a user who may write there'
  return new PromDrError('COMPONENT_FAILED', `cannot write ${path} (${code})`, { hint, cause: error })
}
