import { dirname } from 'node:path'
import { replaceFile } from '../system/replace-file.ts'
import { syncPath } from '../system/sync-path.ts'
import { dataFileError } from './file-errors.ts'

/** Writes a small file so that it is there whole or not at all: temporary name, fsync, rename, fsync of the directory. */
export async function writeDurably(path: string, text: string | Uint8Array): Promise<void> {
  try {
    await replaceFile(path, text)
    await syncPath(dirname(path))
  } catch (error) {
    throw dataFileError(error, path)
  }
}
