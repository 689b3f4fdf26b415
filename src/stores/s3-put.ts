import { createHash } from 'node:crypto'
import { type PutObjectCommandInput, PutObjectCommand } from '@aws-sdk/client-s3'
import { PromDrError } from '../errors.ts'
import type { S3Connection } from './s3-client.ts'
import { s3Code, s3Status } from './s3-errors.ts'
import { withPayloadDigest } from './s3-middleware.ts'

export interface PutBytes {
  key: string
  bytes: Uint8Array
  sha256: string
  /** Refuse when the key is taken: only where the server was seen to honour it. */
  exclusive: boolean
  /** Send Content-MD5 too: until the server was seen to check the SHA-256 that the request is signed for. */
  contentMd5: boolean
  signal?: AbortSignal | undefined
}

const conflictTries = 5

/** One PUT of bytes in memory. False when it was exclusive and the key is taken. */
export async function putBytes(connection: S3Connection, options: PutBytes): Promise<boolean> {
  const { key, bytes, sha256, exclusive, contentMd5, signal } = options
  const input: PutObjectCommandInput = { Bucket: connection.bucket, Key: connection.prefix + key, Body: bytes, ContentLength: bytes.byteLength, ...connection.writeSettings(key) }
  if (exclusive) input.IfNoneMatch = '*'
  if (contentMd5) input.ContentMD5 = md5Of(bytes)
  return await connection.call({ action: 'write', key, signal }, async (sendOptions) => {
    for (let tries = 1; ; tries++) {
      const command = new PutObjectCommand(input)
      withPayloadDigest(command.middlewareStack, sha256)
      try {
        const output = await connection.client.send(command, sendOptions)
        if (output.ETag === undefined) throw notStored(connection, key)
        return true
      } catch (error) {
        if (exclusive && s3Status(error) === 412) return false
        // Two conditional writes at the same moment: the server asks the later one to look again.
        if (!exclusive || s3Code(error) !== 'ConditionalRequestConflict' || tries === conflictTries) throw error
      }
    }
  })
}

export function md5Of(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('base64')
}

function notStored(connection: S3Connection, key: string): PromDrError {
  return new PromDrError('STORE_BAD_RESPONSE', `the answer to writing ${key} in ${connection.url} has no ETag: that is not an object store`, { hint: 'check s3.endpoint' })
}
