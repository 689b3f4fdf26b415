import { PromDrError, systemCode } from '../errors.ts'

/** A failed system call on a file of a data directory, as prom-dr names it. Anything that is no system error is given back. */
export function dataFileError(error: unknown, path: string): unknown {
  const code = systemCode(error)
  if (error instanceof PromDrError || code === undefined) return error
  const message = `${path}: ${(error as Error).message}`
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return new PromDrError('DATA_DIR_UNREADABLE', `${path} may not be accessed (${code})`, {
        hint: 'run prom-dr as root or as the user that Prometheus runs as',
        cause: error,
      })
    case 'EROFS':
      return new PromDrError('DATA_DIR_UNREADABLE', `${path} is on a file system that is mounted read-only (${code})`, {
        hint: 'mount it with write access, also a volume of a container: what prom-dr puts there has to be removed again',
        cause: error,
      })
    case 'ENOENT':
    case 'ENOTDIR':
      return new PromDrError('DATA_DIR_UNREADABLE', `${path} does not exist (${code})`, { cause: error })
    case 'ENOSPC':
    case 'EDQUOT':
      return new PromDrError('DISK_FULL', `no space left to write ${path} (${code})`, { hint: 'free space on that filesystem, or choose another', cause: error })
    default:
      return new PromDrError('FILE_SYSTEM', message, { cause: error })
  }
}

/** Awaits a file operation on `path`; its failure is thrown as `dataFileError` has it. */
export async function onDataFile<T>(path: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (error) {
    throw dataFileError(error, path)
  }
}

const diskCodes = new Set(['EIO', 'EBADMSG', 'EUCLEAN'])

/** The code by which the system says that the disk does not give what is stored on it; undefined for any other failure. */
export function diskFailure(error: unknown): string | undefined {
  const code = systemCode(error instanceof PromDrError ? error.cause : error)
  return code !== undefined && diskCodes.has(code) ? code : undefined
}
