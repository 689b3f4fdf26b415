import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, onTestFinished, test, type TestContext } from 'vitest'
import { ChunkFileChecker } from '../../src/tsdb/chunk-file-checker.ts'
import { crc32c } from '../../src/tsdb/crc32c.ts'
import { type BlockRecipe, makeBlocks } from '../support/blocks.ts'
import { needPrograms } from '../support/programs.ts'
import { checkInPieces, cutsOf, everyFlippedBit, overwriteOf, overwritten } from '../support/stream-pieces.ts'

const header = Uint8Array.of(0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0)

async function realChunkFile(context: TestContext, recipe: BlockRecipe): Promise<Uint8Array> {
  needPrograms(context, 'promtool')
  const made = await makeBlocks(recipe)
  onTestFinished(made.remove)
  return Uint8Array.from(await readFile(join(made.blocks[0]!.path, 'chunks', '000001')))
}

function check(bytes: Uint8Array, cuts: number[] = []) {
  return checkInPieces(new ChunkFileChecker('chunks/000001'), bytes, cuts)
}

function damageOf(bytes: Uint8Array, cuts: number[] = []): unknown {
  try {
    check(bytes, cuts)
  } catch (error) {
    return error
  }
  return undefined
}

/** A chunk as it is stored. */
function chunk(encoding: number, data: number[], length: number[] = [data.length]): Uint8Array {
  const body = Uint8Array.of(encoding, ...data)
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32c(body))
  return Buffer.concat([Uint8Array.from(length), body, checksum])
}

function fileOf(...chunks: Uint8Array[]): Uint8Array {
  return Buffer.concat([header, ...chunks])
}

test('a chunk file that Prometheus wrote has as many chunks and samples as were put in', async (context) => {
  const bytes = await realChunkFile(context, { series: 10, samples: 250, value: Math.sin })
  expect(check(bytes)).toEqual({ sizeBytes: bytes.length, chunks: 30, samples: 2500, unknownEncodings: new Map() })
})

test('every flipped bit is found, however the file arrives', async (context) => {
  const bytes = await realChunkFile(context, { series: 3, samples: 30 })
  let flips = 0
  for (const { flipped, offset, bit } of everyFlippedBit(bytes)) {
    for (const cuts of [[], [offset, offset + 1]]) {
      expect(damageOf(flipped, cuts), `bit ${bit} of byte ${offset}`).toMatchObject({ code: 'DAMAGED', details: { file: 'chunks/000001' } })
    }
    flips++
  }
  expect(flips).toBe(bytes.length * 8)
})

test('every truncation is found, but for one between two chunks, which shows in the counts', async (context) => {
  const bytes = await realChunkFile(context, { series: 3, samples: 30 })
  const silent: number[] = []
  for (let length = 0; length < bytes.length; length++) {
    const damage = damageOf(bytes.subarray(0, length))
    if (damage === undefined) silent.push(check(bytes.subarray(0, length)).chunks)
    else expect(damage).toMatchObject({ code: 'DAMAGED', details: { offset: length } })
  }
  expect(silent).toEqual([0, 1, 2])
})

test('trailing bytes, zeros too, are found', async (context) => {
  const bytes = await realChunkFile(context, { series: 3, samples: 30 })
  for (const tail of [[0], [0, 0, 0, 0, 0, 0, 0, 0], [1, 2, 3]]) {
    expect(damageOf(Buffer.concat([bytes, Uint8Array.from(tail)]))).toMatchObject({ code: 'DAMAGED', details: { offset: expect.any(Number) } })
  }
})

test('the way a file is cut into pieces makes no difference', async (context) => {
  const bytes = await realChunkFile(context, { series: 20, samples: 130, value: Math.sin })
  const whole = check(bytes)
  fc.assert(
    fc.property(cutsOf(bytes.length), (cuts) => {
      expect(check(bytes, cuts)).toEqual(whole)
    }),
  )
  const everywhere = Array.from(bytes.keys())
  expect(check(bytes, everywhere)).toEqual(whole)
})

test('an overwritten range is found at the chunk that it begins in', async (context) => {
  const bytes = await realChunkFile(context, { series: 20, samples: 130, value: Math.sin })
  fc.assert(
    fc.property(overwriteOf(bytes.length), cutsOf(bytes.length), (overwrite, cuts) => {
      const bad = overwritten(bytes, overwrite)
      fc.pre(bad !== undefined)
      const inOnePiece = damageOf(bad)
      expect(inOnePiece).toMatchObject({ code: 'DAMAGED' })
      expect(damageOf(bad, cuts)).toEqual(inOnePiece)
    }),
  )
})

test('chunks of unknown encodings are checked and reported, and their samples are not guessed', () => {
  const bytes = fileOf(chunk(1, [0, 5, 1, 2]), chunk(2, [1, 0, 9, 9]), chunk(3, [0, 1, 9]), chunk(7, [9]), chunk(7, []), chunk(0, [255, 255]))
  const expected = { sizeBytes: bytes.length, chunks: 6, samples: 262, unknownEncodings: new Map([[7, 2], [0, 1]]) }
  expect(check(bytes)).toEqual(expected)
  expect(check(bytes, Array.from(bytes.keys()))).toEqual(expected)
})

test('a chunk file without chunks is whole', () => {
  expect(check(header)).toMatchObject({ chunks: 0, samples: 0 })
})

test.each([
  ['a length beyond 64 MiB', fileOf(Uint8Array.of(0xff, 0xff, 0xff, 0x7f)), 'claims 268435455 bytes'],
  ['a length without end', fileOf(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80)), 'no valid length'],
  ['a known encoding and no number of samples', fileOf(chunk(1, [3])), 'too short'],
  ['a header of version 2', Uint8Array.of(0x85, 0xbd, 0x40, 0xdd, 2, 0, 0, 0), 'version 1'],
  ['half a header', header.subarray(0, 5), 'ends within its header'],
  ['nothing', new Uint8Array(), 'ends within its header'],
])('a file with %s is damaged', (_, bytes, message) => {
  expect(damageOf(bytes)).toMatchObject({ code: 'DAMAGED', message: expect.stringContaining(message) })
  expect(damageOf(bytes, Array.from(bytes.keys()))).toMatchObject({ code: 'DAMAGED', message: expect.stringContaining(message) })
})
