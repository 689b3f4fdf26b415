import { lstat, readlink, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { PromDrError } from '../../errors.ts'
import { syncPath } from '../../system/sync-path.ts'
import { isSameContent, kindOf, onFile } from './file-access.ts'
import { type AsideRequest, asidePlaces, keepAside } from './keep-aside.ts'
import type { Placement } from './placement.ts'
import { newNameOf } from './restore-names.ts'
import { writeBeside } from './write-beside.ts'

export interface PutRequest extends AsideRequest {
  /** In the order in which they appear in their places: what the others are named by comes last. No two for one place. */
  placements: readonly Placement[]
  /** Files that are to be there no more. */
  obsolete: readonly string[]
  /** Whose owner and mode a file gets that replaces another one: that one's, or those that it was archived with, as new files do. */
  attributes: 'here' | 'archived'
  signal: AbortSignal
}

export interface PutOutcome {
  actions: string[]
  movedAside: { from: string; to: string }[]
  warnings: string[]
}

interface Change extends Placement {
  present: 'file' | 'link' | undefined
}

/**
 * Puts files in their places. What is equal already is left alone. Everything new is written and fsynced beside its place first, then
 * what it replaces is kept aside, then all is renamed: killed before the renames nothing has changed, killed between them the next run
 * does the rest, and at every moment each file is there whole.
 * @throws COMPONENT_REFUSED when something else than a file is in the way, COMPONENT_FAILED, DISK_FULL
 */
export async function putInPlace(request: PutRequest): Promise<PutOutcome> {
  const changes = await changesOf(request)
  const old = [...changes.filter(({ present }) => present !== undefined).map(({ destination }) => destination), ...request.obsolete]
  const outcome: PutOutcome = { actions: actionsOf(changes, request), movedAside: [], warnings: [] }
  const written: string[] = []
  try {
    for (const change of request.dryRun ? [] : changes) {
      request.signal.throwIfAborted()
      written.push(await onFile(change.destination, writeBeside(change, { attributes: request.attributes, warnings: outcome.warnings })))
    }
    outcome.movedAside = await asidePlaces(old, request)
    if (request.dryRun) return outcome
    for (const { from, to } of outcome.movedAside) await onFile(to, keepAside(from, to))
    await syncDirectoriesOf(outcome.movedAside.map(({ to }) => to))
    const last = changes.pop()
    for (const { destination } of changes) await onFile(destination, rename(newNameOf(destination), destination))
    for (const path of request.obsolete) await onFile(path, rm(path, { force: true }))
    await syncDirectoriesOf([...changes.map(({ destination }) => destination), ...request.obsolete])
    if (last !== undefined) await onFile(last.destination, rename(newNameOf(last.destination), last.destination))
    await syncDirectoriesOf(last === undefined ? [] : [last.destination])
  } finally {
    for (const path of written) await rm(path, { force: true })
  }
  return outcome
}

async function changesOf({ placements, attributes }: PutRequest): Promise<Change[]> {
  const found: Change[] = []
  for (const placement of placements) {
    const { destination } = placement
    const present = await onFile(destination, kindOf(destination))
    if (present === 'directory' || present === 'other') throw new PromDrError('COMPONENT_REFUSED', `${destination} is no file; in the archive it is one`, { hint: 'nothing was changed: move it away, and restore again' })
    if (!(await onFile(destination, isInPlace(placement, { present, attributes })))) found.push({ ...placement, present })
  }
  return found
}

/** Same content; where those of the archive count, same permissions. */
async function isInPlace({ source, destination, linkTo }: Placement, { present, attributes }: { present: Change['present']; attributes: PutRequest['attributes'] }): Promise<boolean> {
  if (linkTo !== undefined) return present === 'link' && (await readlink(destination)) === linkTo
  if (present !== 'file') return false
  const [wanted, there] = [await lstat(source), await lstat(destination)]
  if (wanted.size !== there.size || (attributes === 'archived' && (wanted.mode & 0o777) !== (there.mode & 0o777))) return false
  return isSameContent(source, destination)
}

function actionsOf(changes: readonly Change[], { obsolete, dryRun }: PutRequest): string[] {
  const [write, replace, move] = dryRun ? ['would write', 'would replace', 'would move aside'] : ['wrote', 'replaced', 'moved aside']
  return [
    ...changes.map(({ destination, present }) => `${present === undefined ? write : replace} ${destination}`),
    ...obsolete.map((path) => `${move} ${path}, which the archive does not have`),
  ]
}

/** Each once, with the one above it, which may have been made for it. */
async function syncDirectoriesOf(paths: readonly string[]): Promise<void> {
  const directories = paths.map((path) => dirname(path))
  for (const directory of new Set([...directories, ...directories.map((path) => dirname(path))])) await onFile(directory, syncPath(directory))
}
