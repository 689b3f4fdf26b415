import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { readRange } from '../system/file-reader.ts'

const readBytes = 1024 * 1024

/** A local file as something to upload: it is opened anew for each try. Structurally a `Body` of the object stores. */
export function fileBody(path: string, sizeBytes: number): { sizeBytes: number; open(): Readable } {
  return { sizeBytes, open: () => createReadStream(path, { highWaterMark: readBytes }) }
}

/** The bytes of a file that is finished and may be large and cold. One that grew gives one byte more than it should have, which is refused. */
export async function* readFinishedFile(path: string, sizeBytes: number): AsyncGenerator<Buffer, void, undefined> {
  const handle = await open(path, 'r')
  try {
    yield* readRange(handle, 0, sizeBytes + 1)
  } finally {
    await handle.close()
  }
}
