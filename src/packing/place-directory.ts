import { cp, mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCode } from '../errors.ts'
import { onFile } from './file-failures.ts'

/** Whether nothing would be overwritten there: it is missing, or an empty directory. */
export async function isFreePlace(path: string): Promise<boolean> {
  try {
    return (await readdir(path)).length === 0
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return true
    if (systemCode(error) === 'ENOTDIR') return false
    throw error
  }
}

export async function makeDirectoryTree(path: string): Promise<void> {
  await onFile(path, mkdir(path, { recursive: true }))
}

/** Moves a directory to a free place, by copying where it lies on another file system. */
export async function moveDirectory(from: string, to: string): Promise<void> {
  await onFile(to, mkdir(dirname(to), { recursive: true }))
  await rmdir(to).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error
  })
  try {
    await rename(from, to)
  } catch (error) {
    if (systemCode(error) !== 'EXDEV') throw error
    await onFile(to, cp(from, to, { recursive: true, errorOnExist: true, force: false }))
    await rm(from, { recursive: true, force: true })
  }
}
