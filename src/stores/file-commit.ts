import { link, lstat, rename } from 'node:fs/promises'
import { systemCode } from '../errors.ts'
import { unlessMissing } from './file-errors.ts'
import { removeFile } from './file-temporary.ts'

/**
 * Gives a finished file its name if that name is free. False when it is taken.
 * link(2) decides between writers; where the file system has no hard links (FAT, some network mounts) the look and
 * the rename are two steps, which `capabilities` tells.
 */
export async function commitExclusive(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path)
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false
    if (!hasNoLinks(error)) throw error
    if ((await unlessMissing('read', path, () => lstat(path))) !== undefined) return false
    await rename(temporary, path)
    return true
  }
  await removeFile(temporary)
  return true
}

/** True when `link` failed because the file system has no hard links. */
export function hasNoLinks(error: unknown): boolean {
  return ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(systemCode(error) ?? '')
}
