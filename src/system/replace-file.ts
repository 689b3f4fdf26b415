import { open, rename, rm } from 'node:fs/promises'

export interface ReplaceOptions {
  /** Whatever the umask is. Default: 0o644 less the umask. */
  mode?: number
}

/**
 * Writes a small file so that who reads it sees the old content or the new one, also after a crash or a power cut: `<path>.tmp`, fsync, rename. A
 * temporary file that is there already, or a link in its place, is removed first. That the new name survives a power cut is for the caller (`syncPath`).
 * @throws what the system says
 */
export async function replaceFile(path: string, content: string | Uint8Array, { mode }: ReplaceOptions = {}): Promise<void> {
  const temporary = `${path}.tmp`
  await rm(temporary, { force: true })
  const handle = await open(temporary, 'wx', 0o644)
  try {
    if (mode !== undefined) await handle.chmod(mode)
    await handle.writeFile(content)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, path)
}
