import { PromDrError, systemCode } from '../errors.ts'

/** A failed system call while archives are packed or unpacked, as prom-dr names it. Anything that is no system error is given back. */
export function fileFailure(error: unknown, path: string): unknown {
  const code = systemCode(error)
  if (error instanceof PromDrError || code === undefined || !code.startsWith('E')) return error
  const full = code === 'ENOSPC' || code === 'EDQUOT'
  return new PromDrError(full ? 'DISK_FULL' : 'FILE_SYSTEM', `${path}: ${(error as Error).message}`, {
    hint: full ? 'free some space there, or set TMPDIR to a directory on a larger file system' : 'look at the permissions of that path', cause: error,
  })
}

/** Awaits a file operation; its failure is thrown as `fileFailure` has it. */
export async function onFile<T>(path: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (error) {
    throw fileFailure(error, path)
  }
}
