import { type FileHandle, mkdir, open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { PromDrError, systemCode } from '../errors.ts'

/** Writes a file that must not be there yet; its directory is made where it is missing. @throws USAGE when it is, FILE_SYSTEM */
export async function writeNewFile(path: string, text: string, mode = 0o600): Promise<void> {
  const handle = await openNew(path, mode).catch((error: unknown) => {
    if (systemCode(error) === 'EEXIST') throw new PromDrError('USAGE', `${path} is there already`, { hint: 'it was left alone; give --output another path, or --stdout' })
    throw new PromDrError('FILE_SYSTEM', `cannot write ${path}: ${systemCode(error) ?? String(error)}`, { hint: 'give --output a path in a directory that you may write to', cause: error })
  })
  try {
    await handle.writeFile(text)
    await handle.sync()
  } catch (error) {
    await rm(path, { force: true })
    throw new PromDrError('FILE_SYSTEM', `cannot write ${path}: ${systemCode(error) ?? String(error)}`, { cause: error })
  } finally {
    await handle.close()
  }
}

async function openNew(path: string, mode: number): Promise<FileHandle> {
  await mkdir(dirname(path), { recursive: true })
  return open(path, 'wx', mode)
}
