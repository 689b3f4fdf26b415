import { createHash } from 'node:crypto'
import { mkdir, readFile, readdir, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { PromDrError } from '../../src/errors.ts'
import { type ReceiveRequest, receiveFile } from '../../src/tsdb/receive-file.ts'
import { damagedAt } from '../../src/tsdb/stream-checker.ts'
import { rejectionOf } from '../support/operations.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const content = Buffer.alloc(3_000_000, createHash('sha512').update('content').digest())
const sha256 = createHash('sha256').update(content).digest('hex')

describe('a file that arrives', () => {
  let directory: string
  let path: string
  let counted: { bytes: number; resumed: number }
  let asked: number[]

  beforeEach(async () => {
    directory = await temporaryDirectory()
    path = join(directory, 'chunks', '000001')
    counted = { bytes: 0, resumed: 0 }
    asked = []
  })

  function request(more: Partial<ReceiveRequest<number>> & { source?: Buffer; cutAfter?: number } = {}): ReceiveRequest<number> {
    const { source = content, cutAfter, ...rest } = more
    return {
      sizeBytes: content.length, sha256, signal: new AbortController().signal,
      onBytes: (bytes, resumed) => {
        counted.bytes += bytes
        counted.resumed += resumed
      },
      open: async (startByte) => {
        asked.push(startByte)
        return pieces(source.subarray(startByte), cutAfter)
      },
      ...rest,
    }
  }

  async function expectWhole(expected: { resumed: number; asked: number[] }): Promise<void> {
    expect((await readFile(path)).equals(content)).toBe(true)
    expect(await readdir(join(directory, 'chunks'))).toEqual(['000001'])
    expect(counted).toEqual({ bytes: content.length, resumed: expected.resumed })
    expect(asked).toEqual(expected.asked)
  }

  it('has its name only when it is whole, and is asked for once', async () => {
    await receiveFile(path, request())
    await expectWhole({ resumed: 0, asked: [0] })
  })

  it('may have no bytes at all', async () => {
    await receiveFile(path, request({ sizeBytes: 0, sha256: createHash('sha256').digest('hex') }))
    expect((await stat(path)).size).toBe(0)
    expect(asked).toEqual([])
  })

  it('goes on where the connection was cut, byte for byte', async () => {
    const error = await rejectionOf(receiveFile(path, request({ cutAfter: 1_234_567 })))
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE' })
    expect(counted).toEqual({ bytes: 0, resumed: 0 })
    expect(await readdir(join(directory, 'chunks'))).toEqual(['000001.partial'])
    const there = (await stat(`${path}.partial`)).size
    expect(there).toBeGreaterThan(1_000_000)
    await receiveFile(path, request())
    await expectWhole({ resumed: there, asked: [0, there] })
  })

  it('is not asked for when it is there and right', async () => {
    await receiveFile(path, request())
    counted = { bytes: 0, resumed: 0 }
    await receiveFile(path, request())
    await expectWhole({ resumed: content.length, asked: [0] })
  })

  it('comes again when what is there under its name is wrong: shorter, longer, changed, a link', async () => {
    const wrong: (() => Promise<void>)[] = [
      () => writeFile(path, content.subarray(1)),
      () => writeFile(path, Buffer.concat([content, content])),
      () => writeFile(path, Buffer.from(content).fill(0, 5000)),
      async () => {
        await writeFile(join(directory, 'elsewhere'), 'precious')
        await rm(path)
        await symlink('../elsewhere', path)
      },
    ]
    for (const make of wrong) {
      await mkdir(join(directory, 'chunks'), { recursive: true })
      await make()
      counted = { bytes: 0, resumed: 0 }
      asked = []
      await receiveFile(path, request())
      await expectWhole({ resumed: 0, asked: [0] })
    }
    expect(await readFile(join(directory, 'elsewhere'), 'utf8')).toBe('precious')
  })

  it('comes again from the start when the part that was there is wrong, which only its end tells', async () => {
    await mkdir(join(directory, 'chunks'))
    await writeFile(`${path}.partial`, Buffer.from(content.subarray(0, 2_000_000)).fill(0, 1_999_000))
    await receiveFile(path, request())
    await expectWhole({ resumed: 0, asked: [2_000_000, 0] })
  })

  it('comes again from the start when the part that was there is longer than the file', async () => {
    await mkdir(join(directory, 'chunks'))
    await writeFile(`${path}.partial`, Buffer.concat([content, Buffer.alloc(10)]))
    await receiveFile(path, request())
    await expectWhole({ resumed: 0, asked: [0] })
  })

  it('is taken over whole where only its name was missing', async () => {
    await mkdir(join(directory, 'chunks'))
    await writeFile(`${path}.partial`, content)
    await receiveFile(path, request())
    await expectWhole({ resumed: content.length, asked: [] })
  })

  it('is DAMAGED with other bytes, with more and with fewer, and nothing of it is used again', async () => {
    for (const source of [Buffer.from(content).fill(1, 2_999_999), Buffer.concat([content, Buffer.alloc(1)]), content.subarray(0, -1)]) {
      expect(await rejectionOf(receiveFile(path, request({ source })))).toMatchObject({ code: 'DAMAGED', message: expect.stringContaining(path) })
      expect((await stat(`${path}.partial`)).size).toBe(0)
      expect(counted).toEqual({ bytes: 0, resumed: 0 })
    }
    await receiveFile(path, request())
    expect((await readFile(path)).equals(content)).toBe(true)
  })

  it('is DAMAGED when its checker says so, and gets a new checker for each try', async () => {
    let checkers = 0
    const checker = (limit: number) => () => {
      let seen = 0
      checkers += 1
      return { write: (bytes: Uint8Array) => void (seen += bytes.length), end: () => { if (seen !== limit) throw damagedAt('it', seen, 'too many'); return seen } }
    }
    expect(await rejectionOf(receiveFile(path, request({ checker: checker(1) })))).toMatchObject({ code: 'DAMAGED' })
    expect(await receiveFile(path, request({ checker: checker(content.length) }))).toBe(content.length)
    expect(checkers).toBeGreaterThan(2)
  })

  it('stops at the signal and keeps what it has for the next run', async () => {
    const stop = new AbortController()
    const reason = new PromDrError('INTERRUPTED', 'interrupted by SIGINT')
    const stopping = request({ signal: stop.signal, onBytes: (bytes) => void (bytes > 0 && stop.abort(reason)) })
    expect(await rejectionOf(receiveFile(path, stopping))).toBe(reason)
    expect((await stat(`${path}.partial`)).size).toBeGreaterThan(0)
  })

  it('tells a full disk from damage', async () => {
    const full = await rejectionOf(receiveFile(path, request({ open: async () => failing('ENOSPC') })))
    expect(full).toMatchObject({ code: 'DISK_FULL' })
    await truncate(`${path}.partial`, 0)
  })
})

async function* pieces(bytes: Buffer, cutAfter = Number.POSITIVE_INFINITY): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 100_000) {
    if (at >= cutAfter) throw new PromDrError('STORE_UNREACHABLE', 'cut')
    yield bytes.subarray(at, at + 100_000)
  }
}

async function* failing(code: string): AsyncGenerator<Buffer> {
  yield Buffer.alloc(1)
  throw Object.assign(new Error('write'), { code })
}
