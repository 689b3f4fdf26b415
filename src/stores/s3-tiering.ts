import { CopyObjectCommand, GetObjectLockConfigurationCommand, GetObjectRetentionCommand, HeadObjectCommand, ListObjectsV2Command, PutObjectRetentionCommand } from '@aws-sdk/client-s3'
import { PromDrError, hasCode } from '../errors.ts'
import { checkKey, checkPrefix, isKey } from './keys.ts'
import type { ObjectLock, ObjectTiering } from './object-store.ts'
import { type S3Connection, type S3Options, connectS3 } from './s3-client.ts'
import { s3Code, s3Status } from './s3-errors.ts'

/** Classes and locks of the objects in a bucket, beside the store that reads and writes them. */
export function createS3Tiering(options: S3Options): ObjectTiering {
  const connection = connectS3(options)
  return {
    listClasses: (prefix, listOptions) => listClasses(connection, checkPrefix(prefix), listOptions?.signal),
    moveToClass: (key, storageClass, moveOptions) => moveToClass(connection, checkKey(key), { storageClass, signal: moveOptions?.signal }),
    lock: (key, lock, lockOptions) => extendLock(connection, checkKey(key), { lock, signal: lockOptions?.signal }),
    locksEnabled: (lockOptions) => locksEnabled(connection, lockOptions?.signal),
    lockedUntil: async (key, lockOptions) => (await retentionOf(connection, checkKey(key), lockOptions?.signal))?.until,
    async close() {
      connection.client.destroy()
    },
  }
}

async function* listClasses(connection: S3Connection, prefix: string, signal: AbortSignal | undefined): ReturnType<ObjectTiering['listClasses']> {
  let token: string | undefined
  do {
    const page = await connection.call({ action: 'list', signal }, (send) => connection.client.send(new ListObjectsV2Command({ Bucket: connection.bucket, Prefix: connection.prefix + prefix, ContinuationToken: token }), send))
    for (const { Key, Size, StorageClass, LastModified } of page.Contents ?? []) {
      const key = Key?.slice(connection.prefix.length) ?? ''
      if (isKey(key) && Size !== undefined && LastModified !== undefined) yield { key, sizeBytes: Size, modifiedAt: LastModified, storageClass: StorageClass ?? 'STANDARD' }
    }
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined
  } while (token !== undefined)
}

/** Copies the object onto itself, at once for readers. The copy would be without the lock of the original: it is given the same. */
async function moveToClass(connection: S3Connection, key: string, { storageClass, signal }: { storageClass: string; signal: AbortSignal | undefined }): Promise<void> {
  const { StorageClass = 'STANDARD' } = await connection.call({ action: 'look at', key, signal }, (send) => connection.client.send(new HeadObjectCommand({ Bucket: connection.bucket, Key: connection.prefix + key }), send))
  if (StorageClass === storageClass) return
  const lock = await retentionOf(connection, key, signal)
  const source = `${connection.bucket}/${connection.prefix}${key}`.split('/').map(encodeURIComponent).join('/')
  await connection.call({ action: `move to ${storageClass}`, key, signal }, (send) => connection.client.send(new CopyObjectCommand({
    Bucket: connection.bucket, Key: connection.prefix + key, CopySource: source, StorageClass: storageClass as 'STANDARD', MetadataDirective: 'COPY', ...connection.encryption,
    ...(lock !== undefined && { ObjectLockMode: lock.mode, ObjectLockRetainUntilDate: lock.until }),
  }), send))
}

/** Locks are only ever made longer. The mode of one that still runs cannot be changed without a right that nobody should use for this. */
async function extendLock(connection: S3Connection, key: string, { lock, signal }: { lock: ObjectLock; signal: AbortSignal | undefined }): Promise<void> {
  const present = await retentionOf(connection, key, signal)
  if (present !== undefined && present.until >= lock.until) return
  const mode = present?.mode ?? lock.mode
  try {
    await connection.call({ action: 'lock', key, signal }, (send) => connection.client.send(new PutObjectRetentionCommand({ Bucket: connection.bucket, Key: connection.prefix + key, Retention: { Mode: mode, RetainUntilDate: lock.until } }), send))
  } catch (error) {
    if (!hasCode(error, 'STORE_REJECTED')) throw error
    throw new PromDrError('STORE_REJECTED', `${error.message}: is Object Lock enabled on the bucket?`, { hint: 'Object Lock is enabled when a bucket is made, or by its provider; or leave "lock" out of s3.tiers', cause: error })
  }
}

async function locksEnabled(connection: S3Connection, signal: AbortSignal | undefined): Promise<boolean> {
  return await connection.call({ action: 'read the lock configuration', signal }, async (send) => {
    try {
      const { ObjectLockConfiguration } = await connection.client.send(new GetObjectLockConfigurationCommand({ Bucket: connection.bucket }), send)
      return ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled'
    } catch (error) {
      // Not on this bucket, or on none of this server. A bucket that is not there is another thing.
      if (['ObjectLockConfigurationNotFoundError', 'NotImplemented', 'MethodNotAllowed', 'InvalidRequest'].includes(s3Code(error))) return false
      throw error
    }
  })
}

async function retentionOf(connection: S3Connection, key: string, signal: AbortSignal | undefined): Promise<{ mode: ObjectLock['mode']; until: Date } | undefined> {
  return await connection.call({ action: 'read the lock of', key, signal }, async (send) => {
    try {
      const { Retention } = await connection.client.send(new GetObjectRetentionCommand({ Bucket: connection.bucket, Key: connection.prefix + key }), send)
      const { Mode, RetainUntilDate } = Retention ?? {}
      return Mode === undefined || RetainUntilDate === undefined ? undefined : { mode: Mode, until: RetainUntilDate }
    } catch (error) {
      // No lock on the object, none possible in the bucket, or no such object.
      if (s3Status(error) === 404 || ['NoSuchObjectLockConfiguration', 'ObjectLockConfigurationNotFoundError', 'InvalidRequest'].includes(s3Code(error))) return undefined
      throw error
    }
  })
}
