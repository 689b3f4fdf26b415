import { z } from 'zod'
import { isRecoveryPointId } from '../domain/recovery-point.ts'
import type { Hold } from '../domain/retention.ts'
import { hasCode } from '../errors.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { putDocument, readDocument, signalOf } from './documents.ts'
import { documentName, holdKey, holdsPrefix } from './layout.ts'

interface Options {
  signal?: AbortSignal | undefined
}

const holdSchema = z.looseObject({ id: z.string(), until: z.iso.datetime(), reason: z.string() })

/** Keeps a recovery point from expiry; one that there is already is replaced. */
export async function writeHold(store: ObjectStore, instance: string, hold: { id: string; until: Date; reason: string; createdAt: Date } & Options): Promise<void> {
  const { id, until, reason, createdAt } = hold
  await putDocument(store, holdKey(instance, id), { version: 1, id, until: until.toISOString(), reason, createdAt: createdAt.toISOString() }, hold)
}

/** Idempotent. */
export async function removeHold(store: ObjectStore, instance: string, request: { id: string } & Options): Promise<void> {
  await store.delete([holdKey(instance, request.id)], signalOf(request))
}

/** Undefined when there is none. One that cannot be read holds, and never ends by itself. */
export async function readHold(store: ObjectStore, instance: string, request: { id: string } & Options): Promise<Hold | undefined> {
  try {
    const { until, reason } = await readDocument(store, holdKey(instance, request.id), holdSchema, request)
    return { until: Date.parse(until), reason }
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
    if (hasCode(error, 'DAMAGED', 'REPOSITORY_TOO_NEW')) return { until: null, reason: 'the hold cannot be read' }
    throw error
  }
}

/** Every hold of an instance by the id of its recovery point, over ones included. */
export async function readHolds(store: ObjectStore, instance: string, options: Options = {}): Promise<Map<string, Hold>> {
  const prefix = holdsPrefix(instance)
  const ids: string[] = []
  for await (const object of store.list(prefix, signalOf(options))) {
    const id = documentName(object.key, prefix)
    if (id !== undefined && isRecoveryPointId(id)) ids.push(id)
  }
  const holds = new Map<string, Hold>()
  for (const id of ids) {
    const hold = await readHold(store, instance, { id, ...options })
    if (hold !== undefined) holds.set(id, hold)
  }
  return holds
}
