import { PromDrError } from '../errors.ts'
import { readBody } from './body-reader.ts'
import { checkKey } from './keys.ts'
import type { Body, ObjectStore, WriteOptions, WrittenObject } from './object-store.ts'
import { connectS3, type S3Options } from './s3-client.ts'
import { deleteS3Objects } from './s3-delete.ts'
import { listS3, listS3Folders, s3Now } from './s3-list.ts'
import { createPartBuffers } from './s3-part-buffers.ts'
import { createS3Probe } from './s3-probe.ts'
import { putBytes } from './s3-put.ts'
import { digestOfS3Object, headS3Object, readS3Object } from './s3-read.ts'
import { uploadInParts } from './s3-upload.ts'
import { objectExists } from './store-errors.ts'

const mebibyte = 1024 * 1024
const leastPartBytes = 5 * mebibyte
const defaultPartBytes = 8 * mebibyte
const defaultConcurrency = 4
const mostParts = 10_000
/** Two parts of such an object are still well below the memory that prom-dr allows itself. */
const mostPartBytes = 96 * mebibyte

/**
 * Objects in a bucket. Small ones are single PUTs, with `If-None-Match: *` for create where the server was seen to
 * honour it; elsewhere create looks first and reads back after. Larger ones go in parts: create looks first, and asks
 * for the key to be free again at the end, which some servers ignore (`capabilities` says so).
 */
export function createS3Store(options: S3Options): ObjectStore {
  const connection = connectS3(options)
  const { url } = connection
  const probe = createS3Probe(connection)
  const singleBytes = Math.max(options.partSizeBytes ?? defaultPartBytes, leastPartBytes)
  const concurrency = options.concurrency ?? defaultConcurrency
  const buffers = createPartBuffers((concurrency + 1) * singleBytes, singleBytes)

  function partSizeFor(key: string, sizeBytes: number): number {
    const partBytes = Math.max(singleBytes, Math.ceil(sizeBytes / mostParts / mebibyte) * mebibyte)
    if (partBytes > Math.max(mostPartBytes, singleBytes)) {
      throw new PromDrError('STORE_REJECTED', `${key} is too large for ${url}: ${sizeBytes} bytes do not fit into ${mostParts} parts of ${mostPartBytes} bytes`, { hint: 'split what is stored under it' })
    }
    return partBytes
  }

  async function compare(key: string, written: WrittenObject, signal?: AbortSignal): Promise<WrittenObject> {
    if ((await digestOfS3Object(connection, key, signal)) !== written.sha256) throw objectExists(url, key)
    return { ...written, created: false }
  }

  /** Reads a body that fits into one request, and stores it with what `store` does. */
  async function single(key: string, body: Body, { signal, onProgress }: WriteOptions, store: (bytes: Buffer, written: WrittenObject) => Promise<WrittenObject>): Promise<WrittenObject> {
    const buffer = body.sizeBytes === 0 ? Buffer.alloc(0) : await buffers.acquire(body.sizeBytes, signal)
    try {
      const reader = readBody(key, body, signal)
      let filledBytes = 0
      for await (const chunk of reader.chunks()) {
        buffer.set(chunk, filledBytes)
        filledBytes += chunk.byteLength
      }
      const written = await store(buffer, { key, sizeBytes: body.sizeBytes, sha256: reader.sha256(), created: true })
      onProgress?.(body.sizeBytes)
      return written
    } finally {
      if (body.sizeBytes > 0) buffers.release(buffer)
    }
  }

  async function putSingle(key: string, bytes: Buffer, written: WrittenObject, { signal, exclusive }: { signal: AbortSignal | undefined; exclusive: boolean }): Promise<boolean> {
    return await putBytes(connection, { key, bytes, sha256: written.sha256, exclusive, contentMd5: !(await probe.signedDigestIsChecked(signal)), signal })
  }

  async function createSingle(key: string, body: Body, writeOptions: WriteOptions): Promise<WrittenObject> {
    const { signal } = writeOptions
    return await single(key, body, writeOptions, async (bytes, written) => {
      // Both are asked once, at the same time.
      const [isConditional] = await Promise.all([probe.conditionalCreate(signal), probe.signedDigestIsChecked(signal)])
      if (isConditional) {
        return (await putSingle(key, bytes, written, { signal, exclusive: true })) ? written : await compare(key, written, signal)
      }
      if ((await headS3Object(connection, key, signal)) !== undefined) return await compare(key, written, signal)
      await putSingle(key, bytes, written, { signal, exclusive: false })
      await compare(key, written, signal)
      return written
    })
  }

  async function upload(key: string, body: Body, { signal, onProgress }: WriteOptions, exclusive: boolean): Promise<WrittenObject> {
    const partSizeBytes = partSizeFor(key, body.sizeBytes)
    const { sha256, outcome } = await uploadInParts(connection, { key, body, partSizeBytes, buffers, parallel: concurrency > 1, verification: probe, exclusive, signal, onProgress })
    const written = { key, sizeBytes: body.sizeBytes, sha256, created: true }
    if (outcome === 'taken') return await compare(key, written, signal)
    if (outcome === 'unknown') {
      if ((await digestOfS3Object(connection, key, signal)) === sha256) return written
      throw new PromDrError('STORE_UNREACHABLE', `the store forgot the upload of ${key} to ${url} before it was complete`, { hint: 'a rule on the bucket may remove incomplete uploads too early' })
    }
    const stored = await headS3Object(connection, key, signal)
    if (stored?.sizeBytes !== body.sizeBytes) {
      throw new PromDrError('STORE_BAD_RESPONSE', `${key} has ${stored?.sizeBytes ?? 'no'} bytes in ${url} after ${body.sizeBytes} were stored`, { hint: 'another writer may have replaced or removed it; run "prom-dr verify"' })
    }
    return written
  }

  async function createLarge(key: string, body: Body, writeOptions: WriteOptions): Promise<WrittenObject> {
    const { signal } = writeOptions
    const present = await headS3Object(connection, key, signal)
    if (present === undefined) return await upload(key, body, writeOptions, await probe.conditionalCreate(signal))
    if (present.sizeBytes !== body.sizeBytes) throw objectExists(url, key)
    const reader = readBody(key, body, signal)
    for await (const _chunk of reader.chunks());
    return await compare(key, { key, sizeBytes: body.sizeBytes, sha256: reader.sha256(), created: true }, signal)
  }

  return {
    url,
    listsInPages: true,
    async create(key, body, writeOptions = {}) {
      checkKey(key)
      return await (body.sizeBytes <= singleBytes ? createSingle : createLarge)(key, body, writeOptions)
    },
    async put(key, body, writeOptions = {}) {
      checkKey(key)
      if (body.sizeBytes > singleBytes) return await upload(key, body, writeOptions, false)
      return await single(key, body, writeOptions, async (bytes, written) => {
        await putSingle(key, bytes, written, { signal: writeOptions.signal, exclusive: false })
        return written
      })
    },
    get: async (key, readOptions) => await readS3Object(connection, checkKey(key), readOptions),
    head: async (key, { signal } = {}) => await headS3Object(connection, checkKey(key), signal),
    list: (prefix, listOptions) => listS3(connection, prefix, listOptions?.signal),
    listFolders: (prefix, listOptions) => listS3Folders(connection, prefix, listOptions?.signal),
    delete: async (keys, { signal } = {}) => await deleteS3Objects(connection, keys.map(checkKey), signal),
    now: async ({ signal } = {}) => await s3Now(connection, signal),
    capabilities: async (prefix, { signal } = {}) => await probe.capabilities(prefix, signal),
    async close() {
      connection.client.destroy()
    },
  }
}
