import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { PromDrError } from '../errors.ts'
import { recycle } from '../system/direct-io.ts'
import { readRange } from '../system/file-reader.ts'
import { resolveRange } from './byte-range.ts'
import { fileError, unlessMissing } from './file-errors.ts'
import type { FilePaths } from './file-paths.ts'
import { interrupted } from './interruption.ts'
import type { ObjectReader, ReadOptions } from './object-store.ts'

/** Opens the object's file without following links; undefined when there is none. */
export async function readFileObject(paths: FilePaths, key: string, { range, signal }: ReadOptions = {}): Promise<ObjectReader | undefined> {
  const path = paths.of(key)
  if (!(await paths.checkContained(path))) return undefined
  // O_NONBLOCK: a FIFO put there by someone else must not hang us.
  const handle = await unlessMissing('read', path, () => open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK))
  if (handle === undefined) return undefined
  try {
    const status = await handle.stat()
    if (!status.isFile()) {
      await handle.close()
      return undefined
    }
    const { start, end } = resolveRange(key, status.size, range)
    return { sizeBytes: status.size, modifiedAt: status.mtime, body: rangeStream({ handle, path, start, end, ...(signal && { signal }) }) }
  } catch (error) {
    await handle.close()
    throw fileError(error, 'read', path)
  }
}

interface RangeStreamOptions {
  handle: FileHandle
  path: string
  start: number
  end: number
  signal?: AbortSignal
}

/** The bytes of the range; owns the handle. A file that turns out shorter ends with an error. */
function rangeStream({ handle, path, start, end, signal }: RangeStreamOptions): Readable {
  const pieces = readRange(handle, start, end)
  let position = start
  const stream = new Readable({
    // Pieces as they are: a stream of bytes would join those that wait into new ones.
    objectMode: true,
    highWaterMark: 1,
    read() {
      pieces.next().then(
        ({ value: piece }) => {
          if (piece !== undefined) position += piece.length
          if (piece === undefined && position < end) {
            this.destroy(new PromDrError('STORE_BAD_RESPONSE', `${path} ended at byte ${position} of ${end}: it was cut while it was read`))
            return
          }
          this.push(piece ?? null)
        },
        (error: unknown) => this.destroy(fileError(error, 'read', path)),
      )
    },
    destroy(error, callback) {
      signal?.removeEventListener('abort', onAbort)
      pieces.return().finally(() => handle.close()).then(() => callback(error), callback)
    },
  })
  const onAbort = () => stream.destroy(interrupted(signal))
  if (signal?.aborted) onAbort()
  else signal?.addEventListener('abort', onAbort, { once: true })
  return stream
}

/** SHA-256 of the object as it lies in the store, undefined when it is gone. */
export async function digestOfFileObject(paths: FilePaths, key: string, options: ReadOptions = {}): Promise<string | undefined> {
  const object = await readFileObject(paths, key, options)
  if (object === undefined) return undefined
  const hash = createHash('sha256')
  for await (const chunk of object.body as AsyncIterable<Buffer>) {
    hash.update(chunk)
    recycle(chunk)
  }
  return hash.digest('hex')
}
