import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Flips bytes of what `write` makes a server log next, in the first segment of its WAL. @returns where the damage begins to be met: all before it is good */
export async function damageWhatIsLogged(dataDir: string, write: () => Promise<unknown>): Promise<number> {
  const segment = join(dataDir, 'wal', '00000000')
  const { size } = await stat(segment)
  await write()
  const file = await open(segment, 'r+')
  await file.write(Buffer.from([0xff, 0xff, 0xff]), 0, 3, size + 10)
  await file.close()
  return size
}
