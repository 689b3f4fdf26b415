import { randomBytes } from 'node:crypto'
import { brotliCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BitSample, KnownAnswers } from '../../src/domain/known-answers.ts'
import { type EncodedKnownAnswers, decodeKnownAnswers, encodeKnownAnswers, knownAnswersSchema } from '../../src/repository/known-answers-codec.ts'

const empty: KnownAnswers = { seed: '', series: [], queries: [], dropped: 0 }
const series = (samples: BitSample[], labels: Record<string, string> = { __name__: 'up' }) => ({ labels, startMs: 0, endMs: 1, samples })
const comesBack = async (answers: KnownAnswers) => {
  const stored = knownAnswersSchema.parse(JSON.parse(JSON.stringify(await encodeKnownAnswers(answers))))
  expect(await decodeKnownAnswers(stored)).toEqual(answers)
}

const times = fc.oneof(fc.integer({ min: -8.64e15, max: 8.64e15 }), fc.integer({ min: 1_700_000_000_000, max: 1_800_000_000_000 }), fc.constantFrom(0, -1, 8.64e15, -8.64e15))
const specialBits = [0x7ff0000000000002n, 0x7ff8000000000001n, 0xfff8000000000000n, 0x7ff0000000000000n, 0xfff0000000000000n, 0x8000000000000000n, 0n, 0xffffffffffffffffn, 1n]
const bits = fc.oneof(fc.bigInt({ min: 0n, max: 0xffffffffffffffffn }), fc.constantFrom(...specialBits), fc.bigInt({ min: 0x7ff0000000000001n, max: 0x7fffffffffffffffn }))
const samples = fc.array(fc.record({ timestampMs: times, valueBits: bits }), { maxLength: 50 })
const labels = fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string({ unit: 'grapheme' }), { maxKeys: 4 }).map((found) => ({ ...found }))

describe('known answers', () => {
  test('come back from a manifest bit for bit, whatever their samples are and in whatever order', async () => {
    const answers = fc.record({
      seed: fc.string(),
      series: fc.array(fc.record({ labels, startMs: fc.integer(), endMs: fc.integer(), samples }), { maxLength: 8 }),
      queries: fc.array(fc.record({ query: fc.string(), atMs: fc.integer(), result: fc.string() }), { maxLength: 3 }),
      dropped: fc.nat(),
    })
    await fc.assert(fc.asyncProperty(answers, comesBack), { numRuns: 150 })
  })

  test.each(specialBits.map((value) => [`0x${value.toString(16).padStart(16, '0')}`, value] as const))('keep the bits %s', async (_, valueBits) => {
    await comesBack({ ...empty, series: [series([{ timestampMs: -5, valueBits }, { timestampMs: 5, valueBits: 0n }, { timestampMs: 6, valueBits }])] })
  })

  test('of nothing at all come back', async () => {
    await comesBack(empty)
    await comesBack({ ...empty, series: [series([]), series([], {})], dropped: 3 })
  })

  test('of regular scrapes take few bytes: about one a sample of a counter', async () => {
    const view = new DataView(new ArrayBuffer(8))
    const counter = (start: number) => Array.from({ length: 120 }, (_, at) => {
      view.setFloat64(0, start + at * 37)
      return { timestampMs: 1_700_000_000_000 + at * 15_000, valueBits: view.getBigUint64(0) }
    })
    const encoded = await encodeKnownAnswers({ ...empty, series: Array.from({ length: 50 }, (_, at) => series(counter(at * 1_000_003))) })
    expect(encoded.samples.length).toBeLessThan(50 * 120 * 2)
  })

  test('of more samples than a reader takes are refused before they are stored', async () => {
    const sample = { timestampMs: 0, valueBits: 0n }
    const many = Array.from({ length: 500_001 }, () => sample)
    await expect(encodeKnownAnswers({ ...empty, series: [series(many), series(many)] })).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: 'known answers have 1000002 samples; a recovery point takes 1000000' })
  })
})

describe('hostile known answers', () => {
  const good = () => encodeKnownAnswers({ ...empty, series: [series([{ timestampMs: 1, valueBits: 2n }, { timestampMs: 3, valueBits: 4n }]), series([{ timestampMs: 5, valueBits: 6n }])] })
  const counts = (...found: number[]) => (encoded: EncodedKnownAnswers) => ({ ...encoded, series: encoded.series.map((one, at) => ({ ...one, count: found[at] as number })) })
  const packed = (bytes: Uint8Array) => (encoded: EncodedKnownAnswers) => ({ ...encoded, samples: brotliCompressSync(bytes).toString('base64') })
  const beyond = Buffer.alloc(48)
  // Byte planes of three times and three values: the highest byte of the first time.
  beyond[7 * 6] = 0x7f

  test.each<[string, (encoded: EncodedKnownAnswers) => EncodedKnownAnswers]>([
    ['announce one sample more', counts(3, 1)],
    ['announce one sample less', counts(1, 1)],
    ['announce none', counts(0, 0)],
    ['announce more than a million', counts(1_000_000, 1)],
    ['announce more than can be counted', counts(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)],
    ['unpack to a byte more', packed(Buffer.alloc(49))],
    ['unpack to a byte less', packed(Buffer.alloc(47))],
    ['announce none, and have a byte', (encoded) => counts(0, 0)(packed(Buffer.alloc(1))(encoded))],
    ['have a time beyond what dates hold', packed(beyond)],
    ['are no Brotli', (encoded) => ({ ...encoded, samples: randomBytes(40).fill(0xff).toString('base64') })],
    ['are no base64', (encoded) => ({ ...encoded, samples: '!!!' })],
    ['are empty', (encoded) => ({ ...encoded, samples: '' })],
    ['are cut off', (encoded) => ({ ...encoded, samples: encoded.samples.slice(0, 8) })],
  ])('that %s are damaged', async (_, change) => {
    await expect(decodeKnownAnswers(change(await good()))).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringMatching(/^known answers are damaged: /) })
  })

  test('that unpack to far more than they announce are refused without unpacking it', async () => {
    const bomb = brotliCompressSync(Buffer.alloc(64 * 1024 * 1024)).toString('base64')
    expect(bomb.length).toBeLessThan(1_000)
    const before = process.memoryUsage.rss()
    await expect(decodeKnownAnswers({ ...(await good()), samples: bomb })).rejects.toMatchObject({ code: 'DAMAGED' })
    expect(process.memoryUsage.rss() - before).toBeLessThan(40 * 1024 * 1024)
  })

  test.each([-1, 1.5, Number.NaN, '2'])('with the count %s do not fit the schema', async (count) => {
    const encoded = await good()
    expect(knownAnswersSchema.safeParse({ ...encoded, series: [{ ...encoded.series[0], count }] }).success).toBe(false)
  })

  test('whose samples were changed anywhere are damaged, or as many samples as were announced', async () => {
    // The seal of the manifest finds the change itself; here nothing worse may happen than other samples.
    const encoded = await good()
    for (let at = 0; at < encoded.samples.length; at += 1) {
      const changed = `${encoded.samples.slice(0, at)}${encoded.samples[at] === 'A' ? 'B' : 'A'}${encoded.samples.slice(at + 1)}`
      const outcome = await decodeKnownAnswers({ ...encoded, samples: changed }).catch((error: unknown) => error)
      if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'DAMAGED' })
      else expect((outcome as KnownAnswers).series.map((one) => one.samples.length)).toEqual([2, 1])
    }
  })
})
