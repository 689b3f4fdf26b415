import { Readable } from 'node:stream'
import { PromDrError } from '../errors.ts'
import type { ObjectReader, ObjectStore, ReadOptions } from './object-store.ts'
import type { Tries } from './retry-schedule.ts'

interface Resumption {
  store: ObjectStore
  key: string
  first: ObjectReader
  options: ReadOptions
  tries: Tries
}

/** A reader whose body, when it is cut, goes on with the bytes that are missing. */
export function resumingReader({ store, key, first, options, tries }: Resumption): ObjectReader {
  const end = Math.min(options.range?.end ?? first.sizeBytes, first.sizeBytes)
  let position = options.range?.start ?? 0
  let current: Readable | undefined = first.body

  async function* bytes(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      try {
        current ??= await reopen()
        for await (const chunk of current as AsyncIterable<Uint8Array>) {
          position += chunk.byteLength
          tries.progressed()
          yield chunk
        }
        tries.succeeded()
        return
      } catch (error) {
        current?.destroy()
        current = undefined
        await tries.waitAfter(error, options.signal)
        // Everything came, and then the connection failed.
        if (position === end) return
      }
    }
  }

  async function reopen(): Promise<Readable> {
    const again = await store.get(key, { ...options, range: { start: position, end } })
    if (again.sizeBytes === first.sizeBytes && again.modifiedAt.getTime() === first.modifiedAt.getTime()) return again.body
    again.body.destroy()
    throw new PromDrError('STORE_BAD_RESPONSE', `${key} in ${store.url} was replaced while it was read`, { hint: 'run the command again' })
  }

  const body = Readable.from(bytes(), { objectMode: true, highWaterMark: 1 })
  // A generator that hangs in a read is not ended by destroying its stream: end what it reads.
  body.once('close', () => current?.destroy())
  // Until the first read nobody else listens; the generator meets the error when it comes to read.
  first.body.on('error', () => undefined)
  return { sizeBytes: first.sizeBytes, modifiedAt: first.modifiedAt, body }
}
