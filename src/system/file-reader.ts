import type { FileHandle } from 'node:fs/promises'
import { systemCode } from '../errors.ts'
import { giveBack, isAligned, leastLargeBytes, lend, openDirect, takeBuffer, transferBytes } from './direct-io.ts'

/** Pieces read before they are asked for. */
const piecesAhead = 3

/**
 * Bytes [start, end) of an open file, in pieces that are the caller's to keep (or to `recycle`), read ahead; large ranges past
 * the page cache. Ends early where the file does. The handle stays the caller's, who closes it after the generator has ended.
 */
export async function* readRange(handle: FileHandle, start: number, end: number): AsyncGenerator<Buffer, void, undefined> {
  const large = end - start >= leastLargeBytes
  const direct = await openDirect(handle, 'read', end - start)
  const ahead: Promise<Buffer>[] = []
  let next = start
  const readAhead = () => {
    while (ahead.length < piecesAhead && next < end) {
      // Pieces end where transfers may begin.
      const pieceEnd = Math.min(end, next - (next % transferBytes) + transferBytes)
      const reading = large ? readLarge({ handle, direct }, next, pieceEnd) : readSmall(handle, next, pieceEnd)
      reading.catch(() => undefined)
      ahead.push(reading)
      next = pieceEnd
    }
  }
  try {
    for (readAhead(); ahead.length > 0; readAhead()) {
      const piece = await (ahead.shift() as Promise<Buffer>)
      if (piece.length === 0) return
      yield piece
    }
  } finally {
    await Promise.allSettled(ahead)
    await direct?.close()
  }
}

async function readSmall(handle: FileHandle, position: number, end: number): Promise<Buffer> {
  const piece = Buffer.allocUnsafe(end - position)
  return piece.subarray(0, await fill(handle, piece, { position, filled: 0 }))
}

async function readLarge({ handle, direct }: { handle: FileHandle; direct: FileHandle | undefined }, position: number, end: number): Promise<Buffer> {
  const buffer = takeBuffer()
  try {
    const filled = direct !== undefined && isAligned(position) ? await readDirectly(direct, buffer, position) : 0
    return lend(buffer, Math.min(end - position, await fill(handle, buffer.subarray(0, end - position), { position, filled })))
  } catch (error) {
    giveBack(buffer)
    throw error
  }
}

/** Reads until the piece is full or the file ends. @returns how many bytes the piece has then */
async function fill(handle: FileHandle, piece: Buffer, { position, filled }: { position: number; filled: number }): Promise<number> {
  let at = filled
  while (at < piece.length) {
    const { bytesRead } = await handle.read(piece, at, piece.length - at, position + at)
    if (bytesRead === 0) break
    at += bytesRead
  }
  return at
}

/** How many bytes were read; 0 where the file system wants it otherwise. */
async function readDirectly(direct: FileHandle, buffer: Buffer, position: number): Promise<number> {
  try {
    return (await direct.read(buffer, 0, transferBytes, position)).bytesRead
  } catch (error) {
    if (systemCode(error) === 'EINVAL') return 0
    throw error
  }
}
