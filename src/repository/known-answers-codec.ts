import { promisify } from 'node:util'
import { brotliCompress, brotliDecompress, constants } from 'node:zlib'
import { z } from 'zod'
import type { BitSample, KnownAnswers } from '../domain/known-answers.ts'
import { PromDrError } from '../errors.ts'

const compress = promisify(brotliCompress)
const decompress = promisify(brotliDecompress)

/** Bounds what a hostile manifest can make a reader hold. */
const maxSamples = 1_000_000
const sampleBytes = 16
/** What a JavaScript date can hold, ms. */
const latestMs = 8_640_000_000_000_000n

/**
 * How known answers stand in a manifest: the series in the clear, their samples one after another in `samples` as
 * base64 of Brotli of columns: every time (s64 LE, each less the one before it of its series), then every value's
 * 64 bits (LE, each XOR the one before it of its series), byte plane by byte plane.
 */
export const knownAnswersSchema = z.looseObject({
  seed: z.string(),
  series: z.array(z.looseObject({ labels: z.record(z.string(), z.string()), startMs: z.number().int(), endMs: z.number().int(), count: z.number().int().nonnegative() })),
  samples: z.string(),
  queries: z.array(z.looseObject({ query: z.string(), atMs: z.number().int(), result: z.string() })),
  dropped: z.number().int().nonnegative(),
  /** Where data is encrypted, everything above but `dropped` is empty and stands in here, in the age format, base64. */
  sealed: z.looseObject({ series: z.number(), samples: z.number(), queries: z.number(), recipients: z.array(z.string()), age: z.string() }).optional(),
})

export type EncodedKnownAnswers = z.infer<typeof knownAnswersSchema>

/** @throws CONFIG_INVALID when there are more samples than a reader takes */
export async function encodeKnownAnswers(answers: KnownAnswers): Promise<EncodedKnownAnswers> {
  const count = answers.series.reduce((sum, series) => sum + series.samples.length, 0)
  if (count > maxSamples) {
    throw new PromDrError('CONFIG_INVALID', `known answers have ${count} samples; a recovery point takes ${maxSamples}`, { hint: 'ask for fewer series or samples a series in "knownAnswers"' })
  }
  const words = Buffer.alloc(count * sampleBytes)
  let at = 0
  for (const { samples } of answers.series) {
    let time = 0n
    let bits = 0n
    for (const sample of samples) {
      const timestamp = BigInt(sample.timestampMs)
      words.writeBigInt64LE(timestamp - time, at * 8)
      words.writeBigUInt64LE(sample.valueBits ^ bits, (count + at) * 8)
      time = timestamp
      bits = sample.valueBits
      at += 1
    }
  }
  const packed = await compress(transpose(words, 8), { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } })
  return {
    seed: answers.seed,
    series: answers.series.map(({ labels, startMs, endMs, samples }) => ({ labels, startMs, endMs, count: samples.length })),
    samples: packed.toString('base64'),
    queries: answers.queries.map((query) => ({ ...query })),
    dropped: answers.dropped,
  }
}

/** @throws DAMAGED when the samples are not what the series announce */
export async function decodeKnownAnswers(encoded: EncodedKnownAnswers): Promise<KnownAnswers> {
  const count = encoded.series.reduce((sum, series) => sum + series.count, 0)
  if (count > maxSamples) throw damaged(`they announce ${count} samples, more than ${maxSamples}`)
  const words = transpose(await unpack(encoded.samples, count * sampleBytes), count * 2)
  let at = 0
  const series = encoded.series.map(({ labels, startMs, endMs, count: length }) => {
    const samples: BitSample[] = []
    let time = 0n
    let bits = 0n
    for (let n = 0; n < length; n += 1, at += 1) {
      time += words.readBigInt64LE(at * 8)
      if (time > latestMs || time < -latestMs) throw damaged(`a sample has the time ${time}`)
      bits ^= words.readBigUInt64LE((count + at) * 8)
      samples.push({ timestampMs: Number(time), valueBits: bits })
    }
    return { labels, startMs, endMs, samples }
  })
  return { seed: encoded.seed, series, queries: encoded.queries.map(({ query, atMs, result }) => ({ query, atMs, result })), dropped: encoded.dropped }
}

async function unpack(text: string, sizeBytes: number): Promise<Buffer> {
  let bytes: Buffer
  try {
    bytes = await decompress(Buffer.from(text, 'base64'), { maxOutputLength: Math.max(sizeBytes, 1) })
  } catch (error) {
    throw damaged(`their samples cannot be unpacked: ${(error as Error).message}`)
  }
  if (bytes.length !== sizeBytes) throw damaged(`they have ${bytes.length} bytes of samples instead of ${sizeBytes}`)
  return bytes
}

/** Reads a matrix of bytes with `columns` columns row by row and writes it column by column; its own inverse with rows and columns exchanged. */
function transpose(bytes: Buffer, columns: number): Buffer {
  if (columns === 0) return Buffer.alloc(0)
  const rows = bytes.length / columns
  const out = Buffer.allocUnsafe(bytes.length)
  let at = 0
  for (let column = 0; column < columns; column += 1) {
    for (let row = 0; row < rows; row += 1) out[at++] = bytes[row * columns + column] as number
  }
  return out
}

function damaged(reason: string): PromDrError {
  return new PromDrError('DAMAGED', `known answers are damaged: ${reason}`, { hint: 'the recovery point itself may be whole: run "prom-dr verify --read-data"' })
}
