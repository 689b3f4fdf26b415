import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3'
import { hasCode, PromDrError } from '../errors.ts'
import { recycle } from '../system/direct-io.ts'
import type { ObjectReader, ReadOptions, StoredObject } from './object-store.ts'
import { checkedBody } from './s3-body.ts'
import type { S3Connection } from './s3-client.ts'
import { isForeign, s3Code, s3Status } from './s3-errors.ts'
import { objectNotFound } from './store-errors.ts'

export async function readS3Object(connection: S3Connection, key: string, { range, signal }: ReadOptions = {}): Promise<ObjectReader> {
  if (range !== undefined && range.end !== undefined && range.end <= range.start) throw emptyRange(key, range.start)
  const whole = range === undefined || (range.start === 0 && range.end === undefined)
  const input = { Bucket: connection.bucket, Key: connection.prefix + key, ...(!whole && { Range: `bytes=${range.start}-${range.end === undefined ? '' : range.end - 1}` }) }
  const output = await connection.call({ action: 'read', key, signal }, async (send) => {
    try {
      return await connection.client.send(new GetObjectCommand(input), send)
    } catch (error) {
      if (s3Code(error) === 'NoSuchBucket' || (s3Status(error) === 404 && !isForeign(error))) throw objectNotFound(connection.url, key, error)
      if (s3Status(error) === 416 && range !== undefined) throw emptyRange(key, range.start)
      throw error
    }
  })
  const sizeBytes = whole ? output.ContentLength : sizeFromRange(output.ContentRange)
  if (!(output.Body instanceof Readable) || output.ContentLength === undefined || sizeBytes === undefined || output.LastModified === undefined || output.ETag === undefined) {
    if (output.Body instanceof Readable) output.Body.destroy()
    throw new PromDrError('STORE_BAD_RESPONSE', `the answer to reading ${key} in ${connection.url} has no length, date or ETag, or ignored the range`, { hint: 'check s3.endpoint: that is not an object store' })
  }
  return { sizeBytes, modifiedAt: output.LastModified, body: checkedBody(connection, output.Body, { key, announcedBytes: output.ContentLength, signal }) }
}

function emptyRange(key: string, start: number): PromDrError {
  return new PromDrError('STORE_REJECTED', `the bytes of ${key} from ${start} on do not exist`, { hint: 'the object is shorter than its manifest says: run "prom-dr verify"' })
}

/** `bytes 3-6/10` → 10. */
function sizeFromRange(contentRange: string | undefined): number | undefined {
  const size = /^bytes \d+-\d+\/(\d+)$/.exec(contentRange ?? '')?.[1]
  return size === undefined ? undefined : Number(size)
}

export async function headS3Object(connection: S3Connection, key: string, signal?: AbortSignal): Promise<StoredObject | undefined> {
  const target = { Bucket: connection.bucket, Key: connection.prefix + key }
  try {
    return await connection.call({ action: 'look at', key, signal }, async (send) => {
      const output = await connection.client.send(new HeadObjectCommand(target), send)
      if (output.ContentLength === undefined || output.LastModified === undefined || output.ETag === undefined) {
        throw new PromDrError('STORE_BAD_RESPONSE', `the answer to looking at ${key} in ${connection.url} has no length, date or ETag`, { hint: 'check s3.endpoint: that is not an object store' })
      }
      return { key, sizeBytes: output.ContentLength, modifiedAt: output.LastModified }
    })
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
    // The answer to HEAD has no body: a GET tells the reason.
    if (hasCode(error, 'STORE_DENIED', 'STORE_REJECTED')) await explain(connection, key, signal)
    throw error
  }
}

async function explain(connection: S3Connection, key: string, signal?: AbortSignal): Promise<void> {
  const { body } = await readS3Object(connection, key, signal && { signal })
  body.destroy()
}

/** SHA-256 of the object's bytes as the store gives them; undefined when there is none. */
export async function digestOfS3Object(connection: S3Connection, key: string, signal?: AbortSignal): Promise<string | undefined> {
  try {
    const { body } = await readS3Object(connection, key, signal && { signal })
    const hash = createHash('sha256')
    for await (const chunk of body as AsyncIterable<Buffer>) {
      hash.update(chunk)
      recycle(chunk)
    }
    return hash.digest('hex')
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
    throw error
  }
}
