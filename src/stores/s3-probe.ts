import { createHash, randomUUID } from 'node:crypto'
import { AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CreateMultipartUploadCommand, DeleteObjectCommand, PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import { messageOf } from '../errors.ts'
import type { StoreCapabilities } from './object-store.ts'
import type { S3Connection } from './s3-client.ts'
import { s3Code, s3Status } from './s3-errors.ts'
import { withPayloadDigest } from './s3-middleware.ts'
import { md5Of, putBytes } from './s3-put.ts'

export interface UploadVerification {
  /** True when the server was seen to refuse a body that has not the SHA-256 for which the request is signed. */
  signedDigestIsChecked(signal?: AbortSignal): Promise<boolean>
}

export interface S3Probe extends UploadVerification {
  conditionalCreate(signal?: AbortSignal): Promise<boolean>
  capabilities(prefix: string, signal?: AbortSignal): Promise<StoreCapabilities>
}

const racingCreates = 4
const probeName = '.prom-dr-probe-'

/** Finds out by trying what the server honours, once for each question, below the store's prefix. */
export function createS3Probe(connection: S3Connection): S3Probe {
  const answers = new Map<string, Promise<boolean>>()
  let capabilities: StoreCapabilities | undefined
  let leftover: string | undefined

  /** Each question is asked once; one that could not be answered is asked again. */
  function once(question: string, ask: () => Promise<boolean>): Promise<boolean> {
    let answer = answers.get(question)
    if (answer === undefined) {
      answer = ask()
      answers.set(question, answer)
      answer.catch(() => answers.delete(question))
    }
    return answer
  }

  async function withProbeKey(prefix: string, ask: (key: string) => Promise<boolean>): Promise<boolean> {
    const key = `${prefix}${probeName}${randomUUID()}`
    try {
      return await ask(key)
    } finally {
      await remove(key)
    }
  }

  async function remove(key: string): Promise<void> {
    try {
      await connection.call({ action: 'remove', key }, (send) => connection.client.send(new DeleteObjectCommand({ Bucket: connection.bucket, Key: connection.prefix + key }), send))
    } catch (error) {
      // A role that may write and not delete is a good one for `backup`: an answer is worth more than the clean-up.
      leftover = `probe objects below ${connection.url} could not be removed (${messageOf(error)})`
    }
  }

  const conditionalCreate = (prefix: string, signal?: AbortSignal) =>
    once('conditional create', () =>
      withProbeKey(prefix, async (key) => {
        try {
          const won = await Promise.all(Array.from({ length: racingCreates }, (_, index) => putProbe(connection, { key, content: `racer ${index}`, exclusive: true, signal })))
          return won.filter(Boolean).length === 1
        } catch (error) {
          if (refusesToTry(error)) return false
          throw error
        }
      }),
    )

  const signedDigest = (prefix: string, signal?: AbortSignal) => once('signed digest', () => withProbeKey(prefix, (key) => refusesWrong(connection, key, 'sha256', signal)))
  const contentMd5 = (prefix: string, signal?: AbortSignal) => once('content md5', () => withProbeKey(prefix, (key) => refusesWrong(connection, key, 'md5', signal)))
  const conditionalComplete = (prefix: string, signal?: AbortSignal) => once('conditional complete', () => withProbeKey(prefix, (key) => refusesTakenKey(connection, key, signal)))

  return {
    conditionalCreate: (signal) => conditionalCreate('', signal),
    signedDigestIsChecked: (signal) => signedDigest('', signal),
    async capabilities(prefix, signal) {
      if (capabilities !== undefined) return capabilities
      const [create, complete, sha256, md5] = await Promise.all([conditionalCreate(prefix, signal), conditionalComplete(prefix, signal), signedDigest(prefix, signal), contentMd5(prefix, signal)])
      const caveats: string[] = []
      if (!create) caveats.push('the server ignores If-None-Match, so two writers that create one object at the same moment can both succeed: let one writer a verb use this store')
      else if (!complete) caveats.push('the server ignores If-None-Match when a large object is completed: an object sent in parts replaces one that another writer finished meanwhile; small objects, which all commits are, are not affected')
      if (!sha256 && !md5) caveats.push('the server stores bodies that do not have the digest sent with them: damage on the way is found only by "prom-dr verify --read-data"')
      if (leftover !== undefined) caveats.push(leftover)
      capabilities = { conditionalCreate: create, verifiedUploads: sha256 || md5, caveats }
      return capabilities
    },
  }
}

interface ProbeWrite {
  key: string
  content: string
  exclusive: boolean
  signal?: AbortSignal | undefined
}

function putProbe(connection: S3Connection, { key, content, exclusive, signal }: ProbeWrite): Promise<boolean> {
  const bytes = Buffer.from(content)
  return putBytes(connection, { key, bytes, sha256: createHash('sha256').update(bytes).digest('hex'), exclusive, contentMd5: true, signal })
}

/** 501: a server that knows the header and says that it does not implement it. */
function refusesToTry(error: unknown): boolean {
  return s3Status((error as Error).cause) === 501
}

async function refusesWrong(connection: S3Connection, key: string, digest: 'sha256' | 'md5', signal?: AbortSignal): Promise<boolean> {
  const Body = Buffer.from('sent')
  const other = Buffer.from('not sent')
  return await connection.call({ action: 'write', key, signal }, async (send) => {
    const command = new PutObjectCommand({ Bucket: connection.bucket, Key: connection.prefix + key, Body, ...(digest === 'md5' && { ContentMD5: md5Of(other) }) })
    if (digest === 'sha256') withPayloadDigest(command.middlewareStack, createHash('sha256').update(other).digest('hex'))
    try {
      await connection.client.send(command, send)
      return false
    } catch (error) {
      if (['XAmzContentSHA256Mismatch', 'BadDigest', 'InvalidDigest', 'SignatureDoesNotMatch'].includes(s3Code(error)) || s3Status(error) === 400 || s3Status(error) === 422) return true
      throw error
    }
  })
}

async function refusesTakenKey(connection: S3Connection, key: string, signal?: AbortSignal): Promise<boolean> {
  await putProbe(connection, { key, content: 'first', exclusive: false, signal })
  const target = { Bucket: connection.bucket, Key: connection.prefix + key }
  return await connection.call({ action: 'write', key, signal }, async (send) => {
    const { UploadId } = await connection.client.send(new CreateMultipartUploadCommand(target), send)
    const part = await connection.client.send(new UploadPartCommand({ ...target, UploadId, PartNumber: 1, Body: Buffer.from('second') }), send)
    try {
      await connection.client.send(new CompleteMultipartUploadCommand({ ...target, UploadId, IfNoneMatch: '*', MultipartUpload: { Parts: [{ PartNumber: 1, ETag: part.ETag }] } }), send)
      return false
    } catch (error) {
      if (s3Status(error) !== 412 && s3Status(error) !== 501) throw error
      await connection.client.send(new AbortMultipartUploadCommand({ ...target, UploadId }), send)
      return s3Status(error) === 412
    }
  })
}
