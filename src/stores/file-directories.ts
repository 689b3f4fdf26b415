import { lstat, mkdir, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import pLimit from 'p-limit'
import { systemCode } from '../errors.ts'
import { syncPath } from '../system/sync-path.ts'

const rememberedDirectories = 20_000
const parallelRemovals = 16
const directoryMode = 0o750

export interface DurableDirectories {
  /** Makes the directory and its parents, and the entries of all of them up to the root durable. */
  ensure(directory: string): Promise<void>
  /** To be called when a directory turned out to be gone, so that `ensure` makes it again. */
  forget(directory: string): void
  /** Removes those of the directories, and of their parents, that are empty now; makes the removals durable. */
  removeEmpty(directories: Iterable<string>): Promise<void>
}

/** The directories of a file store below `root`, whose entries survive a power cut. */
export function createDurableDirectories(root: string): DurableDirectories {
  const durable = new Set<string>()

  async function ensure(directory: string): Promise<void> {
    if (durable.has(directory)) return
    await makeDirectories(directory)
    // Another process may have made the directory and not come to its fsync yet: what we did not sync ourselves is not durable.
    for (let child = directory; !durable.has(child); child = dirname(child)) {
      await syncPath(dirname(child))
      if (durable.size >= rememberedDirectories) durable.clear()
      durable.add(child)
      if (child === root) break
    }
  }

  function forget(directory: string): void {
    for (let child = directory; child.length >= root.length; child = dirname(child)) durable.delete(child)
  }

  async function removeEmpty(directories: Iterable<string>): Promise<void> {
    const kept = new Set<string>()
    const limit = pLimit(parallelRemovals)
    for (let level = new Set(directories); level.size > 0; ) {
      const parents = new Set<string>()
      await Promise.all(
        [...level].map((directory) =>
          limit(async () => {
            if (directory.length <= root.length || !(await removedOrGone(directory))) {
              kept.add(directory)
              return
            }
            durable.delete(directory)
            kept.delete(directory)
            parents.add(dirname(directory))
          }),
        ),
      )
      level = parents
    }
    await Promise.all([...kept].map((directory) => limit(() => syncPath(directory).catch(ignoreMissing))))
  }

  return { ensure, forget, removeEmpty }
}

async function makeDirectories(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: directoryMode })
  } catch (error) {
    const outermost = (await missingDirectories(directory)).at(-1)
    if (systemCode(error) !== 'ENOENT' || outermost === undefined) throw error
    // Node says ENOENT where the file system is read-only; of a single directory it says why.
    await mkdir(outermost, { mode: directoryMode }).catch((refusal: unknown) => {
      if (systemCode(refusal) !== 'EEXIST') throw refusal
    })
    await mkdir(directory, { recursive: true, mode: directoryMode })
  }
}

/** The directory and those above it that are not there, the innermost first. */
export async function missingDirectories(directory: string): Promise<string[]> {
  const missing: string[] = []
  for (let each = directory; each !== dirname(each) && !(await isThere(each)); each = dirname(each)) missing.push(each)
  return missing
}

/** Removes directories, each of which lies in the next, up to one that is not empty. */
export async function removeDirectories(innermostFirst: readonly string[]): Promise<void> {
  for (const directory of innermostFirst) if (!(await removedOrGone(directory))) return
}

/** What cannot be looked at is somebody's. */
async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(() => true, (error: unknown) => systemCode(error) !== 'ENOENT')
}

/** True when the directory is not there afterwards. */
async function removedOrGone(directory: string): Promise<boolean> {
  try {
    await rmdir(directory)
    return true
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT') return true
    // EBUSY: it is a mount point.
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'EBUSY') return false
    throw error
  }
}

function ignoreMissing(error: unknown): void {
  if (systemCode(error) !== 'ENOENT') throw error
}
