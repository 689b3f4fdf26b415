import { type NamedArchive, isEncrypted } from '../../domain/archive.ts'
import type { Encryption } from '../../domain/encryption.ts'
import { groupOf } from '../../domain/read-subset.ts'
import { hasCode, messageOf } from '../../errors.ts'
import { type ScratchOptions, withPrivateScratch } from '../../packing/scratch-directory.ts'
import { keyOfArchive } from '../../repository/archives.ts'
import { archivesPrefix, instancePrefix, recoveryPointKey } from '../../repository/layout.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import { readAgain, replacementIn, withCurrentArchive } from './current-archive.ts'
import { checkStoredArchive, readArchive } from './read-archive.ts'
import type { RepositorySource } from '../repository-sources.ts'
import type { ListedDamage } from '../verify/verify-objects.ts'

export interface ArchivesCheckRequest {
  points: readonly StoredRecoveryPoint[]
  /** The part that is read; undefined where nothing is. */
  read: { group: number; groups: number } | undefined
  opening: Pick<Encryption, 'decrypt'> | undefined
  scratch: ScratchOptions
  signal: AbortSignal
}

export interface ArchivesCheck {
  damaged: ListedDamage[]
  objects: number
  listedBytes: number
  readBytes: number
  /** Encrypted archives that no key here opens: their bytes were compared, their content was not. */
  unopened: number
}

interface NamedUnit {
  instance: string
  archive: NamedArchive
  key: string
  recoveryPoints: string[]
}

/**
 * Compares what manifests say of archives with what is stored: existence and size by listing; read, the digest of each object, and of what can
 * be opened the tar and every file in it. What components' own tools store is counted and measured, not read.
 */
export async function checkArchives(source: RepositorySource, request: ArchivesCheckRequest): Promise<ArchivesCheck> {
  const result: ArchivesCheck = { damaged: [], objects: 0, listedBytes: 0, readBytes: 0, unopened: 0 }
  const named = namedArchives(request.points)
  const stored = await listArchives(source, named, request.signal)
  const units = await asNamedNow(source, named, { stored, signal: request.signal })
  const whole = units.filter((unit) => isWhole(unit, stored, result))
  const { read } = request
  const chosen = read === undefined ? [] : whole.filter(({ archive }) => groupOf(archive.stored.sha256, read.groups) === read.group)
  if (chosen.length === 0) return result
  await withPrivateScratch(request.scratch, async (scratch) => {
    for (const unit of chosen) await readUnit(source, unit, { ...request, scratch, result })
  })
  return result
}

/** Each object once for all that is said of it. */
function namedArchives(points: readonly StoredRecoveryPoint[]): NamedUnit[] {
  const units = new Map<string, NamedUnit>()
  for (const { id, instance, archives } of points) {
    for (const archive of archives) {
      const key = keyOfArchive(instance, archive)
      const promise = JSON.stringify([key, archive.stored.sizeBytes, archive.contentSha256, archive.files, archive.external?.prefix])
      const known = units.get(promise)
      if (known === undefined) units.set(promise, { instance, archive, key, recoveryPoints: [id] })
      else known.recoveryPoints.push(id)
    }
  }
  return [...units.values()]
}

async function listArchives({ store }: RepositorySource, units: readonly NamedUnit[], signal: AbortSignal): Promise<Map<string, number>> {
  const stored = new Map<string, number>()
  for (const instance of new Set(units.map((unit) => unit.instance))) {
    for await (const object of store.list(archivesPrefix(instance), { signal })) stored.set(object.key, object.sizeBytes)
  }
  return stored
}

/** Those that are not there by what their manifests name by now: an archive may have been sealed anew since these were read. */
async function asNamedNow({ store }: RepositorySource, units: readonly NamedUnit[], { stored, signal }: { stored: Map<string, number>; signal: AbortSignal }): Promise<NamedUnit[]> {
  const manifests = new Map<string, ReturnType<typeof readAgain>>()
  const manifestOf = (instance: string, recoveryPoint: string) => {
    const name = recoveryPointKey(instance, recoveryPoint)
    const read = manifests.get(name) ?? readAgain(store, instance, { recoveryPoint, signal })
    manifests.set(name, read)
    return read
  }
  const current: NamedUnit[] = []
  for (const unit of units) {
    const replaced = new Map<string, NamedUnit>()
    const same: string[] = []
    for (const id of stored.has(unit.key) ? [] : unit.recoveryPoints) {
      const archive = replacementIn(await manifestOf(unit.instance, id), unit.archive)
      if (archive === undefined) {
        same.push(id)
        continue
      }
      const key = keyOfArchive(unit.instance, archive)
      const known = replaced.get(key)
      if (known === undefined) replaced.set(key, { ...unit, archive, key, recoveryPoints: [id] })
      else known.recoveryPoints.push(id)
      const found = stored.has(key) ? undefined : await store.head(key, { signal })
      if (found !== undefined) stored.set(key, found.sizeBytes)
    }
    if (replaced.size === 0) current.push(unit)
    else current.push(...replaced.values(), ...(same.length === 0 ? [] : [{ ...unit, recoveryPoints: same }]))
  }
  return current
}

function isWhole({ instance, archive, key, recoveryPoints }: NamedUnit, stored: ReadonlyMap<string, number>, result: ArchivesCheck): boolean {
  const found = stored.get(key)
  result.objects += 1
  result.listedBytes += found ?? 0
  const { external } = archive
  if (external !== undefined) {
    const prefix = `${instancePrefix(instance)}${external.prefix}`
    const sizes = [...stored].flatMap(([candidate, sizeBytes]) => (candidate.startsWith(prefix) ? [sizeBytes] : []))
    const bytes = sizes.reduce((sum, size) => sum + size, 0)
    result.objects += sizes.length
    result.listedBytes += bytes
    if (sizes.length !== external.objects || bytes !== external.sizeBytes) result.damaged.push({ key: prefix, reason: `${sizes.length} objects of ${bytes} bytes are there instead of ${external.objects} of ${external.sizeBytes}`, recoveryPoints })
  }
  if (found === archive.stored.sizeBytes) return true
  result.damaged.push({ key, reason: found === undefined ? 'it is missing' : `it has ${found} bytes instead of ${archive.stored.sizeBytes}`, recoveryPoints })
  return false
}

async function readUnit({ store }: RepositorySource, { instance, archive, key, recoveryPoints }: NamedUnit, request: Omit<ArchivesCheckRequest, 'scratch'> & { scratch: string; result: ArchivesCheck }): Promise<void> {
  const { result } = request
  const { opening, scratch, signal } = request
  try {
    await withCurrentArchive({ store, instance, recoveryPoint: recoveryPoints[0] ?? '', archive, signal }, async (current) => {
      const work = { store, instance, archive: current, scratch, signal }
      if (isEncrypted(current) && opening === undefined) {
        result.readBytes += await checkStoredArchive(work)
        result.unopened += 1
      } else result.readBytes += await readArchive({ ...work, opening, into: undefined })
    })
  } catch (error) {
    if (hasCode(error, 'KEY_MISSING')) {
      // Fetched and compared by then: only its content stays unknown.
      result.readBytes += archive.stored.sizeBytes
      result.unopened += 1
    } else if (hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND')) result.damaged.push({ key, reason: messageOf(error), recoveryPoints })
    else throw error
  }
}
