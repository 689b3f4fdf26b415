import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf, PromDrError, systemCode } from '../errors.ts'

/** What is there of a path: what could not be written is not. */
function placeOf(path: string): string {
  return existsSync(path) || path === dirname(path) ? path : placeOf(dirname(path))
}

/** Turns what the file system said about `path` into the error a caller of an object store expects. */
export function fileError(error: unknown, action: string, path: string): PromDrError {
  if (error instanceof PromDrError) return error
  const message = `cannot ${action} ${path}: ${messageOf(error)}`
  switch (systemCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new PromDrError('DISK_FULL', message, { cause: error, hint: `free space or raise the quota there (df -h ${placeOf(path)}; df -i ${placeOf(path)}), then run the command again` })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new PromDrError('STORE_DENIED', message, { cause: error, hint: 'run as the user who owns the repository, or give this user access to it; check that it is not mounted read-only' })
    case 'ELOOP':
      return symlinkRefused(path)
    case 'ENOTDIR':
    case 'EISDIR':
    case 'EEXIST':
    case 'ENOTEMPTY':
      return new PromDrError('STORE_REJECTED', message, { cause: error, hint: 'a file is where the repository needs a directory, or the other way round: is this the right directory?' })
    case 'ESTALE':
    case 'EIO':
    case 'ETIMEDOUT':
    case 'EHOSTDOWN':
      return new PromDrError('STORE_UNREACHABLE', message, { cause: error, hint: 'check the disk or the mount (dmesg, mount)' })
    default:
      return new PromDrError('FILE_SYSTEM', message, { cause: error })
  }
}

export function symlinkRefused(path: string): PromDrError {
  return new PromDrError('STORE_REJECTED', `${path} is, or lies behind, a symbolic link: refused`, {
    hint: 'a repository has no symbolic links below its own directory; remove the link',
  })
}

/** The result, or undefined when the file is not there (also: its directory). Every other failure is mapped. */
export async function unlessMissing<T>(action: string, path: string, attempt: () => Promise<T>): Promise<T | undefined> {
  try {
    return await attempt()
  } catch (error) {
    return undefinedIfMissing(error, action, path)
  }
}

/** As `unlessMissing`, for what is not worth a promise. */
export function unlessMissingSync<T>(action: string, path: string, attempt: () => T): T | undefined {
  try {
    return attempt()
  } catch (error) {
    return undefinedIfMissing(error, action, path)
  }
}

function undefinedIfMissing(error: unknown, action: string, path: string): undefined {
  const code = systemCode(error)
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
  throw fileError(error, action, path)
}
