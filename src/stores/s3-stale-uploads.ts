import { AbortMultipartUploadCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import type { S3Connection } from './s3-client.ts'
import { s3Code } from './s3-errors.ts'
import { s3Now } from './s3-list.ts'

export const staleUploadAgeMs = 2 * 24 * 60 * 60 * 1000

export interface StaleUpload {
  /** With the prefix of the store taken off. */
  key: string
  startedAt: Date
}

/**
 * Aborts the uploads in parts below the store's prefix that were started longer ago than `olderThanMs` by the store's
 * clock: what processes that were killed left there, invisible and paid for. Answers what was aborted.
 */
export async function abortStaleUploads(connection: S3Connection, { olderThanMs = staleUploadAgeMs, signal }: { olderThanMs?: number; signal?: AbortSignal } = {}): Promise<StaleUpload[]> {
  const before = (await s3Now(connection, signal)).getTime() - olderThanMs
  const aborted: StaleUpload[] = []
  const target = { Bucket: connection.bucket, Prefix: connection.prefix }
  let marker: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {}
  while (marker !== undefined) {
    const from: { KeyMarker?: string; UploadIdMarker?: string } = marker
    const page = await connection.call({ action: 'list the unfinished uploads of', signal }, (send) => connection.client.send(new ListMultipartUploadsCommand({ ...target, ...from }), send))
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key === undefined || UploadId === undefined || Initiated === undefined || !Key.startsWith(connection.prefix) || Initiated.getTime() > before) continue
      const key = Key.slice(connection.prefix.length)
      await connection.call({ action: 'abort the upload of', key, signal }, (send) =>
        connection.client.send(new AbortMultipartUploadCommand({ Bucket: connection.bucket, Key, UploadId }), send).catch((error: unknown) => {
          if (s3Code(error) !== 'NoSuchUpload') throw error
        }),
      )
      aborted.push({ key, startedAt: Initiated })
    }
    const more = page.IsTruncated && page.NextKeyMarker !== undefined
    marker = more ? { KeyMarker: page.NextKeyMarker!, ...(page.NextUploadIdMarker !== undefined && { UploadIdMarker: page.NextUploadIdMarker }) } : undefined
  }
  return aborted
}
