import { randomUUID } from 'node:crypto'
import { lstat, open, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { FileWriter } from '../system/file-writer.ts'
import type { BodyReader } from './body-reader.ts'
import { unlessMissing } from './file-errors.ts'

const abandonedAfterMs = 24 * 60 * 60 * 1000

export function temporaryPath(directory: string): string {
  return join(directory, `${process.pid}-${randomUUID()}`)
}

/** Writes all chunks to a new file and waits until they are on the disk. The file is removed when anything fails. */
export async function writeTemporary(path: string, { reader, sizeBytes, onProgress }: { reader: BodyReader; sizeBytes: number; onProgress: ((sentBytes: number) => void) | undefined }): Promise<void> {
  const handle = await open(path, 'wx', 0o640)
  try {
    const writer = await FileWriter.open(handle, 0, sizeBytes)
    try {
      let takenBytes = 0
      for await (const chunk of reader.chunks()) {
        takenBytes += chunk.byteLength
        await writer.take(chunk)
        onProgress?.(takenBytes)
      }
      await writer.flush()
    } finally {
      await writer.close()
    }
    await handle.sync()
    await handle.close()
  } catch (error) {
    await handle.close().catch(() => undefined)
    await removeFile(path)
    throw error
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
