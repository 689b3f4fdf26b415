import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { recoveryPointId } from '../domain/recovery-point.ts'
import { hasCode } from '../errors.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { createDocument, readDocument, signalOf } from './documents.ts'
import { documentName, restoresPrefix, verificationsPrefix } from './layout.ts'

interface Options {
  signal?: AbortSignal | undefined
}

/** Keeps what a restore measured, for reports. @returns its id */
export async function recordRestore(store: ObjectStore, instance: string, request: { at: Date; record: object } & Options): Promise<string> {
  const id = recoveryPointId(request.at, randomBytes(4).toString('hex'))
  await createDocument(store, `${restoresPrefix(instance)}${id}.json`, { version: 1, id, instance, finishedAt: request.at.toISOString(), ...request.record }, request)
  return id
}

/** What a verification covered. Groups are those of --read-data-subset; a full read is group 1 of 1. */
export interface VerificationRecord {
  finishedAt: string
  readData: boolean
  group: number
  groups: number
  ok: boolean
}

const verificationSchema = z.looseObject({ finishedAt: z.string(), readData: z.boolean(), group: z.number().int(), groups: z.number().int(), ok: z.boolean() })

export async function recordVerification(store: ObjectStore, instance: string, request: { at: Date; record: Omit<VerificationRecord, 'finishedAt'> & Record<string, unknown> } & Options): Promise<string> {
  const id = recoveryPointId(request.at, randomBytes(4).toString('hex'))
  await createDocument(store, `${verificationsPrefix(instance)}${id}.json`, { version: 1, id, instance, finishedAt: request.at.toISOString(), ...request.record }, request)
  return id
}

/** The newest verifications first, at most `limit`; unreadable ones count as never done. */
export async function readVerifications(store: ObjectStore, instance: string, request: { limit: number } & Options): Promise<VerificationRecord[]> {
  const prefix = verificationsPrefix(instance)
  const keys: string[] = []
  for await (const object of store.list(prefix, signalOf(request))) if (documentName(object.key, prefix) !== undefined) keys.push(object.key)
  const records: VerificationRecord[] = []
  for (const key of keys.slice(-request.limit).reverse()) {
    try {
      const { finishedAt, readData, group, groups, ok } = await readDocument(store, key, verificationSchema, request)
      records.push({ finishedAt, readData, group, groups, ok })
    } catch (error) {
      if (!hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND')) throw error
    }
  }
  return records
}
