import { open } from 'node:fs/promises'
import { PromDrError } from '../errors.ts'
import { dataFileError, onDataFile } from './file-errors.ts'
import { indexTocBytes, type IndexToc, parseIndexToc } from './index-toc.ts'
import type { StreamChecker } from './stream-checker.ts'

const readBytes = 1024 * 1024

/**
 * Runs a checker over a local file, 1 MiB at a time.
 * @throws DAMAGED by the checker, INTERRUPTED by the signal, DATA_DIR_UNREADABLE or FILE_SYSTEM
 */
export async function checkFile<Result>(path: string, checker: StreamChecker<Result>, signal?: AbortSignal): Promise<Result> {
  const handle = await onDataFile(path, open(path, 'r'))
  try {
    const buffer = Buffer.allocUnsafe(readBytes)
    for (;;) {
      if (signal?.aborted) throw new PromDrError('INTERRUPTED', `the check of ${path} was interrupted`)
      const { bytesRead } = await handle.read(buffer, 0, readBytes)
      if (bytesRead === 0) return checker.end()
      checker.write(buffer.subarray(0, bytesRead))
    }
  } catch (error) {
    throw dataFileError(error, path)
  } finally {
    await handle.close()
  }
}

/** The table of contents of a local index. @throws DAMAGED */
export async function readIndexToc(path: string): Promise<IndexToc> {
  const handle = await onDataFile(path, open(path, 'r'))
  try {
    const { size } = await handle.stat()
    const last = Buffer.alloc(Math.min(size, indexTocBytes))
    await handle.read(last, 0, last.length, size - last.length)
    return parseIndexToc(last, size, path)
  } catch (error) {
    throw dataFileError(error, path)
  } finally {
    await handle.close()
  }
}
