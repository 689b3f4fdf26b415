import { createHash, webcrypto } from 'node:crypto'
import { AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CreateMultipartUploadCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import { hasCode, messageOf, PromDrError } from '../errors.ts'
import { recycle } from '../system/direct-io.ts'
import { readBody } from './body-reader.ts'
import { throwIfInterrupted } from './interruption.ts'
import type { Body } from './object-store.ts'
import type { S3Connection } from './s3-client.ts'
import { s3Code, s3Status } from './s3-errors.ts'
import { withPayloadDigest } from './s3-middleware.ts'
import type { PartBuffers } from './s3-part-buffers.ts'
import type { UploadVerification } from './s3-probe.ts'
import { md5Of } from './s3-put.ts'

export interface UploadOptions {
  key: string
  body: Body
  partSizeBytes: number
  buffers: PartBuffers
  /** Several parts are under way at a time: worth a copy of each, that they are hashed beside the reading. */
  parallel: boolean
  verification: UploadVerification
  /** Ask for the key to be free when the upload is completed; not every server does. */
  exclusive: boolean
  signal?: AbortSignal | undefined
  onProgress?: ((sentBytes: number) => void) | undefined
}

export type UploadResult = { sha256: string; outcome: 'stored' | 'taken' | 'unknown' }

interface Part {
  PartNumber: number
  ETag: string
}

/**
 * Sends a large object in parts: the body is read and hashed in order, once, while filled parts go out in parallel.
 * Nothing is visible before the last request; a failure or the signal aborts the upload, so that no parts are left.
 */
export async function uploadInParts(connection: S3Connection, options: UploadOptions): Promise<UploadResult> {
  const { key, signal } = options
  const target = { Bucket: connection.bucket, Key: connection.prefix + key }
  const started = await connection.call({ action: 'write', key, signal }, (send) => connection.client.send(new CreateMultipartUploadCommand({ ...target, ...connection.writeSettings(key) }), send))
  if (started.UploadId === undefined) throw new PromDrError('STORE_BAD_RESPONSE', `the answer to the upload of ${key} to ${connection.url} has no upload id`, { hint: 'check s3.endpoint' })
  const upload = { ...target, UploadId: started.UploadId }
  try {
    const { parts, sha256 } = await sendParts(connection, upload, options)
    throwIfInterrupted(signal)
    return { sha256, outcome: await complete(connection, upload, parts, options) }
  } catch (error) {
    await abort(connection, upload, key)
    throw error
  }
}

type Upload = { Bucket: string; Key: string; UploadId: string }

async function sendParts(connection: S3Connection, upload: Upload, options: UploadOptions): Promise<{ parts: Part[]; sha256: string }> {
  const { key, body, buffers, partSizeBytes } = options
  const stop = new AbortController()
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal])
  const reader = readBody(key, body, signal)
  const parts: Part[] = []
  const sending = new Set<Promise<void>>()
  let failure: unknown
  let sentBytes = 0

  function send(buffer: Buffer, partNumber: number): void {
    const task = sendPart(connection, upload, { buffer, partNumber, key, signal, verification: options.verification, parallel: options.parallel })
      .then(
        (part) => {
          parts[partNumber - 1] = part
          sentBytes += buffer.byteLength
          options.onProgress?.(sentBytes)
        },
        (error: unknown) => {
          failure ??= error
          stop.abort(error)
        },
      )
      .finally(() => {
        sending.delete(task)
        buffers.release(buffer)
      })
    sending.add(task)
  }

  let buffer: Buffer | undefined
  try {
    let readBytes = 0
    let filledBytes = 0
    for await (const chunk of reader.chunks()) {
      for (let offset = 0; offset < chunk.byteLength; ) {
        buffer ??= await buffers.acquire(Math.min(partSizeBytes, body.sizeBytes - readBytes), signal)
        const taken = Math.min(chunk.byteLength - offset, buffer.byteLength - filledBytes)
        buffer.set(chunk.subarray(offset, offset + taken), filledBytes)
        filledBytes += taken
        offset += taken
        readBytes += taken
        if (filledBytes < buffer.byteLength) continue
        send(buffer, Math.ceil(readBytes / partSizeBytes))
        buffer = undefined
        filledBytes = 0
      }
      recycle(chunk)
    }
    while (sending.size > 0) await Promise.all(sending)
    if (failure !== undefined) throw failure
    return { parts, sha256: reader.sha256() }
  } catch (error) {
    // A part that failed stopped the reading and is the reason, unless the caller wanted to stop.
    const reason = options.signal?.aborted ? error : (failure ?? error)
    stop.abort(error)
    if (buffer !== undefined) buffers.release(buffer)
    await Promise.all(sending)
    throw reason
  }
}

interface SendPart {
  buffer: Buffer
  partNumber: number
  key: string
  signal: AbortSignal
  verification: UploadVerification
  parallel: boolean
}

async function sendPart(connection: S3Connection, upload: Upload, { buffer, partNumber, key, signal, verification, parallel }: SendPart): Promise<Part> {
  const md5Needed = !(await verification.signedDigestIsChecked(signal))
  const sha256 = parallel ? Buffer.from(await webcrypto.subtle.digest('SHA-256', buffer)).toString('hex') : createHash('sha256').update(buffer).digest('hex')
  const command = new UploadPartCommand({ ...upload, PartNumber: partNumber, Body: buffer, ContentLength: buffer.byteLength, ...(md5Needed && { ContentMD5: md5Of(buffer) }) })
  withPayloadDigest(command.middlewareStack, sha256)
  const { ETag } = await connection.call({ action: `write part ${partNumber} of`, key, signal }, (send) => connection.client.send(command, send))
  if (ETag === undefined) throw new PromDrError('STORE_BAD_RESPONSE', `the answer to part ${partNumber} of ${key} in ${connection.url} has no ETag`, { hint: 'check s3.endpoint' })
  return { PartNumber: partNumber, ETag }
}

/** 'unknown': the server has forgotten the upload, so that an earlier try may have been the one that stored it. */
async function complete(connection: S3Connection, upload: Upload, parts: Part[], { key, signal, exclusive }: UploadOptions): Promise<UploadResult['outcome']> {
  return await connection.call({ action: 'complete the upload of', key, signal }, async (send) => {
    try {
      await connection.client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: parts }, ...(exclusive && { IfNoneMatch: '*' }) }), send)
      return 'stored'
    } catch (error) {
      if (s3Code(error) === 'NoSuchUpload') return 'unknown'
      if (!exclusive || s3Status(error) !== 412) throw error
      await abort(connection, upload, key)
      return 'taken'
    }
  })
}

/** Without the caller's signal: it may be the reason for the abort. What remains is named, and the first error stays the error. */
async function abort(connection: S3Connection, upload: Upload, key: string): Promise<void> {
  try {
    await connection.call({ action: 'abort the upload of', key, signal: AbortSignal.timeout(connection.timeoutMs) }, (send) => connection.client.send(new AbortMultipartUploadCommand(upload), send))
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND') || s3Code((error as Error).cause) === 'NoSuchUpload') return
    connection.logger.warn({ key, store: connection.url, reason: messageOf(error) }, 'the parts of a failed upload could not be removed; a lifecycle rule for incomplete uploads will')
  }
}
