import { chmod, chown, constants, copyFile, link, lstat, mkdir, open, readFile, readdir, readlink, rename, rm, symlink } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { PromDrError, systemCode } from '../errors.ts'
import { ownerNumbers } from '../system/machine.ts'
import type { RestoredComponent } from './component.ts'
import { type PathPattern, isNamedBy, pathsOf } from './path-patterns.ts'
import { layoutFile, readLayout, replacedPrefix } from './tree-layout.ts'

export interface PlaceTreeOptions {
  /** What may be written to, and nothing else, whatever the archive holds. */
  patterns: readonly PathPattern[]
  /** What is done about files that no pattern names. Default: they refuse the whole. */
  others?: 'refuse' | 'skip'
  dryRun: boolean
  now: Date
  signal: AbortSignal
}

/** One file or link of an archive and where it belongs. */
interface Placing {
  source: string
  destination: string
  /** Of a link. */
  target: string | undefined
  owner: string | undefined
}

/**
 * Puts files that `collectTree` collected back where they were. Each is written beside its place, fsynced and renamed over it; what was
 * there stays, linked into a directory beside it. What is equal already is left alone, so that a second run does nothing, and one that
 * was killed is completed by the next.
 * @throws COMPONENT_REFUSED when the archive holds a path that no pattern names; nothing was touched then
 */
export async function placeTree(from: string, options: PlaceTreeOptions): Promise<RestoredComponent> {
  const placings = await planPlacings(from, options)
  const restored: RestoredComponent = { actions: [], movedAside: [], toReenter: [], warnings: [] }
  const aside = `${replacedPrefix}${options.now.toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '')}`
  for (const placing of placings) {
    options.signal.throwIfAborted()
    if (await isInPlace(placing)) continue
    const { destination } = placing
    const present = await kindOf(destination)
    if (present === 'directory') throw new PromDrError('COMPONENT_REFUSED', `${destination} is a directory, in the archive it is a file`, { hint: 'move the directory away, and restore again' })
    restored.actions.push(`${options.dryRun ? 'would write' : 'wrote'} ${destination}`)
    const to = join(dirname(destination), aside, basename(destination))
    if (present !== undefined) restored.movedAside.push({ from: destination, to })
    if (!options.dryRun) await place(placing, present === undefined ? undefined : to, restored)
  }
  const known = new Set(placings.map(({ destination }) => destination))
  for (const path of await presentFiles(options.patterns)) if (!known.has(path)) restored.warnings.push(`${path} is not in the archive; it was left alone`)
  return restored
}

async function planPlacings(from: string, { patterns, others = 'refuse' }: PlaceTreeOptions): Promise<Placing[]> {
  const { owners, links } = await readLayout(from)
  const files = (await filesBelow(from, '')).filter((path) => path !== layoutFile)
  const placings = [
    ...files.map((path) => ({ source: join(from, path), destination: join('/', path), target: undefined, owner: owners[path] })),
    ...Object.entries(links).map(([path, target]) => ({ source: join(from, path), destination: join('/', path), target, owner: undefined })),
  ].sort((a, b) => (a.destination < b.destination ? -1 : 1))
  const isNamed = ({ destination, target }: Placing) => isNamedBy(patterns, destination) && (target === undefined || isNamedBy(patterns, isAbsolute(target) ? resolve(target) : resolve(dirname(destination), target)))
  if (others === 'skip') return placings.filter(isNamed)
  for (const placing of placings) {
    const { destination, target } = placing
    if (isNamed(placing)) continue
    throw new PromDrError('COMPONENT_REFUSED', `the archive holds ${destination}${target === undefined ? '' : `, a link to ${target}`}, which is outside of the configured paths`, {
      hint: 'add it to the component\'s paths if it belongs there, or look at the files with --components-target',
    })
  }
  return placings
}

async function place(placing: Placing, aside: string | undefined, restored: RestoredComponent): Promise<void> {
  const { source, destination, target } = placing
  await mkdir(dirname(destination), { recursive: true })
  if (aside !== undefined) await keepAside(destination, aside)
  const temporary = join(dirname(destination), `.prom-dr-${process.pid}-${basename(destination)}`)
  await rm(temporary, { force: true })
  try {
    if (target !== undefined) await symlink(target, temporary)
    else await writeCopy(source, temporary, placing, restored)
    await rename(temporary, destination)
    await syncPath(dirname(destination))
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Linked, not moved: a server that looks meanwhile finds a file at every moment. */
async function keepAside(destination: string, aside: string): Promise<void> {
  await mkdir(dirname(aside), { recursive: true, mode: 0o700 })
  try {
    await link(destination, aside)
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  }
}

async function writeCopy(source: string, temporary: string, placing: Placing, restored: RestoredComponent): Promise<void> {
  await copyFile(source, temporary, constants.COPYFILE_EXCL)
  const { mode } = await lstat(source)
  await chmod(temporary, mode & 0o777)
  if (process.getuid?.() === 0 && placing.owner !== undefined) {
    const numbers = await ownerNumbers(placing.owner)
    if (numbers === undefined) restored.warnings.push(`${placing.destination} belonged to ${placing.owner}, whom this machine does not know; it belongs to root now`)
    else await chown(temporary, numbers.uid, numbers.gid)
  }
  await syncPath(temporary)
}

/** Same content, same permissions. */
async function isInPlace({ source, destination, target }: Placing): Promise<boolean> {
  const kind = await kindOf(destination)
  if (target !== undefined) return kind === 'link' && (await readlink(destination)) === target
  if (kind !== 'file') return false
  const [wanted, present] = [await lstat(source), await lstat(destination)]
  if (wanted.size !== present.size || (wanted.mode & 0o777) !== (present.mode & 0o777)) return false
  return (await readFile(source)).equals(await readFile(destination))
}

async function kindOf(path: string): Promise<'file' | 'directory' | 'link' | 'other' | undefined> {
  try {
    const stats = await lstat(path)
    return stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : stats.isSymbolicLink() ? 'link' : 'other'
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Files and links below the patterns, those of earlier restores left out. */
async function presentFiles(patterns: readonly PathPattern[]): Promise<string[]> {
  const found: string[] = []
  for (const path of (await Promise.all(patterns.map(pathsOf))).flat()) {
    const kind = await kindOf(path)
    if (kind === 'directory') found.push(...(await filesBelow(path, '')).map((below) => join(path, below)))
    else if (kind !== undefined) found.push(path)
  }
  return [...new Set(found)]
}

/** Paths below a directory, relative to it, of everything that is not a directory. */
export async function filesBelow(directory: string, prefix: string): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(join(directory, prefix), { withFileTypes: true })) {
    if (entry.name.startsWith(replacedPrefix)) continue
    const path = join(prefix, entry.name)
    if (entry.isDirectory()) found.push(...(await filesBelow(directory, path)))
    else found.push(path)
  }
  return found
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
