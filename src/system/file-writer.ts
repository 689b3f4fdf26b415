import type { FileHandle } from 'node:fs/promises'
import { systemCode } from '../errors.ts'
import { giveBack, isAligned, isLent, openDirect, recycle, takeBuffer, transferBytes } from './direct-io.ts'

/** Bytes in the page cache after which the disk is set to work, so that the last fsync is short. */
const writeBehindBytes = 64 * 1024 * 1024

/**
 * Writes a file from some position on, in order: one buffer is filled while the other is written, large files past the page
 * cache. Nothing is synced to the disk: that is for the owner of the handle to do.
 */
export class FileWriter {
  readonly #handle: FileHandle
  #direct: FileHandle | undefined
  #buffer = takeBuffer()
  #filled = 0
  /** Where the buffer's first byte goes. */
  #position: number
  #writing: Promise<void> = Promise.resolve()
  #syncing: Promise<void> | undefined
  #syncFailure: unknown
  #unsyncedBytes = 0

  private constructor(handle: FileHandle, direct: FileHandle | undefined, position: number) {
    this.#handle = handle
    this.#direct = direct
    this.#position = position
  }

  /** `handle` is open for writing and stays the caller's; `expectedBytes` from `position` on are to come. */
  static async open(handle: FileHandle, position: number, expectedBytes: number): Promise<FileWriter> {
    return new FileWriter(handle, await openDirect(handle, 'write', expectedBytes), position)
  }

  /** Takes a copy of the bytes; waits while the disk is behind. Throws what an earlier write failed with. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let taken = 0; taken < bytes.byteLength; ) {
      // Buffers end where direct transfers may begin.
      const room = transferBytes - (this.#position % transferBytes) - this.#filled
      const part = bytes.subarray(taken, taken + room)
      this.#buffer.set(part, this.#filled)
      this.#filled += part.byteLength
      taken += part.byteLength
      if (part.byteLength === room) await this.#sendBuffer()
    }
  }

  /** As `write`, for the last who looks at the piece: its memory is the writer's from now on, who recycles it. */
  async take(piece: Uint8Array): Promise<void> {
    if (this.#filled === 0 && piece.byteLength === transferBytes && isLent(piece)) return this.#send(piece, () => recycle(piece))
    await this.write(piece)
    recycle(piece)
  }

  /** Resolves when everything that was taken is in the file. */
  async flush(): Promise<void> {
    if (this.#filled > 0) await this.#sendBuffer()
    await this.#writing
    await this.#syncing
    if (this.#syncFailure !== undefined) throw this.#syncFailure
  }

  /** To be called in any case: waits for what is under way, so that the handle may be closed. */
  async close(): Promise<void> {
    await this.#writing.catch(() => undefined)
    await this.#syncing
    giveBack(this.#buffer)
    const direct = this.#direct
    this.#direct = undefined
    await direct?.close()
  }

  async #sendBuffer(): Promise<void> {
    const buffer = this.#buffer
    await this.#send(buffer.subarray(0, this.#filled), () => giveBack(buffer))
    this.#buffer = takeBuffer()
    this.#filled = 0
  }

  /** Waits for the write before. */
  async #send(bytes: Uint8Array, done: () => void): Promise<void> {
    await this.#writing
    this.#writing = this.#writeOut(bytes, this.#position).finally(done)
    // Its failure is met at the next write or at the end.
    this.#writing.catch(() => undefined)
    this.#position += bytes.byteLength
  }

  async #writeOut(bytes: Uint8Array, position: number): Promise<void> {
    for (let written = 0; written < bytes.byteLength; ) {
      written += await this.#writeSome(bytes.subarray(written), position + written)
    }
  }

  async #writeSome(bytes: Uint8Array, position: number): Promise<number> {
    if (this.#direct !== undefined && isAligned(position, bytes.byteLength)) {
      try {
        return (await this.#direct.write(bytes, 0, bytes.byteLength, position)).bytesWritten
      } catch (error) {
        if (systemCode(error) !== 'EINVAL') throw error
      }
    }
    const { bytesWritten } = await this.#handle.write(bytes, 0, bytes.byteLength, position)
    this.#writeBehind(bytesWritten)
    return bytesWritten
  }

  #writeBehind(bytes: number): void {
    this.#unsyncedBytes += bytes
    if (this.#unsyncedBytes < writeBehindBytes || this.#syncing !== undefined) return
    this.#unsyncedBytes = 0
    // The system tells of bytes that it could not write only once: the fsync at the end would not hear of it.
    this.#syncing = this.#handle.datasync().then(() => (this.#syncing = undefined), (error: unknown) => void (this.#syncFailure = error))
  }
}
