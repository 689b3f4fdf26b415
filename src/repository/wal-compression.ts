import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { brotliCompress, constants, createBrotliCompress, createBrotliDecompress } from 'node:zlib'
import { PromDrError, systemCode } from '../errors.ts'
import type { Body, ObjectStore } from '../stores/object-store.ts'
import { signalOf } from './documents.ts'

const compress = promisify(brotliCompress)

/** Higher qualities cost several times the CPU for a few per cent: shipping runs beside a production server. */
const quality = 2

export function compressWal(bytes: Buffer): Promise<Buffer> {
  return compress(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: quality, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } })
}

/** A body that is packed while it is sent, and was packed once before to know its size and digest: neither form of it is ever whole in memory. */
export async function packedBody(open: () => AsyncIterable<Uint8Array>): Promise<Body> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const piece of packed(open())) {
    sizeBytes += piece.length
    hash.update(piece)
  }
  return { sizeBytes, sha256: hash.digest('hex'), open: () => packed(open()) }
}

async function* packed(plain: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const packer = createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: quality } })
  const source = Readable.from(plain, { objectMode: false })
  source.on('error', (error) => packer.destroy(error))
  yield* source.pipe(packer) as AsyncIterable<Uint8Array>
}

/**
 * The bytes of a stored stretch of WAL.
 * @throws DAMAGED when it cannot be unpacked or is not `length` bytes long; OBJECT_NOT_FOUND
 */
export async function* readWal(store: ObjectStore, key: string, request: { length: number; signal?: AbortSignal | undefined }): AsyncGenerator<Buffer> {
  const { body } = await store.get(key, signalOf(request))
  const unpacker = createBrotliDecompress()
  body.on('error', (error) => unpacker.destroy(error))
  let length = 0
  try {
    for await (const piece of (body as Readable).pipe(unpacker)) {
      length += (piece as Buffer).length
      if (length > request.length) throw damaged(key, `it unpacks to more than ${request.length} bytes`)
      yield piece as Buffer
    }
  } catch (error) {
    if (error instanceof PromDrError) throw error
    throw damaged(key, `it cannot be unpacked (${systemCode(error) ?? String(error)})`, error)
  } finally {
    body.destroy()
  }
  if (length !== request.length) throw damaged(key, `it unpacks to ${length} bytes instead of ${request.length}`)
}

function damaged(key: string, reason: string, cause?: unknown): PromDrError {
  return new PromDrError('DAMAGED', `${key} is damaged: ${reason}`, { hint: 'another repository may have a good copy: run "prom-dr verify"', cause, details: { key } })
}
