import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncPath } from '../system/sync-path.ts'
import { dataFileError } from './file-errors.ts'

/** Writes a small file so that it is there whole or not at all: temporary name, fsync, rename, fsync of the directory. */
export async function writeDurably(path: string, text: string | Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`
  try {
    const handle = await open(temporary, 'w', 0o644)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
    await syncPath(dirname(path))
  } catch (error) {
    throw dataFileError(error, path)
  }
}
