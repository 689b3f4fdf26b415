import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { PromDrError, hasCode } from '../errors.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { createDocument, readDocument, signalOf } from './documents.ts'
import { formatKey, instancesPrefix } from './layout.ts'

/** The newest format of a repository that this version reads and writes. */
export const formatVersion = 1

const formatSchema = z.looseObject({
  version: z.number().int().positive(),
  repositoryId: z.string(),
  createdAt: z.string(),
  encryption: z.looseObject({ recipients: z.array(z.string()) }),
})

export interface RepositoryFormat {
  version: number
  repositoryId: string
  /** Whom everything in it was sealed for when that was last seen to; sorted. New objects are sealed for whom each host's configuration says. */
  recipients: string[]
}

/**
 * Reads which format the repository has.
 * @throws REPOSITORY_NOT_FOUND when there is none, REPOSITORY_TOO_NEW, DAMAGED
 */
export async function readFormat(store: ObjectStore, options: { signal?: AbortSignal | undefined } = {}): Promise<RepositoryFormat> {
  try {
    const format = await readDocument(store, formatKey, formatSchema, { ...options, newestVersion: formatVersion })
    return { version: format.version, repositoryId: format.repositoryId, recipients: format.encryption.recipients }
  } catch (error) {
    if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
    await refuseHeadlessRepository(store, options)
    throw new PromDrError('REPOSITORY_NOT_FOUND', `there is no prom-dr repository at ${store.url}`, {
      hint: 'check "repositories" in the configuration, its prefix above all; the first "prom-dr backup" makes a repository',
    })
  }
}

/** As `readFormat`, and makes the repository where nothing is stored yet. Of two first writers one wins, both go on. */
export async function readOrCreateFormat(store: ObjectStore, now: Date, options: { signal?: AbortSignal | undefined } = {}): Promise<RepositoryFormat> {
  try {
    return await readFormat(store, options)
  } catch (error) {
    if (!hasCode(error, 'REPOSITORY_NOT_FOUND')) throw error
  }
  const fresh = { version: formatVersion, repositoryId: randomUUID(), createdAt: now.toISOString(), encryption: { recipients: [] } }
  try {
    await createDocument(store, formatKey, fresh, options)
  } catch (error) {
    if (!hasCode(error, 'OBJECT_EXISTS')) throw error
  }
  return readFormat(store, options)
}

/** A repository that lost its first object is damaged: making a new one over it would hide that. */
async function refuseHeadlessRepository(store: ObjectStore, options: { signal?: AbortSignal | undefined }): Promise<void> {
  for await (const object of store.list(instancesPrefix, signalOf(options))) {
    throw new PromDrError('DAMAGED', `${store.url} has ${object.key} but no ${formatKey}`, {
      hint: `bring ${formatKey} back from a replica of the bucket or another repository's copy; see runbooks/repository-damage.md`,
      details: { key: formatKey },
    })
  }
}
