import { createReadStream } from 'node:fs'
import { chmod, chown, mkdir, open, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ownerNumbers } from '../../system/machine.ts'
import { syncPath } from '../../system/sync-path.ts'
import { statOf } from './file-access.ts'
import type { Placement } from './placement.ts'
import { newNameOf } from './restore-names.ts'

export interface WriteBesideOptions {
  attributes: 'here' | 'archived'
  warnings: string[]
}

/** Writes and fsyncs what a file is to become. @returns its path */
export async function writeBeside(placement: Placement, options: WriteBesideOptions): Promise<string> {
  const { destination, source, linkTo } = placement
  await makeDirectories(dirname(destination))
  const temporary = newNameOf(destination)
  await rm(temporary, { force: true })
  if (linkTo !== undefined) {
    await symlink(linkTo, temporary)
    return temporary
  }
  const handle = await open(temporary, 'wx', 0o600)
  try {
    await writeFile(handle, createReadStream(source))
    await handOver(temporary, placement, options)
    await handle.sync()
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  } finally {
    await handle.close()
  }
  return temporary
}

async function handOver(temporary: string, { source, destination, owner }: Placement, { attributes, warnings }: WriteBesideOptions): Promise<void> {
  const like = attributes === 'here' ? await statOf(destination) : undefined
  if (process.getuid?.() === 0) {
    const known = like ?? (owner === undefined ? undefined : await ownerNumbers(owner))
    if (known === undefined && owner !== undefined) warnings.push(`${destination} belonged to ${owner}, whom this machine does not know: it has its directory's owner now`)
    const { uid, gid } = known ?? (await stat(dirname(destination)))
    await chown(temporary, uid, gid)
  }
  await chmod(temporary, (like ?? (await stat(source))).mode & 0o777)
}

/** New directories belong to whom the one above them belongs. */
async function makeDirectories(path: string): Promise<void> {
  if ((await statOf(path))?.isDirectory() === true) return
  await makeDirectories(dirname(path))
  await mkdir(path, { mode: 0o755 })
  const { uid, gid } = await stat(dirname(path))
  if (process.getuid?.() === 0) await chown(path, uid, gid)
  await syncPath(dirname(path))
}
