import { createWriteStream } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { runProgram } from '../../src/system/process.ts'

/**
 * Makes a data directory in which a server stops in the middle of its WAL replay until `resume` is called: its second
 * segment is a named pipe. Deterministic where a large WAL would be a race.
 */
export async function makePausedReplay(dataDir: string): Promise<{ resume(): Promise<void> }> {
  await mkdir(join(dataDir, 'wal'), { recursive: true })
  // The first is looked at before the replay, for the format of the very first releases.
  await writeFile(join(dataDir, 'wal', '00000000'), '')
  const pipe = join(dataDir, 'wal', '00000001')
  const { exitCode, stderr } = await runProgram('mkfifo', [pipe])
  if (exitCode !== 0) throw new Error(stderr)
  return {
    resume: async () => {
      const writer = createWriteStream(pipe)
      writer.end()
      await finished(writer)
    },
  }
}
