import { chmod, chown, constants, copyFile, link, lstat, mkdir, readlink, realpath, stat, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { systemCode } from '../../errors.ts'
import { syncPath } from '../../system/sync-path.ts'
import { onFile, statOf } from './file-access.ts'
import { replacedName } from './restore-names.ts'

export interface AsideRequest {
  /** Where what is replaced goes to: the directory that gets one of its own for it, and the path below that. */
  aside(path: string): { directory: string; path: string }
  now: Date
  dryRun: boolean
}

/** Where each of these goes to: no two restores share a directory. */
export async function asidePlaces(paths: readonly string[], request: AsideRequest): Promise<{ from: string; to: string }[]> {
  const directories = new Map<string, string>()
  const places: { from: string; to: string }[] = []
  for (const from of paths) {
    const { directory, path } = request.aside(from)
    const own = directories.get(directory) ?? (await ownDirectory(directory, request))
    directories.set(directory, own)
    places.push({ from, to: join(own, path) })
  }
  return places
}

async function ownDirectory(directory: string, { now, dryRun }: AsideRequest): Promise<string> {
  const name = join(directory, replacedName(now))
  if (dryRun) return name
  for (let count = 0; ; count += 1) {
    const path = count === 0 ? name : `${name}-${count}`
    if (await onFile(path, isMade(path))) return path
  }
}

async function isMade(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 })
    return true
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false
    throw error
  }
}

/** A second name, so that the file is in its place at every moment; a copy where it cannot have one, as on another disk. */
export async function keepAside(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 })
  if ((await lstat(from)).isSymbolicLink()) return symlink((await statOf(from)) === undefined ? await readlink(from) : await realpath(from), to)
  if (!(await isLinked(from, to))) await copy(from, to)
  await syncPath(to)
}

async function isLinked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if (['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(systemCode(error) ?? '')) return false
    throw error
  }
}

async function copy(from: string, to: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_EXCL)
  const { uid, gid, mode } = await stat(from)
  if (process.getuid?.() === 0) await chown(to, uid, gid)
  await chmod(to, mode & 0o777)
}
