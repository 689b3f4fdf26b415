const grainBytes = 1024 * 1024
/** What one that was filled once may keep while little is asked of it. */
const mostIdleBytes = 4 * grainBytes

/**
 * Memory of one user who needs as much again and again: what large buffers leave to the garbage collector lies about for long, since V8 hardly
 * sees it. What was not written to yet takes none.
 */
export class ReusedBuffer {
  #memory: Buffer = Buffer.alloc(0)

  /** For about so many bytes from now on: what lay in it is given up, and memory that is far too large. */
  begin(expectedBytes: number): void {
    const wasteful = this.#memory.length > Math.max(mostIdleBytes, 4 * expectedBytes)
    if (wasteful || this.#memory.length < expectedBytes) this.#memory = Buffer.allocUnsafeSlow(Math.ceil(expectedBytes / grainBytes) * grainBytes)
  }

  /** The bytes [start, end), to be written to; those before `start` stay what they are. */
  range(start: number, end: number): Buffer {
    if (this.#memory.length < end) {
      const larger = Buffer.allocUnsafeSlow(Math.ceil(Math.max(end, 2 * start) / grainBytes) * grainBytes)
      larger.set(this.#memory.subarray(0, start))
      this.#memory = larger
    }
    return this.#memory.subarray(start, end)
  }
}
