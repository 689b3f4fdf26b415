import { z } from 'zod'
import { isRecoveryPointId } from '../domain/recovery-point.ts'
import { isUlid } from '../domain/ulid.ts'
import { hasCode } from '../errors.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { putDocument, readDocument, signalOf } from './documents.ts'
import { documentName, headPrefix, instancePrefix, intentKey, intentsPrefix, isExternalPath, recoveryPointKey } from './layout.ts'

/**
 * What a running backup is about to name. Written before the first upload and refreshed hourly; expiry removes no
 * block that a live intent names, of any instance, and no archive that one of the same instance does. Removed after the manifest; one that a crash leaves behind is
 * cleared by the next backup of the instance.
 */
export interface Intent {
  id: string
  refreshedAt: string
  blocks: string[]
  /** ULIDs of the head blocks that it stores. */
  heads: string[]
  /** Archives and external data that it names, below the instance's prefix (`archivePath`, `externalPath`). Absent in intents of older versions. */
  archives: string[]
}

/** How often a running backup writes its intent anew. */
export const intentRefreshMs = 60 * 60_000

const ulids = z.array(z.string().refine(isUlid, 'not a ULID'))
const intentSchema = z.looseObject({ id: z.string(), refreshedAt: z.string(), blocks: ulids, heads: ulids, archives: z.array(z.string()).default([]) })

export async function writeIntent(store: ObjectStore, instance: string, intent: Intent & { signal?: AbortSignal | undefined }): Promise<number> {
  const { signal, ...document } = intent
  return putDocument(store, intentKey(instance, intent.id), document, { signal })
}

export async function removeIntent(store: ObjectStore, instance: string, id: string): Promise<void> {
  await store.delete([intentKey(instance, id)])
}

/** One intent, by its key. @throws OBJECT_NOT_FOUND, DAMAGED */
export async function readIntent(store: ObjectStore, key: string, options: { signal?: AbortSignal | undefined } = {}): Promise<Intent> {
  const { id, refreshedAt, blocks, heads, archives } = await readDocument(store, key, intentSchema, options)
  return { id, refreshedAt, blocks, heads, archives }
}

/**
 * The intents of an instance. One that vanishes between listing and reading has been removed by its run.
 * @throws DAMAGED for one that cannot be read: what it names is not known to be free
 */
export async function readIntents(store: ObjectStore, instance: string, options: { signal?: AbortSignal | undefined } = {}): Promise<Intent[]> {
  const prefix = intentsPrefix(instance)
  const intents: Intent[] = []
  for await (const object of store.list(prefix, signalOf(options))) {
    if (documentName(object.key, prefix) === undefined) continue
    try {
      intents.push(await readIntent(store, object.key, options))
    } catch (error) {
      if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
    }
  }
  return intents
}

/**
 * Clears what dead runs left: their intents, and the head blocks of those that never got to their manifest.
 * Only for the holder of the instance's backup lease, which knows that no other run is alive. Idempotent.
 * An intent that cannot be read is removed too: it protects nothing that a manifest names. What has no name of an
 * intent is none of ours and stays.
 */
export async function clearDeadIntents(store: ObjectStore, instance: string, options: { signal?: AbortSignal | undefined } = {}): Promise<string[]> {
  const prefix = intentsPrefix(instance)
  const cleared: string[] = []
  const keys: string[] = []
  for await (const object of store.list(prefix, signalOf(options))) keys.push(object.key)
  for (const key of keys) {
    const id = documentName(key, prefix)
    if (id === undefined || !isRecoveryPointId(id)) continue
    await clearIntent(store, instance, { id, ...options })
    cleared.push(id)
  }
  return cleared
}

/** Undoes what a run did that ended without its manifest. Where the manifest exists after all, only the intent goes. */
export async function clearIntent(store: ObjectStore, instance: string, request: { id: string; signal?: AbortSignal | undefined }): Promise<void> {
  const key = intentKey(instance, request.id)
  const committed = (await store.head(recoveryPointKey(instance, request.id), signalOf(request))) !== undefined
  for (const prefix of committed ? [] : await ownPrefixes(store, instance, { ...request, key })) {
    const objects: string[] = []
    for await (const object of store.list(prefix, signalOf(request))) objects.push(object.key)
    await store.delete(objects, signalOf(request))
  }
  await store.delete([key], signalOf(request))
}

/** What only this run's recovery point would have named: its heads and external data. Archives may be others' too; unnamed ones are left to expiry. */
async function ownPrefixes(store: ObjectStore, instance: string, request: { id: string; key: string; signal?: AbortSignal | undefined }): Promise<string[]> {
  try {
    const { heads, archives } = await readDocument(store, request.key, intentSchema, request)
    const external = archives.filter((path) => path.endsWith('/') && isExternalPath(path, path.split('/')[1] ?? '') && path.endsWith(`/${request.id}/`))
    return [...heads.map((ulid) => headPrefix(instance, ulid)), ...external.map((path) => `${instancePrefix(instance)}${path}`)]
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND', 'DAMAGED')) return []
    throw error
  }
}
