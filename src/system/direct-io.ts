import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { systemCode } from '../errors.ts'

/** The part of it that is used; Node's types do not have it. */
declare const WebAssembly: { Memory: new (pages: { initial: number; maximum: number }) => { buffer: ArrayBuffer } }

/** Direct transfers begin and end at multiples of this: no disk has larger blocks. */
const blockBytes = 4096
/** Of one transfer. */
export const transferBytes = 1024 * 1024
/** For less, the page cache costs nothing. */
export const leastLargeBytes = 8 * 1024 * 1024
const slabBuffers = 16
const mostSlabs = 8
const wasmPageBytes = 65_536

const free: Buffer[] = []
let slabs = 0
/** A slab is gone when nobody has any of it, free or lent: memory that is not recycled only has to wait for the garbage collector. */
const goneSlabs = new FinalizationRegistry(() => slabs--)
/** Of each slab, the pieces of files that are in the hands of others: their lengths by their offsets. */
const lent = new WeakMap<ArrayBufferLike, Map<number, number>>()

/** Memory for a transfer, at a page boundary as direct ones need it (while there is some: `addSlab`). */
export function takeBuffer(): Buffer {
  if (free.length === 0 && slabs < mostSlabs) addSlab()
  return free.pop() ?? Buffer.allocUnsafeSlow(transferBytes)
}

/** The one kind of memory in JavaScript that begins at a page. Where address space is limited there is none of it. */
function addSlab(): void {
  slabs++
  try {
    const pages = (slabBuffers * transferBytes) / wasmPageBytes
    const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages })
    lent.set(buffer, new Map())
    goneSlabs.register(buffer, undefined)
    for (let index = slabBuffers - 1; index >= 0; index--) free.push(Buffer.from(buffer, index * transferBytes, transferBytes))
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
}

/** To be called when no transfer uses it any more. */
export function giveBack(buffer: Buffer): void {
  if (lent.has(buffer.buffer)) free.push(buffer)
}

/** The first bytes of a buffer from `takeBuffer`, for others to keep or to `recycle`. */
export function lend(buffer: Buffer, bytes: number): Buffer {
  lent.get(buffer.buffer)?.set(buffer.byteOffset, bytes)
  return buffer.subarray(0, bytes)
}

/** True of a whole piece that was lent: its memory begins at a page. */
export function isLent(piece: Uint8Array): boolean {
  return lent.get(piece.buffer)?.get(piece.byteOffset) === piece.byteLength
}

/**
 * For the last who looks at these bytes, wherever they came from: memory that was lent is used again, which spares the garbage
 * collector a gigabyte a gigabyte. Anything else, parts of a piece too, is left alone.
 */
export function recycle(piece: Uint8Array): void {
  if (!isLent(piece)) return
  lent.get(piece.buffer)?.delete(piece.byteOffset)
  free.push(Buffer.from(piece.buffer, piece.byteOffset, transferBytes))
}

/**
 * An open file once more, past the page cache: between the disk and memory of ours. Copying gigabytes through the cache costs
 * more than reading, checking and writing them, and throws out of it what the server on this host works with.
 * @param bytes how much is to be transferred
 * @returns undefined where that is little, or the file system has no direct transfers
 */
export async function openDirect(handle: FileHandle, mode: 'read' | 'write', bytes: number): Promise<FileHandle | undefined> {
  if (bytes < leastLargeBytes || constants.O_DIRECT === undefined) return undefined
  try {
    // By way of /proc it is the file that is open, whatever has its name by now.
    return await open(`/proc/self/fd/${handle.fd}`, constants.O_DIRECT | (mode === 'read' ? constants.O_RDONLY : constants.O_WRONLY))
  } catch (error) {
    if (systemCode(error) === undefined) throw error
    return undefined
  }
}

/** True where a transfer may be direct. */
export function isAligned(position: number, bytes = 0): boolean {
  return position % blockBytes === 0 && bytes % blockBytes === 0
}
