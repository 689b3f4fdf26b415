import { type Duplex, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** What comes out of a transform that is fed with `source`; the first failure of either side is thrown, the signal's as its reason. */
export async function* throughStream(source: AsyncIterable<Uint8Array>, transform: Duplex, signal: AbortSignal): AsyncGenerator<Buffer> {
  const fed = pipeline(Readable.from(source), transform, { signal })
  // Its failure destroys the stream that is read, which throws it there.
  fed.catch(() => undefined)
  try {
    yield* transform as AsyncIterable<Buffer>
    await fed
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    transform.destroy()
  }
}
