import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { compressSync } from 'snappy'
import { describe, expect, test } from 'vitest'
import { compress, decompress } from '../../../src/tsdb/wal/compression.ts'
import { decodeRecord } from '../../../src/tsdb/wal/record-codec.ts'
import { canCompressZstd, decompressPortably } from '../../../src/tsdb/wal/zstd.ts'
import { runProgram } from '../../../src/system/process.ts'
import { needPrograms } from '../../support/programs.ts'
import { everyFlippedBit } from '../../support/stream-pieces.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { noise } from '../../support/wal-records.ts'

const limit = 1_000_000
const text = Buffer.from('up 1 1700000000000\nprocess_cpu_seconds_total 17.3\n'.repeat(3))
/** `text`, packed by the zstd program: with its size and without checksum, without its size, with both. */
const frames = {
  'zstd -19 --no-check': 'KLUv/SCWlQEAhAJ1cCAxIDE3MApwcm9jZXNzX2NwdV9zZWNvbmRzX3RvdGFsIDE3LjMKAgAIVaUHAy4=',
  'zstd of a pipe': 'KLUv/QRYlQEAhAJ1cCAxIDE3MApwcm9jZXNzX2NwdV9zZWNvbmRzX3RvdGFsIDE3LjMKAgAIVaUHAy6w/cds',
  'zstd -1 --check': 'KLUv/SSWlQEAhAJ1cCAxIDE3MApwcm9jZXNzX2NwdV9zZWNvbmRzX3RvdGFsIDE3LjMKAgAIVaUHAy6w/cds',
}

/** A series and a samples record as Prometheus 3.5 stored them. */
const prometheusRecords = [
  'KLUv/UQA5QEtBABUBQEAAQIIX19uYW1lX18BbQFuATAAAjEDMgQzBTQGNQc2CDcJOAo5CwIxMAAMAjExAA0yDjMPNBA1ETYSNxM4FDkVMjAWMRcyGDMZNBo1GzYcNx04Hjk7qBGQ2/od0INYARAcMFbsAaQiNQmqM/m7nhmnA0p3FKQ1GkKEgtwstKYr7p8CjHRnbg==',
  'KLUv/UQAPQDdAgC0AwIAAQAAAaH8zfsAAgA/8AQAQAAGAEAIAAgKDA4QEhQWGBocHiAiJCYoKiwuMDI0Njg6AD/wAAAAAAAAHqgQ2JPmwMMWAxASJPIDm30vr2kDkmvyvZtOckkL3r9JhA==',
]

describe('snappy', () => {
  test('a raw block is unpacked', () => {
    expect(decompress('snappy', compressSync(text), limit)).toEqual(text)
  })

  test.each([
    ['a length beyond the limit', Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f, 0), /claims to unpack to 4294967295 bytes/],
    ['a length that its bytes cannot come to', Uint8Array.of(0xff, 0x7f, 0), /claims to unpack to 16383 bytes/],
    ['no length', Uint8Array.of(0xff), /does not start with a length/],
    ['half a block', compressSync(text).subarray(0, 20), /./],
  ])('%s is refused', (_, bytes, reason) => {
    expect(() => decompress('snappy', bytes, limit)).toThrow(reason)
  })
})

describe('zstd', () => {
  test.each(Object.entries(frames))('frames by %s are unpacked, by this Node and in JavaScript', (_, base64) => {
    const packed = Buffer.from(base64, 'base64')
    expect(Buffer.from(decompress('zstd', packed, limit))).toEqual(text)
    expect(Buffer.from(decompressPortably(packed, limit))).toEqual(text)
  })

  test.each(Object.entries(frames))('frames by %s are refused when cut off, or larger than allowed', (_, base64) => {
    const packed = Buffer.from(base64, 'base64')
    for (let length = 1; length < packed.length - 4; length++) {
      expect(() => decompressPortably(packed.subarray(0, length), limit), `${length} bytes`).toThrow()
      expect(() => decompress('zstd', packed.subarray(0, length), limit), `${length} bytes`).toThrow()
    }
    expect(() => decompressPortably(packed, text.length - 1)).toThrow(/more than/)
    expect(() => decompress('zstd', packed, text.length - 1)).toThrow()
  })

  test('records of Prometheus 3.5 are unpacked, by this Node and in JavaScript', () => {
    const position = { file: '00000000', startOffset: 0 }
    const samples = Array.from({ length: 30 }, (_, k) => ({ ref: k + 1, timestampMs: 1_795_242_720_000, startTimestampMs: 0, valueBits: [0n, 0x3ff0000000000000n, 0x4000000000000000n, 0x4008000000000000n][k % 4] }))
    for (const unpack of [decompressPortably, (bytes: Uint8Array) => decompress('zstd', bytes, limit)]) {
      const [series, values] = prometheusRecords.map((base64) => decodeRecord(unpack(Buffer.from(base64, 'base64'), limit), position))
      expect(series).toEqual({ type: 'series', series: samples.map(({ ref }, k) => ({ ref, labels: [['__name__', 'm'], ['n', String(k)]] })) })
      expect(values).toEqual({ type: 'samples', samples })
    }
  })

  test('flipped bits never make more than is allowed, and never hang', () => {
    for (const base64 of [...Object.values(frames), ...prometheusRecords]) {
      for (const { flipped } of everyFlippedBit(Buffer.from(base64, 'base64'))) {
        for (const unpack of [decompressPortably, (bytes: Uint8Array) => decompress('zstd', bytes, 4096)]) {
          try {
            expect(unpack(flipped, 4096).length).toBeLessThanOrEqual(4096)
          } catch (error) {
            expect(error).toBeInstanceOf(Error)
          }
        }
      }
    }
  })

  test('a window or a size beyond the limit is refused before it is allocated', () => {
    const magic = [0x28, 0xb5, 0x2f, 0xfd]
    expect(() => decompressPortably(Uint8Array.of(...magic, 0xe0, ...Array<number>(8).fill(0x7f), 1, 0, 0), limit)).toThrow(/more than 1000000 bytes/)
    expect(() => decompressPortably(Uint8Array.of(...magic, 0x00, 0xa0, 1, 0, 0), limit)).toThrow(/window of 1073741824 bytes/)
    expect(() => decompressPortably(Uint8Array.of(...magic, 0xe0, 1), limit)).toThrow(/ends within the header/)
    expect(() => decompressPortably(Uint8Array.of(1, 2, 3), limit)).toThrow(/does not start with a zstd frame/)
  })

  test('large records of the zstd program are unpacked in JavaScript', async (context) => {
    const content = Buffer.concat([noise(200_000, 1), Buffer.from('some_metric{instance="a:9090"} 1\n'.repeat(20_000)), noise(5, 2)])
    needPrograms(context, 'zstd')
    const directory = await temporaryDirectory()
    await writeFile(join(directory, 'content'), content)
    await runProgram('zstd', ['-q', join(directory, 'content'), '-o', join(directory, 'packed')])
    expect(Buffer.compare(decompressPortably(await readFile(join(directory, 'packed')), 2 * limit), content)).toBe(0)
  })
})

describe('compress', () => {
  test.each(['snappy', 'zstd'] as const)('%s gives what unpacks to the record, or nothing where it would be no shorter', (compression) => {
    if (compression === 'zstd' && !canCompressZstd) {
      expect(() => compress('zstd', text)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining('cannot write zstd') }))
      return
    }
    const packed = compress(compression, text)!
    expect(packed.length).toBeLessThan(text.length)
    expect(Buffer.from(decompress(compression, packed, limit))).toEqual(text)
    expect(compress(compression, noise(100, 1))).toBeUndefined()
    expect(compress(compression, new Uint8Array(0))).toBeUndefined()
  })

  test('none leaves records as they are', () => {
    expect(compress('none', text)).toBeUndefined()
    expect(decompress('none', text, 1)).toBe(text)
  })
})
