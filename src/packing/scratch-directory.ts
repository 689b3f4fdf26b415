import { lstat, mkdir, mkdtemp, readFile, readdir, rm, rmdir, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { systemCode } from '../errors.ts'
import { onFile } from './file-failures.ts'

/** Who uses a scratch directory, so that a later run can tell whether it still does. */
const ownerSchema = z.object({ machineId: z.string(), bootId: z.string(), hostname: z.string(), pid: z.number(), processStart: z.string() })
export type ScratchOwner = z.infer<typeof ownerSchema>

export interface ScratchOptions {
  /** Default of callers: the system's directory for temporary files. */
  parent: string
  self: ScratchOwner
  isDead(owner: ScratchOwner): boolean
}

const prefix = 'prom-dr-scratch-'
const ownerFile = 'owner.json'

/**
 * A directory that only this user may enter, for archives in the clear; it goes when `use` ends, however it ends. What killed runs of this
 * user on this machine left is removed first.
 */
export async function withPrivateScratch<T>(options: ScratchOptions, use: (directory: string) => Promise<T>): Promise<T> {
  await removeDeadScratch(options)
  const root = await onFile(options.parent, mkdtemp(join(options.parent, prefix)))
  try {
    await onFile(root, writeFile(join(root, ownerFile), JSON.stringify(options.self), { mode: 0o600 }))
    return await use(await makePrivateDirectory(join(root, 'work')))
  } finally {
    await rm(root, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** Makes a directory that only this user may enter. @returns its path */
export async function makePrivateDirectory(path: string): Promise<string> {
  await onFile(path, mkdir(path, { mode: 0o700 }))
  return path
}

/** @returns the bytes that are free where scratch directories are made */
export async function freeBytesOf(directory: string): Promise<number> {
  const { bavail, bsize } = await onFile(directory, statfs(directory))
  return bavail * bsize
}

/** Only what lies there under our name, is a directory of this user's own, and names a process that is certainly gone. */
async function removeDeadScratch({ parent, isDead }: ScratchOptions): Promise<void> {
  for (const name of await onFile(parent, readdir(parent))) {
    if (!name.startsWith(prefix)) continue
    const path = join(parent, name)
    try {
      const stats = await lstat(path)
      if (!stats.isDirectory() || stats.uid !== process.getuid?.()) continue
      const owner = await readOwner(path)
      const isOld = Date.now() - stats.mtimeMs > 3_600_000
      // A run that was killed before it wrote its name, or while it did, left it empty or without a word in that file; nobody takes an hour for this.
      if (owner === 'unfinished' ? isOld : owner !== undefined && isDead(owner)) await rm(path, { recursive: true, force: true })
      else if (owner === undefined && isOld) await rmdir(path)
    } catch (error) {
      // Another run clears away at the same moment; what is not empty is somebody's.
      if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(systemCode(error) ?? '')) throw error
    }
  }
}

async function readOwner(path: string): Promise<ScratchOwner | 'unfinished' | undefined> {
  try {
    const text = await readFile(join(path, ownerFile), 'utf8')
    return text === '' ? 'unfinished' : ownerSchema.parse(JSON.parse(text))
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || error instanceof SyntaxError || error instanceof z.ZodError) return undefined
    throw error
  }
}
