import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../errors.ts'
import { dataFileError } from './file-errors.ts'

/**
 * Bytes of the log of out-of-order samples: 0 says that the server holds none in memory. It is replayed also where
 * out-of-order ingestion is off by now.
 */
export async function writeBehindLogBytes(dataDir: string): Promise<number> {
  const directory = join(dataDir, 'wbl')
  let bytes = 0
  try {
    for (const name of await readdir(directory)) bytes += (await stat(join(directory, name))).size
    return bytes
  } catch (error) {
    // A segment may be truncated away while it is looked at: another has its samples, or a block.
    if (systemCode(error) === 'ENOENT') return bytes
    throw dataFileError(error, directory)
  }
}
