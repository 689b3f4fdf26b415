import { randomUUID } from 'node:crypto'
import { type FileHandle, lstat, open, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { BodyReader } from './body-reader.ts'
import { unlessMissing } from './file-errors.ts'

const chunkBytes = 1024 * 1024
const writeBehindBytes = 64 * 1024 * 1024
const abandonedAfterMs = 24 * 60 * 60 * 1000

export function temporaryPath(directory: string): string {
  return join(directory, `${process.pid}-${randomUUID()}`)
}

/** Writes all chunks to a new file and waits until they are on the disk. The file is removed when anything fails. */
export async function writeTemporary(path: string, reader: BodyReader, onProgress?: (sentBytes: number) => void): Promise<void> {
  const handle = await open(path, 'wx', 0o640)
  try {
    await writeChunks(handle, reader, onProgress)
    await handle.sync()
    await handle.close()
  } catch (error) {
    await handle.close().catch(() => undefined)
    await removeFile(path)
    throw error
  }
}

/** Two buffers: one fills while the other is being written. The disk is set to work early, so that the last fsync is short. */
async function writeChunks(handle: FileHandle, reader: BodyReader, onProgress?: (sentBytes: number) => void): Promise<void> {
  const buffers = [Buffer.allocUnsafe(chunkBytes), Buffer.allocUnsafe(chunkBytes)] as const
  let filling = 0
  let filledBytes = 0
  let writtenBytes = 0
  let unsyncedBytes = 0
  let writing: Promise<void> = Promise.resolve()
  let syncing: Promise<void> | undefined

  async function flush(): Promise<void> {
    const full = buffers[filling as 0 | 1].subarray(0, filledBytes)
    await writing
    writing = writeAll(handle, full, writtenBytes)
    writing.catch(() => undefined)
    writtenBytes += full.byteLength
    unsyncedBytes += full.byteLength
    onProgress?.(writtenBytes)
    filling = 1 - filling
    filledBytes = 0
    if (unsyncedBytes < writeBehindBytes || syncing !== undefined) return
    unsyncedBytes = 0
    syncing = handle.datasync().finally(() => (syncing = undefined))
    syncing.catch(() => undefined)
  }

  try {
    for await (const chunk of reader.chunks()) {
      for (let offset = 0; offset < chunk.byteLength; ) {
        const taken = Math.min(chunk.byteLength - offset, chunkBytes - filledBytes)
        buffers[filling as 0 | 1].set(chunk.subarray(offset, offset + taken), filledBytes)
        filledBytes += taken
        offset += taken
        if (filledBytes === chunkBytes) await flush()
      }
    }
    if (filledBytes > 0) await flush()
  } finally {
    // The handle must not be closed under a write; a failed one is reported by the awaits below.
    await Promise.allSettled([writing, syncing])
  }
  await writing
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let offset = 0; offset < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, offset, bytes.byteLength - offset, position + offset)
    offset += bytesWritten
  }
}

export async function removeFile(path: string): Promise<void> {
  await unlessMissing('remove', path, () => unlink(path))
}

/** Removes what processes that died left behind: files not written to for a day, by the file system's own clock. */
export async function removeAbandoned(directory: string, now: Date): Promise<void> {
  const names = (await unlessMissing('list', directory, () => readdir(directory))) ?? []
  for (const name of names) {
    const path = join(directory, name)
    const status = await unlessMissing('read', path, () => lstat(path))
    if (status?.isFile() && now.getTime() - status.mtimeMs > abandonedAfterMs) await removeFile(path)
  }
}
