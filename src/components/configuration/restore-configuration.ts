import { stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PromDrError, hasCode, systemCode } from '../../errors.ts'
import { ifThere } from '../../system/if-there.ts'
import type { Finding, RestoreComponentOptions } from '../component.ts'
import type { Placement } from '../placing/placement.ts'
import { type PutOutcome, putInPlace } from '../placing/put-in-place.ts'
import { namingFiles, referencesIn } from './archived-references.ts'
import { pathsMatching } from './go-glob.ts'
import { type Layout, archivePathOf, configOf, movedTo, placeOf } from './layout.ts'
import type { Places } from './places.ts'
import type { LocatedReference } from './survey.ts'

export interface RestoreConfigurationRequest {
  from: string
  layout: Layout
  /** Of this machine's server. */
  configFile: string
  places: Places
  now: Date
  options: RestoreComponentOptions
}

/**
 * Puts an archived configuration in the place of this machine's. Files that its patterns of rules, scrape configurations and templates
 * would find and that the archive does not have are moved aside: they would be part of it. Other files stay.
 * @throws COMPONENT_REFUSED when the archive has files for places that this machine does not open, unless `force` leaves them out
 */
export async function restoreConfiguration(request: RestoreConfigurationRequest): Promise<PutOutcome & { toReenter: string[] }> {
  const { from, layout, configFile, places, options } = request
  const configDir = dirname(configFile)
  const { allowed, refused } = await sorted(await placementsOf(request), places)
  if (refused.length > 0 && !options.force) {
    throw new PromDrError('COMPONENT_REFUSED', `the archive has files for places that the configuration here does not name: ${refused.map(({ destination }) => destination).join(', ')}`, {
      hint: `nothing was changed: name their directories in the component's "places", or leave them out with --force`,
    })
  }
  const destinations = new Set<string>()
  const twice = allowed.find(({ destination }) => destinations.size === destinations.add(destination).size)
  if (twice !== undefined) throw new PromDrError('COMPONENT_REFUSED', `the archive has two files for ${twice.destination}`, { hint: 'nothing was changed: give the server a configuration file of the archived name, or restore with --components-target' })
  const references = (await Promise.all(namingFiles(layout).map((path) => readable(from, layout, path)))).flat()
  const put = await putInPlace({
    placements: allowed,
    obsolete: await obsoleteFiles(references.map((reference) => ({ ...reference, pattern: movedTo(reference.pattern, layout, configDir) })), { keep: destinations, places }),
    aside: (path) => ({ directory: configDir, path: archivePathOf(path, configDir, []) }),
    attributes: 'here',
    now: request.now,
    dryRun: options.dryRun,
    signal: options.signal,
  })
  const skipped = refused.map(({ destination }) => `${destination} was left out: the configuration here does not name that place`)
  return { ...put, warnings: [...put.warnings, ...skipped, ...strandedReferences(layout, references, configDir)], toReenter: await missingHere(layout, configDir) }
}

/** The configuration itself last: it names the others. */
async function placementsOf({ from, layout, configFile }: RestoreConfigurationRequest): Promise<Placement[]> {
  const config = configOf(layout)
  const others = Object.keys(layout.files).filter((path) => path !== config).sort()
  return [...others, config].map((path) => ({
    source: join(from, path),
    destination: path === config ? configFile : placeOf(path, layout, dirname(configFile)),
    owner: layout.files[path]?.owner,
  }))
}

async function sorted(placements: readonly Placement[], places: Places): Promise<{ allowed: Placement[]; refused: Placement[] }> {
  const judged = await Promise.all(placements.map(async (placement) => ({ placement, ok: await places.allow(placement.destination) })))
  const those = (ok: boolean) => judged.filter((one) => one.ok === ok).map(({ placement }) => placement)
  return { allowed: those(true), refused: those(false) }
}

/** A file that is no YAML names nothing; whether it is installed all the same was decided before. */
async function readable(from: string, layout: Layout, path: string): Promise<LocatedReference[]> {
  try {
    return (await referencesIn(from, layout, path)).references
  } catch (error) {
    if (hasCode(error, 'COMPONENT_FAILED')) return []
    throw error
  }
}

async function obsoleteFiles(references: readonly LocatedReference[], { keep, places }: { keep: ReadonlySet<string>; places: Places }): Promise<string[]> {
  const found = new Set<string>()
  for (const { role, pattern } of references) {
    if (!['rules', 'scrapes', 'templates'].includes(role)) continue
    for (const path of await pathsMatching(pattern)) if (!keep.has(path) && (await places.allow(path))) found.add(path)
  }
  return [...found].sort()
}

/** Absolute paths into the old directory, where the directory is another one here. */
function strandedReferences(layout: Layout, references: readonly LocatedReference[], configDir: string): string[] {
  const old = layout.knownAs ?? layout.configDir
  if (layout.knownAs !== undefined || old === configDir) return []
  return references.filter(({ value }) => value.startsWith(`${old}/`)).map(({ key, value }) => `${key} names ${value}, but the configuration lies in ${configDir} here: correct it, or restore to ${old}`)
}

/** Credentials that were left out of the archive and are not on this machine either. */
async function missingHere(layout: Layout, configDir: string): Promise<string[]> {
  const paths = layout.leftOut.map(({ path }) => movedTo(path, layout, configDir))
  const missing = await Promise.all(paths.map(isMissing))
  return paths.filter((_, index) => missing[index])
}

/** Not what this user may not look at. */
async function isMissing(path: string): Promise<boolean> {
  try {
    return (await ifThere(stat(path), ['ENOENT', 'ENOTDIR'])) === undefined
  } catch (error) {
    if (systemCode(error) === 'EACCES') return false
    throw error
  }
}

/**
 * What a check before a restore comes to: with `force` what is broken is only said.
 * @throws COMPONENT_REFUSED for what is broken; nothing was touched
 */
export function refuseBroken(findings: readonly Finding[], { name, force }: { name: string; force: boolean }): string[] {
  const said = findings.filter(({ level }) => level !== 'ok').map((finding) => `${finding.name}: ${finding.detail}`)
  const broken = findings.find(({ level }) => level === 'fail')
  if (broken === undefined || force) return said
  throw new PromDrError('COMPONENT_REFUSED', `${name} was not restored, nothing was changed: ${broken.name}: ${broken.detail}`, { hint: broken.advice ?? '--force installs it all the same' })
}
