import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { type FileHandle, open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { leastLargeBytes, recycle, transferBytes } from '../../src/system/direct-io.ts'
import { readRange } from '../../src/system/file-reader.ts'
import { FileWriter } from '../../src/system/file-writer.ts'
import { needPrograms } from '../support/programs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const mebibyte = 1024 * 1024
const content = randomBytes(leastLargeBytes + 3 * mebibyte + 1234)

let path: string
let opened: FileHandle[]

beforeEach(async () => {
  path = join(await temporaryDirectory(), 'file')
  opened = []
})

afterEach(() => Promise.all(opened.map((handle) => handle.close())))

async function opening(flags: string, file = path): Promise<FileHandle> {
  const handle = await open(file, flags)
  opened.push(handle)
  return handle
}

async function writeAll(handle: FileHandle, bytes: Buffer, { position = 0, pieceBytes = 100_000 } = {}): Promise<void> {
  const writer = await FileWriter.open(handle, position, bytes.length)
  try {
    for (let at = 0; at < bytes.length; at += pieceBytes) await writer.write(bytes.subarray(at, at + pieceBytes))
    await writer.flush()
  } finally {
    await writer.close()
  }
}

async function bytesOf(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = []
  for await (const piece of pieces) {
    all.push(Buffer.from(piece))
    recycle(piece)
  }
  return Buffer.concat(all)
}

const edges = [0, 1, 4095, 4096, 4097, mebibyte - 1, mebibyte, mebibyte + 1, leastLargeBytes, leastLargeBytes + 1, content.length]
const offset = fc.oneof(fc.constantFrom(...edges), fc.integer({ min: 0, max: content.length }))

describe('a file that is written in pieces', () => {
  it('has their bytes, wherever it starts and however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(offset, offset, fc.constantFrom(777_777, 65_536, mebibyte, 3 * mebibyte + 5), async (a, b, pieceBytes) => {
        const [position, end] = [Math.min(a, b), Math.max(a, b)]
        await writeFile(path, content.subarray(0, position))
        await writeAll(await opening('r+'), content.subarray(position, end), { position, pieceBytes })
        expect((await readFile(path)).equals(content.subarray(0, end))).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  it('may be written from memory that is used again at once', async () => {
    const handle = await opening('w')
    const writer = await FileWriter.open(handle, 0, content.length)
    const memory = Buffer.alloc(333_333)
    for (let at = 0; at < content.length; at += memory.length) {
      const bytes = content.copy(memory, 0, at)
      await writer.write(memory.subarray(0, bytes))
    }
    await writer.flush()
    await writer.close()
    expect((await readFile(path)).equals(content)).toBe(true)
  })

  it.each([1000, content.length])('tells of %i bytes that did not fit, and can be closed all the same', async (bytes) => {
    const writer = await FileWriter.open(await opening('w', '/dev/full'), 0, bytes)
    await expect(writer.write(content.subarray(0, bytes)).then(() => writer.flush())).rejects.toMatchObject({ code: 'ENOSPC' })
    await expect(writer.flush()).rejects.toMatchObject({ code: 'ENOSPC' })
    await writer.close()
  })
})

describe('a range of a file', () => {
  beforeEach(() => writeFile(path, content))

  it('is read byte for byte, wherever it begins and ends', async () => {
    const handle = await opening('r')
    await fc.assert(
      fc.asyncProperty(offset, offset, async (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)]
        expect((await bytesOf(readRange(handle, start, end))).equals(content.subarray(start, end))).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('ends where the file ends', async () => {
    const handle = await opening('r')
    expect((await bytesOf(readRange(handle, 5, content.length + 20 * mebibyte))).equals(content.subarray(5))).toBe(true)
    expect(await bytesOf(readRange(handle, content.length, content.length + 20 * mebibyte))).toHaveLength(0)
  })

  it('comes in pieces that may be kept', async () => {
    const handle = await opening('r')
    const pieces: Buffer[] = []
    for await (const piece of readRange(handle, 0, content.length)) pieces.push(piece)
    await bytesOf(readRange(handle, 0, content.length))
    expect(Buffer.concat(pieces).equals(content)).toBe(true)
  })

  it('is read into memory that was given back, but not into parts of a piece', async () => {
    const handle = await opening('r')
    const places = async (giveBack: (piece: Buffer) => void) => {
      const found: Buffer[] = []
      for await (const piece of readRange(handle, 0, content.length)) {
        if (!found.some(({ buffer, byteOffset }) => buffer === piece.buffer && byteOffset === piece.byteOffset)) found.push(piece)
        giveBack(piece)
      }
      return found.length
    }
    const pieces = Math.ceil(content.length / transferBytes)
    expect(await places((piece) => [piece.subarray(0, 1000), piece.subarray(1000)].forEach(recycle))).toBe(pieces)
    expect(await places((piece) => [piece, piece].forEach(recycle))).toBeLessThan(pieces)
  })

  it('can be left early, with the handle free to be closed', async () => {
    const handle = await opening('r')
    for await (const piece of readRange(handle, 0, content.length)) {
      expect(piece).toHaveLength(transferBytes)
      break
    }
  })
})

describe('large files', () => {
  it('leave no more in the page cache than direct transfers of dd do', async (context) => {
    needPrograms(context, 'dd', 'fincore')
    const run = promisify(execFile)
    const other = `${path}-of-dd`
    await writeFile(`${path}-source`, content)
    // Where there are no direct transfers, dd cannot make any either.
    const copied = await run('dd', [`if=${path}-source`, `of=${other}`, 'bs=1M', 'oflag=direct', 'conv=fsync']).catch((error: unknown) => void error)
    if (copied === undefined) context.skip('this file system has no direct transfers')
    const handle = await opening('w')
    await writeAll(handle, content)
    await handle.sync()
    await bytesOf(readRange(await opening('r'), 0, content.length))
    const cachedBytes = async (file: string) => Number((await run('fincore', ['--bytes', '--noheadings', '--output', 'RES', file])).stdout)
    expect(await cachedBytes(path)).toBeLessThanOrEqual((await cachedBytes(other)) + 128 * 1024)
  })
})
