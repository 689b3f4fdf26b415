import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { messageOf, PromDrError } from '../errors.ts'
import { interrupted } from './interruption.ts'
import type { Body } from './object-store.ts'

export interface BodyReader {
  /** The bytes, once. Throws when the source gives more or fewer than `sizeBytes`, or other bytes than `sha256` says. */
  chunks(): AsyncGenerator<Uint8Array, void, undefined>
  /** Lowercase hex of all bytes; call it after the last chunk. */
  sha256(): string
}

/**
 * Reads a body a single time and checks it on the way, so that a source that changed under us is never stored as
 * what it was announced to be.
 * @throws FILE_SYSTEM (the source), INTERRUPTED; a PromDrError of the source itself is passed on.
 */
export function readBody(key: string, body: Body, signal?: AbortSignal): BodyReader {
  const hash = createHash('sha256')
  let digest: string | undefined

  async function* chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    let seenBytes = 0
    for await (const chunk of abortable(body.open(), signal)) {
      seenBytes += chunk.byteLength
      if (seenBytes > body.sizeBytes) throw sizeError(key, body.sizeBytes, `more than ${body.sizeBytes}`)
      hash.update(chunk)
      yield chunk
    }
    if (seenBytes !== body.sizeBytes) throw sizeError(key, body.sizeBytes, String(seenBytes))
    digest = hash.digest('hex')
    if (body.sha256 !== undefined && body.sha256 !== digest) {
      throw new PromDrError('FILE_SYSTEM', `the source of ${key} has SHA-256 ${digest} where ${body.sha256} was announced`, {
        hint: 'the source changed while it was read; run the command again',
      })
    }
  }

  async function* guarded(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* chunks()
    } catch (error) {
      if (error instanceof PromDrError) throw error
      throw new PromDrError('FILE_SYSTEM', `the source of ${key} could not be read: ${messageOf(error)}`, { cause: error })
    }
  }

  return {
    chunks: guarded,
    sha256() {
      if (digest === undefined) throw new PromDrError('INTERNAL', `the digest of ${key} was asked for before its last byte`)
      return digest
    },
  }
}

function sizeError(key: string, announcedBytes: number, got: string): PromDrError {
  return new PromDrError('FILE_SYSTEM', `the source of ${key} gave ${got} bytes where ${announcedBytes} were announced`, {
    hint: 'the source changed while it was read; run the command again',
  })
}

/** Iterates the source, ending with INTERRUPTED as soon as the signal fires, also while the source hangs. */
export async function* abortable(
  source: Readable | AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = (source as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]()
  let rejectNext: ((reason: unknown) => void) | undefined
  let finished = false
  const onAbort = () => rejectNext?.(interrupted(signal))
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    for (;;) {
      if (signal?.aborted) throw interrupted(signal)
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        rejectNext = reject
        iterator.next().then(resolve, reject)
      })
      if (next.done) break
      yield next.value
    }
    finished = true
  } finally {
    signal?.removeEventListener('abort', onAbort)
    if (!finished) release(source, iterator)
  }
}

/** Not awaited: a generator that hangs in `next()` answers `return()` only when it wakes. */
function release(source: Readable | AsyncIterable<Uint8Array>, iterator: AsyncIterator<Uint8Array>): void {
  if (source instanceof Readable) source.destroy()
  iterator.return?.().catch(() => undefined)
}
