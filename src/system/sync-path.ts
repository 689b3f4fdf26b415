import { open } from 'node:fs/promises'
import { systemCode } from '../errors.ts'

/** Makes the bytes of a file, or the names in a directory, survive a power cut. File systems that cannot do so (some network mounts) say EINVAL. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } catch (error) {
    if (systemCode(error) !== 'EINVAL') throw error
  } finally {
    await handle.close()
  }
}
