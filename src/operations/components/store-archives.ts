import type { Component, ExternalPlace } from '../../components/component.ts'
import { type NamedArchive, archiveBytes, isEncrypted } from '../../domain/archive.ts'
import { PromDrError } from '../../errors.ts'
import { fileBody } from '../../packing/write-file.ts'
import { intentPaths, isArchiveMarked, measureExternal, missingOfArchive, storeArchive, unmarkArchive } from '../../repository/archives.ts'
import { externalPath, instancePrefix } from '../../repository/layout.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import type { FailedComponent, ReportedArchive } from './archives-report.ts'
import { type CollectedComponent, type Collection, failureOf } from './collect-components.ts'

/** One repository's part. */
export interface ArchiveRequest {
  store: ObjectStore
  instance: string
  /** Id of the recovery point that will name the archives. */
  recoveryPoint: string
  collection: Collection
  /** The newest recovery point that can be read, of components alone or not: what it names is not removed while this runs. */
  newest: StoredRecoveryPoint | undefined
  /** How components' own tools reach this repository. */
  place: Pick<ExternalPlace, 'url' | 's3'> | undefined
  signal: AbortSignal
}

interface Planned {
  collected: CollectedComponent
  named: NamedArchive
  reused: boolean
}

export interface ArchivePlan {
  planned: Planned[]
  /** What could not be sealed. */
  failed: FailedComponent[]
  /** What the intent names. */
  paths: string[]
}

/** Decides for one repository what is used again: where content and readers are those of the newest recovery point's archive, which is there. */
export async function planArchives(request: ArchiveRequest): Promise<ArchivePlan> {
  const failed: FailedComponent[] = []
  const results = await Promise.all(request.collection.collected.map(async (collected) => {
    const reusable = await findReusable(collected, request)
    if (reusable !== undefined) return { collected, named: { ...contentOf(collected, request), stored: reusable.stored }, reused: true }
    try {
      const { sha256, sizeBytes } = await collected.stored()
      const { recipients } = collected
      return { collected, named: { ...contentOf(collected, request), stored: { sha256, sizeBytes, ...(recipients !== undefined && { recipients }) } }, reused: false }
    } catch (error) {
      request.signal.throwIfAborted()
      if (!(error instanceof PromDrError)) throw error
      failed.push({ component: collected.component.name, kind: collected.component.kind, error: failureOf(error) })
      return undefined
    }
  }))
  const planned = results.filter((result) => result !== undefined)
  return { planned, failed, paths: planned.flatMap(({ named }) => intentPaths(named)) }
}

function contentOf({ component, packed, leftOut }: CollectedComponent, { recoveryPoint }: ArchiveRequest): Omit<NamedArchive, 'stored'> {
  const external = component.external && { external: { prefix: externalPath(component.name, recoveryPoint), sizeBytes: 0, objects: 0 } }
  return { component: component.name, kind: component.kind, contentSha256: packed.contentSha256, files: packed.files, leftOut, ...external }
}

async function findReusable({ component, packed, recipients }: CollectedComponent, { store, instance, newest, signal }: ArchiveRequest): Promise<NamedArchive | undefined> {
  const known = newest?.archives.find((archive) => archive.component === component.name)
  if (known === undefined || known.contentSha256 !== packed.contentSha256 || !sameReaders(known, recipients)) return undefined
  const { external: _, ...alone } = known
  const [isMarked, missing] = await Promise.all([isArchiveMarked(store, instance, { archive: alone, signal }), missingOfArchive(store, instance, { archive: alone, signal })])
  return isMarked || missing !== undefined ? undefined : known
}

function sameReaders(known: NamedArchive, recipients: string[] | undefined): boolean {
  if (recipients === undefined) return !isEncrypted(known)
  // A passphrase has no name: whether it is still the same one cannot be told.
  return recipients.length > 0 && JSON.stringify(known.stored.recipients) === JSON.stringify(recipients)
}

export interface StoredArchives {
  archives: NamedArchive[]
  reported: ReportedArchive[]
  uploadedBytes: number
  reusedBytes: number
  /** Whose own tool could not store here. */
  failed: FailedComponent[]
  warnings: string[]
}

/** After the intent, which names them. A store that fails, fails the repository; a component's own tool that fails, its component. */
export async function storeArchives({ planned, failed }: ArchivePlan, request: ArchiveRequest): Promise<StoredArchives> {
  const result: StoredArchives = { archives: [], reported: [], uploadedBytes: 0, reusedBytes: 0, failed: [...failed], warnings: [] }
  for (const { collected, named, reused } of planned) {
    const { component } = collected
    const file = reused ? undefined : await collected.stored()
    const uploadedBytes = file === undefined ? 0 : await storeArchive(request.store, request.instance, { archive: named, body: fileBody(file), signal: request.signal })
    const external = component.external && (await storeExternal(component, { ...request, result }))
    if (component.external !== undefined && external === undefined) continue
    const archive = { ...named, ...external }
    result.archives.push(archive)
    result.uploadedBytes += uploadedBytes + (external?.external.sizeBytes ?? 0)
    if (uploadedBytes === 0) result.reusedBytes += named.stored.sizeBytes
    result.reported.push(reportedArchive(archive, { reused: uploadedBytes === 0 }))
  }
  return result
}

async function storeExternal(component: Component, request: ArchiveRequest & { result: StoredArchives }): Promise<{ external: NonNullable<NamedArchive['external']> } | undefined> {
  const { store, instance, recoveryPoint, newest, place, signal, result } = request
  const prefix = externalPath(component.name, recoveryPoint)
  const before = newest?.archives.find((archive) => archive.component === component.name)?.external
  try {
    if (place === undefined) throw new PromDrError('COMPONENT_FAILED', `${component.name} cannot store in ${store.url}`, { hint: 'its data goes to file:// and s3:// repositories' })
    const at = (path: string): ExternalPlace => ({ ...place, prefix: `${instancePrefix(instance)}${path}` })
    const { warnings } = await request.collection.inTurn(() => component.external!.store(at(prefix), { previous: before && at(before.prefix), recoveryPoint, signal }))
    result.warnings.push(...warnings.map((warning) => `${component.name}: ${warning}`))
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof PromDrError)) throw error
    const failure = failureOf(error)
    result.failed.push({ component: component.name, kind: component.kind, error: { ...failure, message: `into ${store.url}: ${failure.message}` } })
    return undefined
  }
  const extent = await measureExternal(store, instance, { path: prefix, signal })
  return { external: { prefix, ...extent } }
}

/** The last look before the manifest. @throws CONTENTION naming the first archive that is not there any more */
export async function recheckArchives(store: ObjectStore, point: Pick<StoredRecoveryPoint, 'instance' | 'archives'>, options: { signal: AbortSignal }): Promise<void> {
  for (const archive of point.archives) {
    if (!(await unmarkArchive(store, point.instance, { archive, ...options }))) throw new PromDrError('CONTENTION', `the archive of ${archive.component} is about to be removed from ${store.url}`, { hint: 'nothing was committed; run the same command again' })
    const missing = await missingOfArchive(store, point.instance, { archive, ...options })
    if (missing !== undefined) throw new PromDrError('CONTENTION', `${missing.key} went while the backup ran in ${store.url}: ${missing.reason}`, { hint: 'nothing was committed; run the same command again, and see what else writes to this repository' })
  }
}

export function reportedArchive(archive: NamedArchive, { reused }: { reused: boolean }): ReportedArchive {
  return {
    component: archive.component, kind: archive.kind, files: archive.files.length,
    contentBytes: archive.files.reduce((sum, file) => sum + file.sizeBytes, 0),
    bytes: archiveBytes(archive), encrypted: isEncrypted(archive), reused, leftOut: archive.leftOut,
  }
}
