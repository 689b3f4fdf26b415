import type { Encryption } from '../domain/encryption.ts'
import { PromDrError } from '../errors.ts'
import { type EncodedKnownAnswers, knownAnswersSchema } from './known-answers-codec.ts'

/** What a reader holds in memory at most. */
const mostBytes = 64 * 1024 * 1024

/** Known answers whose labels, samples and queries only the holder of a key can read; how many there are stays in the clear. */
export async function sealAnswers(encoded: EncodedKnownAnswers, encryption: Pick<Encryption, 'encrypt' | 'recipients'>): Promise<EncodedKnownAnswers> {
  const { seed, series, samples, queries, dropped } = encoded
  const plain = Buffer.from(JSON.stringify({ seed, series, samples, queries, dropped }))
  const bytes = await whole(encryption.encrypt(once(plain)))
  return {
    seed: '', series: [], samples: '', queries: [], dropped,
    sealed: { series: series.length, samples: series.reduce((sum, { count }) => sum + count, 0), queries: queries.length, recipients: [...encryption.recipients], age: bytes.toString('base64') },
  }
}

/** @throws KEY_MISSING, DAMAGED */
export async function openAnswers(encoded: EncodedKnownAnswers, opening: Pick<Encryption, 'decrypt'> | undefined): Promise<EncodedKnownAnswers> {
  const { sealed } = encoded
  if (sealed === undefined) return encoded
  if (opening === undefined) throw keyMissing(sealed.recipients, 'no key is configured')
  const plain = await whole(opening.decrypt(once(Buffer.from(sealed.age, 'base64'))))
  const parsed = knownAnswersSchema.safeParse(parseJson(plain.toString('utf8')))
  if (parsed.success && parsed.data.sealed === undefined) return parsed.data
  throw new PromDrError('DAMAGED', 'known answers are damaged: what was sealed is something else', { hint: 'the recovery point itself may be whole: run "prom-dr verify --read-data"' })
}

/** How many there are, sealed or not. */
export function countAnswers({ series, queries, dropped, sealed }: EncodedKnownAnswers): { series: number; samples: number; queries: number; dropped: number } {
  if (sealed !== undefined) return { series: sealed.series, samples: sealed.samples, queries: sealed.queries, dropped }
  return { series: series.length, samples: series.reduce((sum, { count }) => sum + count, 0), queries: queries.length, dropped }
}

function keyMissing(recipients: readonly string[], why: string): PromDrError {
  return new PromDrError('KEY_MISSING', `the known answers are sealed for ${recipients.join(', ')}; ${why}`, { hint: 'set encryption.identityFile: see runbooks/encryption.md', details: { recipients } })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function whole(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of source) {
    bytes += piece.length
    if (bytes > mostBytes) throw new PromDrError('DAMAGED', `known answers have more than ${mostBytes} bytes`, { hint: 'this manifest was not written by prom-dr' })
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes
}
