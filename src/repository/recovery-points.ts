import pLimit from 'p-limit'
import { isRecoveryPointId } from '../domain/recovery-point.ts'
import { PromDrError, hasCode, messageOf } from '../errors.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { createDocument, putDocument, readDocument, signalOf } from './documents.ts'
import { documentName, instancesPrefix, isInstanceName, recoveryPointKey, recoveryPointsPrefix } from './layout.ts'
import { type Manifest, type StoredRecoveryPoint, fromManifest, manifestSchema, manifestVersion, toManifest } from './recovery-point-schema.ts'

interface Options {
  signal?: AbortSignal | undefined
}

const readsAtOnce = 16

/** The names under which something was stored, sorted. */
export async function listInstances(store: ObjectStore, options: Options = {}): Promise<string[]> {
  const names: string[] = []
  for await (const name of store.listFolders(instancesPrefix, signalOf(options))) {
    if (isInstanceName(name)) names.push(name)
  }
  return names
}

/** Ids of the committed recovery points of an instance, oldest first, and manifests under names that are none. */
export async function listRecoveryPointIds(store: ObjectStore, instance: string, options: Options = {}): Promise<{ ids: string[]; strange: string[] }> {
  const prefix = recoveryPointsPrefix(instance)
  const ids: string[] = []
  const strange: string[] = []
  for await (const object of store.list(prefix, signalOf(options))) {
    const id = documentName(object.key, prefix)
    if (id !== undefined && isRecoveryPointId(id)) ids.push(id)
    else strange.push(object.key)
  }
  return { ids, strange }
}

/**
 * Reads one recovery point.
 * @throws OBJECT_NOT_FOUND, DAMAGED (also when it is stored under another's name), REPOSITORY_TOO_NEW
 */
export async function readRecoveryPoint(store: ObjectStore, instance: string, request: { id: string } & Options): Promise<StoredRecoveryPoint> {
  const key = recoveryPointKey(instance, request.id)
  const manifest = await readDocument(store, key, manifestSchema, { ...request, newestVersion: manifestVersion })
  if (manifest.id !== request.id || manifest.instance !== instance) {
    throw new PromDrError('DAMAGED', `${key} is the manifest of ${manifest.instance}/${manifest.id}: it was moved or copied`, {
      hint: 'take the manifest from another repository', details: { key },
    })
  }
  return fromManifest(manifest)
}

export type { Manifest } from './recovery-point-schema.ts'

/** A manifest as it is stored, with what a newer program may have added to it. @throws as `readRecoveryPoint` */
export async function readManifest(store: ObjectStore, instance: string, request: { id: string } & Options): Promise<Manifest> {
  await readRecoveryPoint(store, instance, request)
  return readDocument(store, recoveryPointKey(instance, request.id), manifestSchema, { ...request, newestVersion: manifestVersion })
}

/** Puts a manifest in the place of itself: for what it names elsewhere now. Only for the holder of the instance's leases of backup and expire. */
export async function rewriteManifest(store: ObjectStore, manifest: Manifest, options: Options = {}): Promise<void> {
  const issue = manifestSchema.safeParse(manifest).error?.issues[0]
  if (issue !== undefined) throw new PromDrError('INTERNAL', `the manifest of ${manifest.instance}/${manifest.id} could not be read again: ${issue.path.join('.')}: ${issue.message}`)
  await putDocument(store, recoveryPointKey(manifest.instance, manifest.id), manifest, options)
}

export interface RecoveryPoints {
  /** Oldest first. */
  points: StoredRecoveryPoint[]
  /** Manifests that exist and cannot be used: damage, never absence. */
  damaged: { key: string; reason: string }[]
}

/** Every recovery point of an instance. @throws what the store throws; damage of one manifest is in the answer */
export async function readRecoveryPoints(store: ObjectStore, instance: string, options: Options = {}): Promise<RecoveryPoints> {
  const { ids, strange } = await listRecoveryPointIds(store, instance, options)
  const limit = pLimit(readsAtOnce)
  const damaged = strange.map((key) => ({ key, reason: 'it has no name of a recovery point' }))
  const read = async (id: string) => {
    try {
      return await readRecoveryPoint(store, instance, { id, ...options })
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
      if (!hasCode(error, 'DAMAGED')) throw error
      damaged.push({ key: recoveryPointKey(instance, id), reason: messageOf(error) })
      return undefined
    }
  }
  const points = await Promise.all(ids.map((id) => limit(() => read(id))))
  return { points: points.filter((point) => point !== undefined), damaged }
}

/**
 * The commit: before this call the recovery point does not exist, after it it does. Everything that it names must be
 * stored by now.
 * @returns the manifest's size in bytes
 * @throws INTERNAL when this program could not read the manifest again: better no recovery point than one that fails when it is needed
 */
export async function commitRecoveryPoint(store: ObjectStore, point: StoredRecoveryPoint, options: Options = {}): Promise<number> {
  const manifest = toManifest(point)
  const issue = manifestSchema.safeParse(manifest).error?.issues[0]
  if (issue !== undefined) throw new PromDrError('INTERNAL', `the manifest of ${point.instance}/${point.id} could not be read again: ${issue.path.join('.')}: ${issue.message}`)
  return createDocument(store, recoveryPointKey(point.instance, point.id), manifest, options)
}
