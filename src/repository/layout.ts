import { isComponentName } from '../domain/archive.ts'
import { isRecoveryPointId } from '../domain/recovery-point.ts'
import { isUlid } from '../domain/ulid.ts'
import { PromDrError } from '../errors.ts'

/**
 * Where everything lies in a repository (ARCHITECTURE.md shows the tree). Names that come from outside are checked
 * here, so that no manifest, configuration or listing can lead to another place.
 */
export const formatKey = 'prom-dr.json'
export const blocksPrefix = 'blocks/'
export const instancesPrefix = 'instances/'

export function blockPrefix(ulid: string): string {
  return `${blocksPrefix}${checkedUlid(ulid)}/`
}

export function deletionMarkKey(ulid: string): string {
  return `${blockPrefix(ulid)}deletion-mark.json`
}

export function instancePrefix(instance: string): string {
  return `${instancesPrefix}${checkedInstance(instance)}/`
}

export function identityKey(instance: string): string {
  return `${instancePrefix(instance)}instance.json`
}

export function recoveryPointsPrefix(instance: string): string {
  return `${instancePrefix(instance)}recovery-points/`
}

export function recoveryPointKey(instance: string, id: string): string {
  return `${recoveryPointsPrefix(instance)}${checkedId(id)}.json`
}

export function intentsPrefix(instance: string): string {
  return `${instancePrefix(instance)}intents/`
}

export function intentKey(instance: string, id: string): string {
  return `${intentsPrefix(instance)}${checkedId(id)}.json`
}

export function headPrefix(instance: string, ulid: string): string {
  return `${instancePrefix(instance)}heads/${checkedUlid(ulid)}/`
}

export function tombstonesKey(instance: string, sha256: string): string {
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw refused('digest', sha256)
  return `${instancePrefix(instance)}tombstones/${sha256}`
}

export function archivesPrefix(instance: string): string {
  return `${instancePrefix(instance)}archives/`
}

/** Below an instance's prefix: what an archive is stored as, named by its own digest. */
export function archivePath(archive: { component: string; sha256: string; encrypted: boolean }): string {
  if (!isComponentName(archive.component)) throw refused('component name', archive.component)
  if (!/^[0-9a-f]{64}$/.test(archive.sha256)) throw refused('digest', archive.sha256)
  return `archives/${archive.component}/${archive.sha256}.tar.gz${archive.encrypted ? '.age' : ''}`
}

export function archiveKey(instance: string, archive: { component: string; sha256: string; encrypted: boolean }): string {
  return `${instancePrefix(instance)}${archivePath(archive)}`
}

/** Below an instance's prefix: where a component's own tool stores what one recovery point names. */
export function externalPath(component: string, recoveryPoint: string): string {
  if (!isComponentName(component)) throw refused('component name', component)
  return `archives/${component}/external/${checkedId(recoveryPoint)}/`
}

export function isExternalPath(path: string, component: string): boolean {
  const id = path.slice(`archives/${component}/external/`.length, -1)
  return isComponentName(component) && isRecoveryPointId(id) && path === externalPath(component, id)
}

export function headsPrefix(instance: string): string {
  return `${instancePrefix(instance)}heads/`
}

export function tombstonesPrefix(instance: string): string {
  return `${instancePrefix(instance)}tombstones/`
}

const markSuffix = 'deletion-mark.json'

/** Where the mark of a block, a head, an object or external data lies: within a block, beside everything else. */
export function markKeyOf(name: string): string {
  if (!name.endsWith('/')) return `${name}.${markSuffix}`
  return /\/archives\/[^/]+\/external\/[^/]+\/$/.test(name) ? `${name.slice(0, -1)}.${markSuffix}` : `${name}${markSuffix}`
}

/** Whether the key is that of a mark. */
export function isMarkKey(key: string): boolean {
  return key.endsWith(`/${markSuffix}`) || key.endsWith(`.${markSuffix}`)
}

export function leasesPrefix(instance: string, verb: string): string {
  return `${instancePrefix(instance)}leases/${verb}/`
}

export function leaseKey(instance: string, verb: string, number: number): string {
  return `${leasesPrefix(instance, verb)}${String(number).padStart(8, '0')}.json`
}

export function holdsPrefix(instance: string): string {
  return `${instancePrefix(instance)}holds/`
}

export function holdKey(instance: string, id: string): string {
  return `${holdsPrefix(instance)}${checkedId(id)}.json`
}

export function verificationsPrefix(instance: string): string {
  return `${instancePrefix(instance)}verifications/`
}

export function restoresPrefix(instance: string): string {
  return `${instancePrefix(instance)}restores/`
}

/** Where capabilities of the store are tried. */
export const probePrefix = 'probes/'

const instancePattern = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$/

export function isInstanceName(name: string): boolean {
  return instancePattern.test(name)
}

/** `a/b/<name>.json` → `<name>`; undefined for keys that are not directly below the prefix or end otherwise. */
export function documentName(key: string, prefix: string): string | undefined {
  if (!key.startsWith(prefix) || !key.endsWith('.json')) return undefined
  const name = key.slice(prefix.length, -'.json'.length)
  return name === '' || name.includes('/') ? undefined : name
}

function checkedInstance(name: string): string {
  if (!isInstanceName(name)) throw refused('instance name', name)
  return name
}

function checkedUlid(ulid: string): string {
  if (!isUlid(ulid)) throw refused('block ULID', ulid)
  return ulid
}

function checkedId(id: string): string {
  if (!isRecoveryPointId(id)) throw refused('recovery point id', id)
  return id
}

function refused(what: string, value: string): PromDrError {
  return new PromDrError('KEY_INVALID', `${JSON.stringify(value.slice(0, 100))} is no ${what}`, {
    hint: 'names of this kind are written by prom-dr alone; "prom-dr list" shows what there is',
  })
}
