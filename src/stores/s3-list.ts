import { ListObjectsV2Command, type ListObjectsV2CommandInput, type ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import { PromDrError } from '../errors.ts'
import { checkFolderPrefix, checkPrefix, isKey } from './keys.ts'
import type { StoredObject } from './object-store.ts'
import type { S3Connection } from './s3-client.ts'
import { s3Code } from './s3-errors.ts'
import { readListedPage } from './s3-list-page.ts'
import { readBodyFirst, watchDate } from './s3-middleware.ts'

/** Objects whose names prom-dr would never write (say the `folder/` placeholders of web consoles) are left out. */
export async function* listS3(connection: S3Connection, prefix: string, signal?: AbortSignal): AsyncGenerator<StoredObject, void, undefined> {
  checkPrefix(prefix)
  for await (const page of pages(connection, { Prefix: connection.prefix + prefix }, signal)) {
    for (const object of page.objects) {
      if (!object.key.startsWith(connection.prefix)) throw notAListing(connection)
      const key = object.key.slice(connection.prefix.length)
      if (isKey(key)) yield { ...object, key }
    }
  }
}

export async function* listS3Folders(connection: S3Connection, prefix: string, signal?: AbortSignal): AsyncGenerator<string, void, undefined> {
  checkFolderPrefix(prefix)
  const full = connection.prefix + prefix
  for await (const page of pages(connection, { Prefix: full, Delimiter: '/' }, signal)) {
    for (const { Prefix } of page.CommonPrefixes ?? []) {
      if (Prefix === undefined || !Prefix.startsWith(full)) throw notAListing(connection)
      const name = Prefix.slice(full.length, -1)
      if (isKey(name)) yield name
    }
  }
}

interface Page extends ListObjectsV2CommandOutput {
  objects: StoredObject[]
}

/** Each page is asked for while the one before is being read. A missing bucket has no pages. */
async function* pages(connection: S3Connection, input: Omit<ListObjectsV2CommandInput, 'Bucket'>, signal?: AbortSignal): AsyncGenerator<Page, void, undefined> {
  let next: Promise<Page | undefined> | undefined = page(connection, input, signal)
  while (next !== undefined) {
    const current: Page | undefined = await next
    if (current === undefined) return
    if (current.IsTruncated && current.NextContinuationToken === undefined) throw notAListing(connection)
    next = current.IsTruncated ? page(connection, { ...input, ContinuationToken: current.NextContinuationToken }, signal) : undefined
    // A reader that leaves early never waits for it.
    next?.catch(() => undefined)
    yield current
  }
}

async function page(connection: S3Connection, input: Omit<ListObjectsV2CommandInput, 'Bucket'>, signal?: AbortSignal): Promise<Page | undefined> {
  return await connection.call({ action: 'list', signal }, async (send) => {
    try {
      let objects: StoredObject[] = []
      const command = new ListObjectsV2Command({ Bucket: connection.bucket, ...input })
      readBodyFirst(command.middlewareStack, (body) => {
        const listed = readListedPage(body)
        objects = listed?.objects ?? []
        return listed?.rest ?? body
      })
      const output = await connection.client.send(command, send)
      // XML that is no listing parses to nothing, which must not pass for an empty repository.
      if (output.IsTruncated === undefined || output.Name === undefined) throw notAListing(connection)
      for (const { Key, Size, LastModified } of output.Contents ?? []) {
        if (Key === undefined || Size === undefined || LastModified === undefined) throw notAListing(connection)
        objects.push({ key: Key, sizeBytes: Size, modifiedAt: LastModified })
      }
      return { ...output, objects }
    } catch (error) {
      if (s3Code(error) === 'NoSuchBucket') return undefined
      throw error
    }
  })
}

/** The Date header of the answer to a listing of one object. */
export async function s3Now(connection: S3Connection, signal?: AbortSignal): Promise<Date> {
  let header: string | undefined
  await connection.call({ action: 'ask the time of', signal }, (send) => {
    const command = new ListObjectsV2Command({ Bucket: connection.bucket, Prefix: connection.prefix, MaxKeys: 1 })
    watchDate(command.middlewareStack, (date) => (header = date))
    return connection.client.send(command, send)
  })
  const now = new Date(header ?? '')
  if (Number.isNaN(now.getTime())) throw new PromDrError('STORE_BAD_RESPONSE', `${connection.url} does not tell the time: its answer has the Date ${JSON.stringify(header)}`, { hint: 'a proxy may remove the Date header; check s3.endpoint' })
  return now
}

function notAListing(connection: S3Connection): PromDrError {
  return new PromDrError('STORE_BAD_RESPONSE', `the answer to listing ${connection.url} is not a listing`, { hint: 'check s3.endpoint: that is not an object store' })
}
