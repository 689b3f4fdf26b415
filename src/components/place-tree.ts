import { readdir } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { PromDrError } from '../errors.ts'
import type { RestoredComponent } from './component.ts'
import { type PathPattern, isNamedBy, pathsOf } from './path-patterns.ts'
import { kindOf } from './placing/file-access.ts'
import type { Placement } from './placing/placement.ts'
import { putInPlace } from './placing/put-in-place.ts'
import { isLeftByRestore } from './placing/restore-names.ts'
import { layoutFile, readLayout } from './tree-layout.ts'

export interface PlaceTreeOptions {
  /** What may be written to, and nothing else, whatever the archive holds. */
  patterns: readonly PathPattern[]
  /** What is done about files that no pattern names. Default: they refuse the whole. */
  others?: 'refuse' | 'skip'
  dryRun: boolean
  now: Date
  signal: AbortSignal
}

/**
 * Puts files that `collectTree` collected back where they were, with the owners and modes that they had. What they replace goes into a
 * directory beside it; what the archive does not have stays.
 * @throws COMPONENT_REFUSED when the archive holds a path that no pattern names, DAMAGED when its paths contradict each other; nothing was
 * touched then
 */
export async function placeTree(from: string, options: PlaceTreeOptions): Promise<RestoredComponent> {
  const { patterns, dryRun, now, signal } = options
  const placements = await plannedPlacements(from, options)
  const aside = (path: string) => ({ directory: dirname(path), path: basename(path) })
  const put = await putInPlace({ placements, obsolete: [], aside, attributes: 'archived', now, dryRun, signal })
  const known = new Set(placements.map(({ destination }) => destination))
  const others = (await presentFiles(patterns)).filter((path) => !known.has(path))
  return { ...put, toReenter: [], warnings: [...put.warnings, ...others.map((path) => `${path} is not in the archive; it was left alone`)] }
}

async function plannedPlacements(from: string, { patterns, others = 'refuse' }: PlaceTreeOptions): Promise<Placement[]> {
  const { owners, links } = await readLayout(from)
  const files = (await filesBelow(from, '')).filter((path) => path !== layoutFile)
  const placements: Placement[] = [
    ...files.map((path) => ({ source: join(from, path), destination: join('/', path), owner: owners[path] })),
    ...Object.entries(links).map(([path, linkTo]) => ({ source: join(from, path), destination: join('/', path), owner: undefined, linkTo })),
  ].sort((a, b) => (a.destination < b.destination ? -1 : 1))
  refuseContradictions(placements)
  const isNamed = ({ destination, linkTo }: Placement) => isNamedBy(patterns, destination) && (linkTo === undefined || isNamedBy(patterns, isAbsolute(linkTo) ? resolve(linkTo) : resolve(dirname(destination), linkTo)))
  if (others === 'skip') return placements.filter(isNamed)
  const stranger = placements.find((placement) => !isNamed(placement))
  if (stranger === undefined) return placements
  const { destination, linkTo } = stranger
  throw new PromDrError('COMPONENT_REFUSED', `the archive holds ${destination}${linkTo === undefined ? '' : `, a link to ${linkTo}`}, which is outside of the configured paths`, {
    hint: 'add it to the component\'s paths if it belongs there, or look at the files with --components-target',
  })
}

/** A path is either a file, a link or a directory with others below it: never would a file be written through a link. */
function refuseContradictions(placements: readonly Placement[]): void {
  const links = new Set(placements.filter(({ linkTo }) => linkTo !== undefined).map(({ destination }) => destination))
  const files = new Set(placements.filter(({ linkTo }) => linkTo === undefined).map(({ destination }) => destination))
  for (const { destination } of placements) {
    const contradicts = (links.has(destination) && files.has(destination)) || isBelowOne(destination, links)
    if (contradicts) throw new PromDrError('DAMAGED', `the archive holds ${destination}, where it has a link too`, { hint: 'prom-dr does not archive such things: do not trust this archive' })
  }
}

function isBelowOne(path: string, others: ReadonlySet<string>): boolean {
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) if (others.has(at)) return true
  return false
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
    if (isLeftByRestore(entry.name)) continue
    const path = join(prefix, entry.name)
    if (entry.isDirectory()) found.push(...(await filesBelow(directory, path)))
    else found.push(path)
  }
  return found
}
