import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { type Body, bytesBody, type ObjectStore } from '../../src/stores/object-store.ts'

export function textBody(content: string): Body {
  return bytesBody(Buffer.from(content))
}

/** `sizeBytes` of bytes that depend on `seed` alone and do not repeat within a part, given in chunks. */
export function patternBody(sizeBytes: number, seed = 1): Body {
  return {
    sizeBytes,
    async *open() {
      const chunkBytes = 256 * 1024
      for (let offset = 0; offset < sizeBytes; offset += chunkBytes) {
        yield patternChunk(Math.min(chunkBytes, sizeBytes - offset), seed + offset / chunkBytes)
      }
    },
  }
}

function patternChunk(sizeBytes: number, seed: number): Buffer {
  const chunk = Buffer.alloc(sizeBytes, createHash('sha512').update(String(seed)).digest())
  return chunk
}

export async function digestOf(source: AsyncIterable<Uint8Array> | Readable): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of source as AsyncIterable<Uint8Array>) hash.update(chunk)
  return hash.digest('hex')
}

export async function readText(store: ObjectStore, key: string): Promise<string> {
  return text((await store.get(key)).body)
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = []
  for await (const item of items) collected.push(item)
  return collected
}

export async function keysOf(store: ObjectStore, prefix = ''): Promise<string[]> {
  return (await collect(store.list(prefix))).map((object) => object.key)
}
