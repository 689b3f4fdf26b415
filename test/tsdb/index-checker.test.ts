import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, onTestFinished, test, type TestContext } from 'vitest'
import { IndexChecker } from '../../src/tsdb/index-checker.ts'
import { parseIndexToc } from '../../src/tsdb/index-toc.ts'
import { type BlockRecipe, makeBlocks } from '../support/blocks.ts'
import { buildIndex, indexToc, offsetsOf } from '../support/index-bytes.ts'
import { needPrograms } from '../support/programs.ts'
import { checkInPieces, cutsOf, everyFlippedBit, overwriteOf, overwritten } from '../support/stream-pieces.ts'

const withManyLabels = (series: number) => ({ instance: `host-${series % 7}:9100`, job: 'ünïcode', long: 'x'.repeat(series * 9) })

async function realIndex(context: TestContext, recipe: BlockRecipe): Promise<Uint8Array> {
  needPrograms(context, 'promtool')
  const made = await makeBlocks(recipe)
  onTestFinished(made.remove)
  return Uint8Array.from(await readFile(join(made.blocks[0]!.path, 'index')))
}

function check(bytes: Uint8Array, cuts: number[] = []) {
  const toc = parseIndexToc(bytes.subarray(-52), bytes.length, 'index')
  return checkInPieces(new IndexChecker(toc, 'index'), bytes, cuts)
}

function damageOf(bytes: Uint8Array, cuts: number[] = []): unknown {
  try {
    check(bytes, cuts)
  } catch (error) {
    return error
  }
  return undefined
}

test('an index that Prometheus wrote is whole and has as many series as were put in', async (context) => {
  const bytes = await realIndex(context, { series: 300, samples: 2, labels: withManyLabels })
  expect(check(bytes)).toEqual({ sizeBytes: bytes.length, version: 2, series: 300 })
})

test('the parts of an index that Prometheus wrote lie back to back', async (context) => {
  const bytes = await realIndex(context, { series: 3, samples: 2 })
  const { regions } = parseIndexToc(bytes.subarray(-52), bytes.length)
  expect(regions.map((region) => region.name)).toEqual(['symbol table', 'series', 'label indices', 'postings', 'label offset table', 'postings offset table', 'table of contents'])
  regions.forEach((region, i) => expect(region.start).toBe(i === 0 ? 5 : regions[i - 1]!.end))
  expect(regions.at(-1)?.end).toBe(bytes.length)
})

/** Versions 2 and 3 differ in this bit, and in nothing that is checked; no checksum covers the header. */
function isVersionBit(offset: number, bit: number): boolean {
  return offset === 4 && bit === 0
}

test('every flipped bit but the one between versions 2 and 3 is found, padding included, however the file arrives', async (context) => {
  const bytes = await realIndex(context, { series: 5, samples: 2, labels: withManyLabels })
  let flips = 0
  for (const { flipped, offset, bit } of everyFlippedBit(bytes)) {
    flips++
    if (isVersionBit(offset, bit)) continue
    const inOnePiece = damageOf(flipped)
    expect(inOnePiece, `bit ${bit} of byte ${offset}`).toMatchObject({ code: 'DAMAGED', details: { file: 'index', offset: expect.any(Number) } })
    expect(damageOf(flipped, [offset, offset + 1])).toMatchObject({ code: 'DAMAGED' })
  }
  expect(flips).toBe(bytes.length * 8)
})

test('every truncation is found', async (context) => {
  const bytes = await realIndex(context, { series: 5, samples: 2, labels: withManyLabels })
  for (let length = 0; length < bytes.length; length++) expect(damageOf(bytes.subarray(0, length))).toMatchObject({ code: 'DAMAGED' })
})

test('a stream that is shorter or longer than the table of contents was read from is found', async (context) => {
  const bytes = await realIndex(context, { series: 5, samples: 2 })
  const toc = parseIndexToc(bytes.subarray(-52), bytes.length)
  for (let length = 0; length < bytes.length; length++) {
    expect(() => checkInPieces(new IndexChecker(toc), bytes.subarray(0, length))).toThrow(/ends within/)
  }
  expect(() => checkInPieces(new IndexChecker(toc), Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow(/behind the table of contents/)
})

test('a stream that ends in another table of contents than was read before is found', async (context) => {
  const bytes = await realIndex(context, { series: 5, samples: 2 })
  const offsets = offsetsOf(bytes)
  const toc = parseIndexToc(indexToc({ ...offsets, labelIndices: 0 }), bytes.length)
  // The same parts in the same places, but for the padding that used to belong to the series.
  expect(() => checkInPieces(new IndexChecker({ ...toc, regions: parseIndexToc(bytes.subarray(-52), bytes.length).regions }), bytes)).toThrow(/replaced while it was read/)
})

test('the way a file is cut into pieces makes no difference', async (context) => {
  const bytes = await realIndex(context, { series: 40, samples: 2, labels: withManyLabels })
  const whole = check(bytes)
  fc.assert(
    fc.property(cutsOf(bytes.length), (cuts) => {
      expect(check(bytes, cuts)).toEqual(whole)
    }),
  )
  expect(check(bytes, Array.from(bytes.keys()))).toEqual(whole)
})

test('an overwritten range is found', async (context) => {
  const bytes = await realIndex(context, { series: 40, samples: 2, labels: withManyLabels })
  fc.assert(
    fc.property(overwriteOf(bytes.length), cutsOf(bytes.length), (overwrite, cuts) => {
      const bad = overwritten(bytes, overwrite)
      fc.pre(bad !== undefined)
      const inOnePiece = damageOf(bad)
      expect(inOnePiece).toMatchObject({ code: 'DAMAGED' })
      expect(damageOf(bad, cuts)).toEqual(inOnePiece)
    }),
    { numRuns: 300 },
  )
})

test.each([
  ['version 1, series not aligned', { version: 1, seriesAlignment: 1, labelIndices: true }],
  ['version 2', { version: 2, seriesAlignment: 16, labelIndices: true }],
  ['version 3', { version: 3, seriesAlignment: 16, labelIndices: true }],
  ['version 2 without label indices, their offsets zero', { version: 2, seriesAlignment: 16, labelIndices: false, omitted: 'zero' }],
  ['version 2 without label indices, their offsets those of what follows', { version: 2, seriesAlignment: 16, labelIndices: false, omitted: 'empty' }],
] as const)('an index of %s is read, and every flipped bit in it is found', (_, parts) => {
  const bytes = buildIndex(parts)
  const everywhere = Array.from(bytes.keys())
  expect(check(bytes)).toEqual({ sizeBytes: bytes.length, version: parts.version, series: 3 })
  expect(check(bytes, everywhere)).toEqual(check(bytes))
  for (const { flipped, offset, bit } of everyFlippedBit(bytes)) {
    if (isVersionBit(offset, bit) && parts.version > 1) continue
    expect(damageOf(flipped), `bit ${bit} of byte ${offset}`).toMatchObject({ code: 'DAMAGED' })
    expect(damageOf(flipped, everywhere), `bit ${bit} of byte ${offset}`).toMatchObject({ code: 'DAMAGED' })
  }
})

test.each([
  ['behind the end', { series: 1 << 20 }, /behind the end/],
  ['to where no number is exact', { series: 2 ** 63 }, /behind the end/],
  ['behind what follows it', { series: 100, postings: 60 }, /behind what follows/],
  ['in the header', { symbols: 4 }, /does not follow the header/],
])('a table of contents with a valid checksum that points %s is damaged', (_, wrong, message) => {
  const offsets = { symbols: 5, series: 40, labelIndices: 0, labelOffsetTable: 0, postings: 120, postingsOffsetTable: 150, ...wrong }
  expect(() => parseIndexToc(indexToc(offsets), 300)).toThrow(message)
})
