import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { hasCode, systemCode } from '../errors.ts'
import { FileWriter } from '../system/file-writer.ts'
import { dataFileError } from './file-errors.ts'
import { type ExpectedFile, FileIntake } from './file-intake.ts'
import type { StreamChecker } from './stream-checker.ts'

export interface ReceiveRequest<Result> extends ExpectedFile {
  /** The bytes from `startByte` on. */
  open(startByte: number): Promise<AsyncIterable<Uint8Array>>
  /** A new checker for each try. */
  checker?: (() => StreamChecker<Result>) | undefined
  /** How many bytes are there, and how many of them were found in place; negative when they have to come again. */
  onBytes(received: number, resumed: number): void
  signal: AbortSignal
}

const readBytes = 1024 * 1024

/**
 * Brings a file to `path`: what an interrupted run left of it is read and checked first and only the rest is asked for. The
 * file has its name only when every byte was checked and is on disk.
 * @returns what the checker found; undefined without one
 * @throws DAMAGED (nothing is left at `path`), DISK_FULL, INTERRUPTED, and what `open` throws
 */
export async function receiveFile<Result>(path: string, request: ReceiveRequest<Result>): Promise<Result | undefined> {
  await mkdir(dirname(path), { recursive: true }).catch((error: unknown) => {
    throw dataFileError(error, path)
  })
  const whole = await checkExisting(path, request)
  if (whole !== undefined) return whole.result
  return receive(path, request)
}

/** The file at `path` when it is whole and right; undefined when it is missing or has to come again. */
async function checkExisting<Result>(path: string, request: ReceiveRequest<Result>): Promise<{ result: Result | undefined } | undefined> {
  const intake = new FileIntake(path, request, request.checker)
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
    if (['ENOENT', 'ELOOP'].includes(systemCode(error) ?? '')) return undefined
    throw dataFileError(error, path)
  })
  if (handle === undefined) return undefined
  try {
    for await (const piece of handle.createReadStream({ highWaterMark: readBytes, autoClose: false })) {
      request.signal.throwIfAborted()
      intake.take(piece as Buffer)
    }
    const result = intake.end()
    request.onBytes(request.sizeBytes, request.sizeBytes)
    return { result }
  } catch (error) {
    if (hasCode(error, 'DAMAGED')) return undefined
    throw error
  } finally {
    await handle.close()
  }
}

async function receive<Result>(path: string, request: ReceiveRequest<Result>): Promise<Result | undefined> {
  const partial = `${path}.partial`
  const handle = await open(partial, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o644).catch((error: unknown) => {
    throw dataFileError(error, partial)
  })
  try {
    const intake = new FileIntake(path, request, request.checker)
    const resumedBytes = await takePartial(handle, intake, request)
    const result = await fill(handle, { intake, from: resumedBytes, request }).catch(async (error: unknown) => {
      if (!hasCode(error, 'DAMAGED')) throw error
      // What did not check out must not be resumed. It may be what an earlier run left (a power cut writes zeros): once more, from the start.
      await handle.truncate(0)
      if (resumedBytes === 0) throw error
      intake.restart()
      return fill(handle, { intake, from: 0, request })
    })
    await handle.sync()
    await rename(partial, path)
    return result
  } catch (error) {
    throw dataFileError(error, partial)
  } finally {
    await handle.close()
  }
}

/** Writes what follows `from`, and checks that all of it is right. */
async function fill<Result>(handle: FileHandle, work: { intake: FileIntake<Result>; from: number; request: ReceiveRequest<Result> }): Promise<Result | undefined> {
  const { intake, from, request } = work
  const writer = await FileWriter.open(handle, from, request.sizeBytes - from)
  let at = from
  try {
    request.onBytes(from, from)
    for await (const piece of from === request.sizeBytes ? [] : await request.open(from)) {
      request.signal.throwIfAborted()
      intake.take(piece)
      at += piece.byteLength
      request.onBytes(piece.byteLength, 0)
      await writer.take(piece)
    }
    await writer.flush()
    return intake.end()
  } catch (error) {
    request.onBytes(-at, -from)
    // What came is kept for the next run.
    await writer.flush().catch(() => undefined)
    throw error
  } finally {
    // Nothing is written behind the back of those who truncate or close the file.
    await writer.close()
  }
}

/** Feeds what is there already; a part that is longer than the file or does not check out is thrown away. @returns the next byte */
async function takePartial<Result>(handle: FileHandle, intake: FileIntake<Result>, { signal }: ReceiveRequest<Result>): Promise<number> {
  const { size } = await handle.stat()
  if (size === 0) return 0
  try {
    let at = 0
    const buffer = Buffer.allocUnsafe(readBytes)
    while (at < size) {
      signal.throwIfAborted()
      const { bytesRead } = await handle.read(buffer, 0, readBytes, at)
      if (bytesRead === 0) break
      intake.take(buffer.subarray(0, bytesRead))
      at += bytesRead
    }
    return at
  } catch (error) {
    if (!hasCode(error, 'DAMAGED')) throw error
    await handle.truncate(0)
    intake.restart()
    return 0
  }
}
