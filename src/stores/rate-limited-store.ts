import { Readable } from 'node:stream'
import type { Clock } from '../system/clock.ts'
import { abortable } from './body-reader.ts'
import { interrupted } from './interruption.ts'
import type { Body, ObjectStore } from './object-store.ts'

export interface RateLimits {
  uploadBytesPerSecond?: number
  downloadBytesPerSecond?: number
  clock: Clock
}

/** Bounds the bytes per second of bodies, of all calls together, in each direction; requests without a body are not held. */
export function createRateLimitedStore(store: ObjectStore, limits: RateLimits): ObjectStore {
  const up = createTokenBucket(limits.uploadBytesPerSecond, limits.clock)
  const down = createTokenBucket(limits.downloadBytesPerSecond, limits.clock)

  function slowed(body: Body, signal?: AbortSignal): Body {
    return { ...body, open: () => paced(body.open(), up, signal) }
  }

  return {
    url: store.url,
    listsInPages: store.listsInPages,
    create: (key, body, options) => store.create(key, slowed(body, options?.signal), options),
    put: (key, body, options) => store.put(key, slowed(body, options?.signal), options),
    async get(key, options) {
      const reader = await store.get(key, options)
      const body = Readable.from(paced(reader.body, down, options?.signal), { objectMode: false })
      body.once('close', () => reader.body.destroy())
      reader.body.on('error', () => undefined)
      return { ...reader, body }
    },
    head: (key, options) => store.head(key, options),
    list: (prefix, options) => store.list(prefix, options),
    listFolders: (prefix, options) => store.listFolders(prefix, options),
    delete: (keys, options) => store.delete(keys, options),
    now: (options) => store.now(options),
    capabilities: (prefix, options) => store.capabilities(prefix, options),
    close: () => store.close(),
  }
}

async function* paced(source: Readable | AsyncIterable<Uint8Array>, bucket: TokenBucket, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of abortable(source, signal)) {
    // In small slices, so that a short body never waits for the rest of a long one.
    for (let at = 0; at < chunk.byteLength; at += bucket.sliceBytes) {
      const slice = chunk.subarray(at, at + bucket.sliceBytes)
      await bucket.take(slice.byteLength, signal)
      yield slice
    }
  }
}

interface TokenBucket {
  /** What is asked for at a time. */
  sliceBytes: number
  /** Resolves when the bytes may go; a chunk larger than a second's worth is waited for afterwards, by the next. */
  take(bytes: number, signal?: AbortSignal): Promise<void>
}

function createTokenBucket(bytesPerSecond: number | undefined, clock: Clock): TokenBucket {
  if (bytesPerSecond === undefined) return { sliceBytes: Number.POSITIVE_INFINITY, take: async () => undefined }
  let tokens = bytesPerSecond
  let filledAtMs = clock.monotonicMs()

  return {
    sliceBytes: Math.max(1024, Math.min(64 * 1024, Math.floor(bytesPerSecond / 8))),
    async take(bytes, signal) {
      const nowMs = clock.monotonicMs()
      tokens = Math.min(bytesPerSecond, tokens + ((nowMs - filledAtMs) / 1000) * bytesPerSecond)
      filledAtMs = nowMs
      // Taken at once, also below zero: those who come later wait for this debt too, in the order in which they came.
      tokens -= bytes
      if (tokens >= 0) return
      try {
        await clock.sleep((-tokens / bytesPerSecond) * 1000, signal)
      } catch (error) {
        if (signal?.aborted) throw interrupted(signal)
        throw error
      }
    },
  }
}
