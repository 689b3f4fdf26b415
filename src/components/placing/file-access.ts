import type { Stats } from 'node:fs'
import { type FileHandle, lstat, open, stat } from 'node:fs/promises'
import { PromDrError, systemCode } from '../../errors.ts'
import { ifThere } from '../../system/if-there.ts'

/** @throws COMPONENT_FAILED or DISK_FULL, with the path, for what the system refuses */
export async function onFile<T>(path: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (error) {
    throw fileFailure(error, path)
  }
}

function fileFailure(error: unknown, path: string): unknown {
  const code = systemCode(error)
  if (error instanceof PromDrError || code === undefined) return error
  if (code === 'ENOSPC' || code === 'EDQUOT') return new PromDrError('DISK_FULL', `no space left to write ${path} (${code})`, { hint: 'free space on that filesystem, and restore again', cause: error })
  const hint = code === 'EROFS' ? 'it is mounted read-only, as Kubernetes mounts a ConfigMap: restore with --components-target, and apply the files from there' : 'run prom-dr as root, or as a user who may write there'
  return new PromDrError('COMPONENT_FAILED', `cannot write ${path} (${code})`, { hint, cause: error })
}

/** Of what a link leads to; undefined for what is not there, or is a link to nothing. */
export function statOf(path: string): Promise<Stats | undefined> {
  return ifThere(stat(path))
}

/** What has this name, links not followed; undefined for nothing. */
export async function kindOf(path: string): Promise<'file' | 'directory' | 'link' | 'other' | undefined> {
  const stats = await ifThere(lstat(path))
  if (stats === undefined) return undefined
  return stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : stats.isSymbolicLink() ? 'link' : 'other'
}

const pieceBytes = 256 * 1024

/** Compares two files of one size, a piece at a time. */
export async function isSameContent(one: string, other: string): Promise<boolean> {
  const first = await open(one)
  try {
    const second = await open(other)
    try {
      for (let at = 0; ; at += pieceBytes) {
        const [a, b] = [await pieceAt(first, at), await pieceAt(second, at)]
        if (!a.equals(b)) return false
        if (a.length < pieceBytes) return true
      }
    } finally {
      await second.close()
    }
  } finally {
    await first.close()
  }
}

/** Shorter at the end of the file only. */
async function pieceAt(file: FileHandle, position: number): Promise<Buffer> {
  const piece = Buffer.allocUnsafe(pieceBytes)
  let length = 0
  for (;;) {
    const { bytesRead } = await file.read(piece, length, pieceBytes - length, position + length)
    length += bytesRead
    if (bytesRead === 0 || length === pieceBytes) return piece.subarray(0, length)
  }
}
