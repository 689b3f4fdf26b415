import { z } from 'zod'
import { PromDrError, hasCode } from '../errors.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { createDocument, putDocument, readDocument } from './documents.ts'
import { identityKey } from './layout.ts'

/** Who writes under an instance's name. */
export interface Identity {
  machineId: string
  hostname: string
  dataDir: string
  externalLabels: Record<string, string>
}

const identitySchema = z.looseObject({
  machineId: z.string(),
  hostname: z.string(),
  dataDir: z.string(),
  externalLabels: z.record(z.string(), z.string()),
})

/**
 * Makes sure that only one machine and data directory write under the name, so that two histories never mix.
 * The first writer takes the name; `adopt` takes it over.
 * @throws INSTANCE_TAKEN naming the other one; STORE_BAD_RESPONSE where something lies that is no object
 */
export async function claimInstance(store: ObjectStore, instance: string, claim: { identity: Identity; adopt: boolean; signal?: AbortSignal | undefined }): Promise<void> {
  const { identity, adopt } = claim
  const key = identityKey(instance)
  const known = (await readClaim(store, instance, claim)) ?? (await createClaim(store, instance, claim))
  if (known === 'damaged') {
    await putDocument(store, key, identity, claim)
    return
  }
  const same = known.machineId === identity.machineId && known.dataDir === identity.dataDir
  if (!same && !adopt) throw taken(store, instance, known)
  if (!same || JSON.stringify(known.externalLabels) !== JSON.stringify(identity.externalLabels)) await putDocument(store, key, identity, claim)
}

/** @returns the claim of another who wrote one at the same moment, or else the one that was made */
async function createClaim(store: ObjectStore, instance: string, claim: { identity: Identity; adopt: boolean; signal?: AbortSignal | undefined }): Promise<Identity | 'damaged'> {
  const key = identityKey(instance)
  try {
    await createDocument(store, key, claim.identity, claim)
    return claim.identity
  } catch (error) {
    if (!hasCode(error, 'OBJECT_EXISTS')) throw error
  }
  const other = await readClaim(store, instance, claim)
  if (other !== undefined) return other
  throw new PromDrError('STORE_BAD_RESPONSE', `${key} in ${store.url} cannot be created, since something is there, nor read, as if nothing were`, { hint: 'look at what lies there: a directory or a special file of that name has to go', details: { key } })
}

/** Whoever takes a name over for good need not be able to read whose it was. */
async function readClaim(store: ObjectStore, instance: string, claim: { adopt: boolean; signal?: AbortSignal | undefined }): Promise<Identity | 'damaged' | undefined> {
  try {
    return await readIdentity(store, instance, claim)
  } catch (error) {
    if (claim.adopt && hasCode(error, 'DAMAGED')) return 'damaged'
    throw error
  }
}

/** Undefined when nobody has written under the name. */
export async function readIdentity(store: ObjectStore, instance: string, options: { signal?: AbortSignal | undefined } = {}): Promise<Identity | undefined> {
  try {
    const { machineId, hostname, dataDir, externalLabels } = await readDocument(store, identityKey(instance), identitySchema, options)
    return { machineId, hostname, dataDir, externalLabels }
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
    throw error
  }
}

function taken(store: ObjectStore, instance: string, known: Identity): PromDrError {
  return new PromDrError('INSTANCE_TAKEN', `instance ${instance} in ${store.url} belongs to ${known.hostname}, data directory ${known.dataDir} (machine ${known.machineId.slice(0, 8)}…)`, {
    hint: 'give this server another "instance" in prom-dr.yml; or, if it replaces that one for good, run the backup once with --adopt',
  })
}
