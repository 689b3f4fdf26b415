import type { z } from 'zod'
import { PromDrError } from '../errors.ts'
import { type ObjectStore, bytesBody } from '../stores/object-store.ts'
import { sealJson, unsealJson } from './sealed-json.ts'

interface Options {
  signal?: AbortSignal | undefined
}

const maxDocumentBytes = 64 * 1024 * 1024

/**
 * Reads a sealed document and checks it against its schema. With `newestVersion` its `version` is looked at first: what
 * else a newer document says is not for this program's schema to judge.
 * @throws OBJECT_NOT_FOUND, DAMAGED, REPOSITORY_TOO_NEW
 */
export async function readDocument<T>(store: ObjectStore, key: string, schema: z.ZodType<T>, options: Options & { newestVersion?: number } = {}): Promise<T> {
  const value = unsealJson(await readSmallObject(store, key, maxDocumentBytes, options), key)
  const { newestVersion = Number.POSITIVE_INFINITY } = options
  if (typeof value['version'] === 'number' && value['version'] > newestVersion) {
    throw new PromDrError('REPOSITORY_TOO_NEW', `${key} in ${store.url} has version ${value['version']}; this prom-dr knows up to ${newestVersion}`, {
      hint: 'upgrade prom-dr on this host; nothing was changed',
      details: { key },
    })
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new PromDrError('DAMAGED', `${key} is not valid: ${issue?.path.join('.') || 'the document'}: ${issue?.message}`, {
    hint: 'it was written by something else or by a newer prom-dr: compare "prom-dr --version" with the writer\'s',
    details: { key },
  })
}

/** Stores a new immutable document. @returns its size in bytes */
export async function createDocument(store: ObjectStore, key: string, value: object, options: Options = {}): Promise<number> {
  const body = bytesBody(Buffer.from(sealJson(value)))
  await store.create(key, body, signalOf(options))
  return body.sizeBytes
}

/** Stores or replaces a mutable document. @returns its size in bytes */
export async function putDocument(store: ObjectStore, key: string, value: object, options: Options = {}): Promise<number> {
  const body = bytesBody(Buffer.from(sealJson(value)))
  await store.put(key, body, signalOf(options))
  return body.sizeBytes
}

/** The bytes of an object that is known to be small. @throws OBJECT_NOT_FOUND, DAMAGED when it is larger than `maxBytes` */
export async function readSmallObject(store: ObjectStore, key: string, maxBytes: number, options: Options = {}): Promise<Buffer> {
  const reader = await store.get(key, signalOf(options))
  if (reader.sizeBytes > maxBytes) {
    reader.body.destroy()
    throw new PromDrError('DAMAGED', `${key} has ${reader.sizeBytes} bytes; no object of this kind has more than ${maxBytes}`, {
      hint: 'it was not written by prom-dr; run "prom-dr verify"',
      details: { key },
    })
  }
  const pieces: Buffer[] = []
  for await (const piece of reader.body) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}

/** `{ signal }` without an undefined field. */
export function signalOf(options: Options): { signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal }
}
