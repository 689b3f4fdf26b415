import { createHash } from 'node:crypto'
import type { Readable, Transform } from 'node:stream'
import { constants, createBrotliCompress, createBrotliDecompress } from 'node:zlib'
import { PromDrError, systemCode } from '../errors.ts'
import type { Body, ObjectStore } from '../stores/object-store.ts'
import { signalOf } from './documents.ts'

/** Higher qualities cost several times the CPU for a few per cent: shipping runs beside a production server. */
const quality = 2
/** A window of 4 MiB, the usual one, would store 0.3 % less of a log, and the allocator keep its 9 MB for each of Node's threads. */
const windowBits = 18
const outputBytes = 64 * 1024

/** Bytes in memory as a body, which keeps them packed. */
export async function packedBytes(bytes: Buffer): Promise<Body> {
  const pieces: Uint8Array[] = []
  for await (const piece of packed([bytes])) pieces.push(piece)
  return {
    sizeBytes: pieces.reduce((sum, piece) => sum + piece.length, 0),
    async *open() {
      yield* pieces
    },
  }
}

/**
 * A body that is packed while it is sent, and was packed once before to know its size and digest: neither form of it is ever whole in
 * memory. What `open` gives may be written to again when the next piece is asked for.
 */
export async function packedBody(open: () => AsyncIterable<Uint8Array>): Promise<Body> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const piece of packed(open())) {
    sizeBytes += piece.length
    hash.update(piece)
  }
  return { sizeBytes, sha256: hash.digest('hex'), open: () => packed(open()) }
}

async function* packed(plain: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const packer = createBrotliCompress({ chunkSize: outputBytes, params: { [constants.BROTLI_PARAM_QUALITY]: quality, [constants.BROTLI_PARAM_LGWIN]: windowBits } })
  const feed = async () => {
    for await (const piece of plain) await taken(packer, piece)
    packer.end()
  }
  feed().catch((error: Error) => packer.destroy(error))
  yield* packer as AsyncIterable<Uint8Array>
}

/** Resolves when all of the piece is packed. */
function taken(packer: Transform, piece: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const onClose = () => reject(new Error('what was to be packed is no longer wanted'))
    packer.once('close', onClose)
    packer.write(piece, (error) => {
      packer.off('close', onClose)
      if (error) reject(error)
      else resolve()
    })
  })
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
