import { interrupted, throwIfInterrupted } from './interruption.ts'

export interface PartBuffers {
  /** Waits until the buffer fits in; a buffer larger than everything allowed is given when no other is out. */
  acquire(sizeBytes: number, signal?: AbortSignal): Promise<Buffer>
  release(buffer: Buffer): void
}

interface Waiting {
  sizeBytes: number
  give(buffer: Buffer): void
}

/** Buffers of all uploads of one store together, so that memory has one bound however many objects are under way. */
export function createPartBuffers(limitBytes: number, usualBytes: number): PartBuffers {
  const free: Buffer[] = []
  const waiting: Waiting[] = []
  let outBytes = 0

  function fits(sizeBytes: number): boolean {
    return outBytes === 0 || outBytes + sizeBytes <= limitBytes
  }

  function take(sizeBytes: number): Buffer {
    outBytes += sizeBytes
    if (sizeBytes === usualBytes) return free.pop() ?? Buffer.allocUnsafeSlow(sizeBytes)
    return Buffer.allocUnsafeSlow(sizeBytes)
  }

  return {
    async acquire(sizeBytes, signal) {
      throwIfInterrupted(signal)
      if (waiting.length === 0 && fits(sizeBytes)) return take(sizeBytes)
      return await new Promise<Buffer>((resolve, reject) => {
        const entry: Waiting = {
          sizeBytes,
          give(buffer) {
            signal?.removeEventListener('abort', onAbort)
            resolve(buffer)
          },
        }
        const onAbort = () => {
          waiting.splice(waiting.indexOf(entry), 1)
          reject(interrupted(signal))
        }
        signal?.addEventListener('abort', onAbort, { once: true })
        waiting.push(entry)
      })
    },
    release(buffer) {
      outBytes -= buffer.byteLength
      if (buffer.byteLength === usualBytes) free.push(buffer)
      for (let next = waiting[0]; next !== undefined && fits(next.sizeBytes); next = waiting[0]) {
        waiting.shift()
        next.give(take(next.sizeBytes))
      }
    },
  }
}
