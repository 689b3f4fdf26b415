import { readFile, readdir, readlink } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { systemCode } from '../errors.ts'

/**
 * Processes that have a file or their working directory below `directory`, as `name (pid n)`. Linux; processes that this
 * user may not look into are not seen.
 */
export async function processesUsing(directory: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of await entriesOf('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue
    if (await usesDirectory(pid, directory)) found.push(`${await commandOf(pid)} (pid ${pid})`)
  }
  return found
}

async function usesDirectory(pid: string, directory: string): Promise<boolean> {
  const descriptors = join('/proc', pid, 'fd')
  const links = [join('/proc', pid, 'cwd'), ...(await entriesOf(descriptors)).map((name) => join(descriptors, name))]
  for (const link of links) {
    const path = await targetOf(link)
    if (path === directory || path?.startsWith(directory + sep) === true) return true
  }
  return false
}

async function entriesOf(path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    return ignoreGone(error, [])
  }
}

async function targetOf(link: string): Promise<string | undefined> {
  try {
    return await readlink(link)
  } catch (error) {
    return ignoreGone(error, undefined)
  }
}

async function commandOf(pid: string): Promise<string> {
  try {
    return (await readFile(join('/proc', pid, 'comm'), 'utf8')).trim()
  } catch (error) {
    return ignoreGone(error, 'a process')
  }
}

/** Processes end while they are looked at, and others are not ours to look at. */
function ignoreGone<T>(error: unknown, answer: T): T {
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENOTDIR', 'EINVAL'].includes(systemCode(error) ?? '')) return answer
  throw error
}
