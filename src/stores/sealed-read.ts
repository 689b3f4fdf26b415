import { Readable } from 'node:stream'
import type { ObjectSealing, OpenedObject } from '../domain/object-sealing.ts'
import { PromDrError, hasCode } from '../errors.ts'
import { recycle } from '../system/direct-io.ts'
import { abortable } from './body-reader.ts'
import { resolveRange } from './byte-range.ts'
import type { ByteRange, ObjectReader, ObjectStore, ReadOptions } from './object-store.ts'
import { sealedSuffix } from './sealed-listing.ts'

export interface SealedReadContext {
  store: ObjectStore
  sealing: ObjectSealing
}

const rangeTries = 3

/**
 * The plain bytes of a sealed object: all of it in one request; of a range the head first, then only the chunks that hold it.
 * @throws OBJECT_NOT_FOUND, KEY_MISSING, DAMAGED
 */
export async function readSealed(context: SealedReadContext, key: string, { range, signal }: ReadOptions = {}): Promise<ObjectReader> {
  const whole = range === undefined || (range.start === 0 && range.end === undefined)
  return naming(context, key, () => (whole ? readWhole(context, key, signal) : readRange(context, key, { range, ...signalled(signal) })))
}

async function readWhole(context: SealedReadContext, key: string, signal?: AbortSignal): Promise<ObjectReader> {
  const { store, sealing } = context
  const reader = await getQuietly(store, key, signalled(signal))
  const sizeBytes = plainBytesOf(sealing, reader)
  const source = abortable(reader.body, signal)
  try {
    const { head, rest } = await takeHead(source, sealing.headBytes)
    const opened = await sealing.openHead(head)
    const stored = following(rest, source)
    return { sizeBytes, modifiedAt: reader.modifiedAt, body: bodyOf(context, key, { reader, source, plain: opened.decrypt(stored, { start: 0, end: sizeBytes, plainBytes: sizeBytes }) }) }
  } catch (error) {
    leave(reader, source)
    throw error
  }
}

async function readRange(context: SealedReadContext, key: string, { range, signal }: ReadOptions & { range: ByteRange }): Promise<ObjectReader> {
  const { store } = context
  for (let tries = 1; ; tries += 1) {
    const { opened, first, sizeBytes } = await openHeadOf(context, key, signal)
    const wanted = resolveRange(key, sizeBytes, range)
    const reader = await getQuietly(store, key, { range: opened.storedRange(wanted), ...signalled(signal) })
    // Sealed anew between the two requests: the head is another one now.
    if (reader.modifiedAt.getTime() !== first.modifiedAt.getTime() && tries < rangeTries) {
      reader.body.destroy()
      continue
    }
    const source = abortable(reader.body, signal)
    const plain = opened.decrypt(source, { ...wanted, plainBytes: sizeBytes })
    return { sizeBytes, modifiedAt: reader.modifiedAt, body: bodyOf(context, key, { reader, source, plain }) }
  }
}

/** The first bytes of a sealed object, read by themselves. @throws OBJECT_NOT_FOUND, DAMAGED when it has not even those */
export async function readSealedHead({ store, sealing }: SealedReadContext, key: string, signal?: AbortSignal): Promise<{ head: Buffer; reader: ObjectReader }> {
  const reader = await getQuietly(store, key, { range: { start: 0, end: sealing.headBytes }, ...signalled(signal) })
  const source = abortable(reader.body, signal)
  try {
    return { head: (await takeHead(source, sealing.headBytes)).head, reader }
  } finally {
    leave(reader, source)
  }
}

async function openHeadOf(context: SealedReadContext, key: string, signal?: AbortSignal): Promise<{ opened: OpenedObject; first: ObjectReader; sizeBytes: number }> {
  const { head, reader } = await readSealedHead(context, key, signal)
  return { opened: await context.sealing.openHead(head), first: reader, sizeBytes: plainBytesOf(context.sealing, reader) }
}

/** A body whose end in an error is met by whoever reads it, and by nobody after it was left. */
async function getQuietly(store: ObjectStore, key: string, options: ReadOptions): Promise<ObjectReader> {
  const reader = await store.get(`${key}${sealedSuffix}`, options)
  reader.body.on('error', () => undefined)
  return reader
}

function plainBytesOf(sealing: ObjectSealing, reader: ObjectReader): number {
  const sizeBytes = sealing.plainBytes(reader.sizeBytes)
  if (sizeBytes !== undefined) return sizeBytes
  reader.body.destroy()
  throw new PromDrError('DAMAGED', `it has ${reader.sizeBytes} bytes, which no sealed object has`, { hint: 'another repository may have a good copy: run "prom-dr verify"' })
}

/** Nothing more is read of it, and nobody listens to the signal any more. */
function leave(reader: ObjectReader, source: AsyncGenerator<Uint8Array>): void {
  reader.body.destroy()
  source.return(undefined).catch(() => undefined)
}

function bodyOf(context: SealedReadContext, key: string, { reader, source, plain }: { reader: ObjectReader; source: AsyncGenerator<Uint8Array>; plain: AsyncIterable<Uint8Array> }): Readable {
  async function* named(): AsyncGenerator<Uint8Array> {
    try {
      yield* plain
    } catch (error) {
      throw withName(context, key, error)
    }
  }
  const body = Readable.from(named(), { objectMode: false, highWaterMark: 1024 * 1024 })
  // A generator that hangs in a read is not ended by destroying its stream: end what it reads.
  body.once('close', () => leave(reader, source))
  return body
}

async function takeHead(source: AsyncIterator<Uint8Array>, headBytes: number): Promise<{ head: Buffer; rest: Buffer }> {
  let read: Buffer = Buffer.alloc(0)
  while (read.length < headBytes) {
    const next = await source.next()
    if (next.done === true) throw new PromDrError('DAMAGED', `it ends after ${read.length} bytes, in its header`, { hint: 'another repository may have a good copy: run "prom-dr verify"' })
    read = Buffer.concat([read, next.value])
    recycle(next.value)
  }
  return { head: read.subarray(0, headBytes), rest: read.subarray(headBytes) }
}

async function* following(first: Buffer, source: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first
  yield* source
}

async function naming<T>(context: SealedReadContext, key: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw withName(context, key, error)
  }
}

/** What the sealing says is wrong, with the name of the object that it cannot know. */
function withName({ store }: SealedReadContext, key: string, error: unknown): unknown {
  if (!hasCode(error, 'KEY_MISSING', 'DAMAGED') || error.details?.['key'] !== undefined) return error
  const { code, message, hint, details } = error
  return new PromDrError(code, `${key}${sealedSuffix} in ${store.url}: ${message}`, { ...(hint !== undefined && { hint }), cause: error, details: { ...details, key } })
}

function signalled(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}
