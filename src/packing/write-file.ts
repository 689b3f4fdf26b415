import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, readFile, rm } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { onFile } from './file-failures.ts'

export interface WrittenFile {
  path: string
  sizeBytes: number
  /** Lowercase hex. */
  sha256: string
}

/** Writes a stream into a file that is not there yet and that only its owner may read. After a failure the file is gone. */
export async function writeNewFile(path: string, chunks: AsyncIterable<Uint8Array>, options: { mode?: number } = {}): Promise<WrittenFile> {
  const handle = await onFile(path, open(path, 'wx', 0o600))
  const hash = createHash('sha256')
  let sizeBytes = 0
  try {
    for await (const piece of chunks) {
      hash.update(piece)
      sizeBytes += piece.byteLength
      await onFile(path, handle.writeFile(piece))
    }
    if (options.mode !== undefined) await onFile(path, handle.chmod(options.mode))
    return { path, sizeBytes, sha256: hash.digest('hex') }
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}

/** As something to upload: it is opened anew for each try. Structurally a `Body` of the object stores. */
export function fileBody({ path, sizeBytes }: WrittenFile): { sizeBytes: number; open(): Readable } {
  return { sizeBytes, open: () => createReadStream(path, { highWaterMark: 1024 * 1024 }) }
}

/** Idempotent. */
export async function removeFile(path: string): Promise<void> {
  await onFile(path, rm(path, { force: true }))
}

export async function readWholeFile(path: string): Promise<Buffer> {
  return onFile(path, readFile(path))
}
