import { DeleteObjectsCommand } from '@aws-sdk/client-s3'
import pLimit from 'p-limit'
import { type ErrorCode, PromDrError } from '../errors.ts'
import type { S3Connection } from './s3-client.ts'
import { withContentMd5 } from './s3-middleware.ts'

const batchKeys = 1000
const parallelBatches = 4

export async function deleteS3Objects(connection: S3Connection, keys: readonly string[], signal?: AbortSignal): Promise<void> {
  const batches = Array.from({ length: Math.ceil(keys.length / batchKeys) }, (_, index) => keys.slice(index * batchKeys, (index + 1) * batchKeys))
  const limit = pLimit(parallelBatches)
  await Promise.all(batches.map((batch) => limit(() => deleteBatch(connection, batch, signal))))
}

async function deleteBatch(connection: S3Connection, keys: readonly string[], signal?: AbortSignal): Promise<void> {
  const output = await connection.call({ action: `remove ${keys.length} objects in`, signal }, (send) => {
    const command = new DeleteObjectsCommand({ Bucket: connection.bucket, Delete: { Objects: keys.map((key) => ({ Key: connection.prefix + key })) } })
    withContentMd5(command.middlewareStack)
    return connection.client.send(command, send)
  })
  const failures = (output.Errors ?? []).filter(({ Code }) => Code !== 'NoSuchKey')
  const answered = (output.Deleted?.length ?? 0) + (output.Errors?.length ?? 0)
  if (failures.length === 0 && answered >= new Set(keys).size) return
  if (failures.length === 0) throw new PromDrError('STORE_BAD_RESPONSE', `${connection.url} answered for ${answered} of ${keys.length} objects to be removed`, { hint: 'check s3.endpoint: that is not an object store' })
  const named = failures.slice(0, 3).map(({ Key, Code, Message }) => `${Key?.slice(connection.prefix.length)} (${Code}${Message ? `: ${Message}` : ''})`)
  throw new PromDrError(codeOf(failures[0]?.Code), `${failures.length} of ${keys.length} objects in ${connection.url} could not be removed: ${named.join(', ')}${failures.length > 3 ? '…' : ''}`, {
    hint: 'allow these keys to delete there, or wait until the locks of the objects end',
    details: { keys: failures.map(({ Key }) => Key?.slice(connection.prefix.length)) },
  })
}

function codeOf(code: string | undefined): ErrorCode {
  if (code === 'AccessDenied') return 'STORE_DENIED'
  return code === 'InternalError' || code === 'SlowDown' || code === 'ServiceUnavailable' ? 'STORE_UNREACHABLE' : 'STORE_REJECTED'
}
