import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'

const readBytes = 1024 * 1024

/** A local file as something to upload: it is opened anew for each try. Structurally a `Body` of the object stores. */
export function fileBody(path: string, sizeBytes: number): { sizeBytes: number; open(): Readable } {
  return { sizeBytes, open: () => createReadStream(path, { highWaterMark: readBytes }) }
}
