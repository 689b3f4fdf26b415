import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { PromDrError, hasCode } from '../errors.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { createDocument, putDocument, readDocument, signalOf } from './documents.ts'
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

/**
 * As `readFormat`, and makes the repository where nothing is stored yet. Of two first writers one wins, both go on. The first
 * recipients are recorded; others than those are `re-encrypt`'s to record, when nothing is sealed for the old ones any more.
 */
export async function readOrCreateFormat(store: ObjectStore, now: Date, options: { recipients?: readonly string[] | undefined; signal?: AbortSignal | undefined } = {}): Promise<RepositoryFormat> {
  const { recipients = [] } = options
  try {
    const format = await readFormat(store, options)
    if (format.recipients.length > 0 || recipients.length === 0) return format
    await recordRecipients(store, recipients, options)
    return { ...format, recipients: [...recipients] }
  } catch (error) {
    if (!hasCode(error, 'REPOSITORY_NOT_FOUND')) throw error
  }
  const fresh = { version: formatVersion, repositoryId: randomUUID(), createdAt: now.toISOString(), encryption: { recipients: [...recipients] } }
  try {
    await createDocument(store, formatKey, fresh, options)
  } catch (error) {
    if (!hasCode(error, 'OBJECT_EXISTS')) throw error
  }
  return readFormat(store, options)
}

/** Notes whom everything in the repository is sealed for. */
export async function recordRecipients(store: ObjectStore, recipients: readonly string[], options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
  const document = await readDocument(store, formatKey, formatSchema, { ...options, newestVersion: formatVersion })
  if (document.encryption.recipients.join() === recipients.join()) return
  await putDocument(store, formatKey, { ...document, encryption: { ...document.encryption, recipients: [...recipients] } }, options)
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
