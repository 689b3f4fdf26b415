import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { crc32c } from '../../src/tsdb/crc32c.ts'
import { encodeTombstones, isEmptyTombstones, parseTombstones } from '../../src/tsdb/tombstones.ts'
import { readBlockMeta } from '../../src/tsdb/block-directory.ts'
import { verifyLocalBlock } from '../../src/tsdb/verify-block.ts'
import { defaultStartMs, makeBlocks } from '../support/blocks.ts'
import { needPrograms } from '../support/programs.ts'
import { everyFlippedBit } from '../support/stream-pieces.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { startTsdbServer } from '../support/tsdb-server.ts'

function fileOf(entries: number[]): Uint8Array {
  const body = Uint8Array.from(entries)
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32c(body))
  return Uint8Array.from(Buffer.concat([Uint8Array.of(0x01, 0x30, 0xba, 0x30, 1), body, checksum]))
}

test('the deletions that a running Prometheus wrote into a block are read', async (context) => {
  needPrograms(context, 'promtool', 'prometheus')
  const made = await makeBlocks({ series: 10, samples: 60 })
  onTestFinished(made.remove)
  const block = made.blocks[0]!.path
  const file = join(block, 'tombstones')
  expect(isEmptyTombstones(await readFile(file))).toBe(true)
  expect(parseTombstones(await readFile(file))).toEqual([])

  const server = await startTsdbServer(made.dataDir, { scratch: await temporaryDirectory() })
  const [start, end] = [defaultStartMs + 60_000, defaultStartMs + 120_000]
  const range = { start: String(start / 1000), end: String(end / 1000) }
  await server.admin(`tsdb/delete_series?${new URLSearchParams({ 'match[]': 'prom_dr_test{series=~"[0-3]"}', ...range })}`)
  await server.stop()

  const bytes = await readFile(file)
  const tombstones = parseTombstones(bytes)
  expect(isEmptyTombstones(bytes)).toBe(false)
  expect(tombstones.map(({ mint, maxt }) => ({ mint, maxt }))).toEqual(Array.from({ length: 4 }, () => ({ mint: BigInt(start), maxt: BigInt(end) })))
  expect(new Set(tombstones.map((tombstone) => tombstone.seriesRef)).size).toBe(4)
  expect(await verifyLocalBlock(block)).toMatchObject({ tombstones: 4, samples: 600, series: 10 })
  expect((await readBlockMeta(block)).meta.stats).toMatchObject({ numSamples: 600, numTombstones: 4 })
})

test('every flipped bit and every truncation is found', () => {
  const bytes = fileOf([0x05, 0x80, 0x01, 0x82, 0x01, 0x06, 0x01, 0x7f])
  expect(parseTombstones(bytes)).toHaveLength(2)
  let flips = 0
  for (const { flipped, offset, bit } of everyFlippedBit(bytes)) {
    expect(() => parseTombstones(flipped), `bit ${bit} of byte ${offset}`).toThrow(expect.objectContaining({ code: 'DAMAGED' }))
    flips++
  }
  expect(flips).toBe(bytes.length * 8)
  for (let length = 0; length < bytes.length; length++) {
    expect(() => parseTombstones(bytes.subarray(0, length))).toThrow(expect.objectContaining({ code: 'DAMAGED' }))
  }
})

test('every flipped bit of an empty file is found', () => {
  for (const { flipped } of everyFlippedBit(fileOf([]))) expect(() => isEmptyTombstones(flipped)).toThrow(/damaged/)
})

test('a deletion of all time keeps its bounds exactly', () => {
  const min = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
  const max = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
  expect(parseTombstones(fileOf([1, ...min, ...max]))).toEqual([{ seriesRef: 1n, mint: -(2n ** 63n), maxt: 2n ** 63n - 1n }])
})

test.each([
  ['a number of more than 64 bits', [1, 0, ...Array<number>(9).fill(0xff), 0x02]],
  ['a number of more than 10 bytes', [1, 0, ...Array<number>(10).fill(0x80), 0x01]],
  ['half a deletion', [1, 2]],
  ['half a number', [1, 2, 0x80]],
])('a file with a valid checksum and %s is damaged', (_, entries) => {
  expect(() => parseTombstones(fileOf(entries))).toThrow(expect.objectContaining({ code: 'DAMAGED' }))
})

test('random bytes are damaged, not believed', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      expect(() => parseTombstones(bytes)).toThrow(expect.objectContaining({ code: 'DAMAGED' }))
    }),
  )
})

test('what is encoded is read again, bounds of all time included', () => {
  const bound = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  fc.assert(
    fc.property(fc.array(fc.record({ seriesRef: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), mint: bound, maxt: bound }), { maxLength: 40 }), (tombstones) => {
      expect(parseTombstones(encodeTombstones(tombstones))).toEqual(tombstones)
    }),
  )
  const many = Array.from({ length: 20_000 }, (_, n) => ({ seriesRef: BigInt(n * 7), mint: BigInt(n), maxt: BigInt(n) * 1_000_003n }))
  expect(parseTombstones(encodeTombstones(many))).toEqual(many)
  expect([...encodeTombstones([{ seriesRef: 300n, mint: -3n, maxt: 64n }])]).toEqual([...fileOf([0xac, 0x02, 0x05, 0x80, 0x01])])
})
