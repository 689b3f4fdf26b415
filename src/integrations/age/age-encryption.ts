import { randomBytes } from 'node:crypto'
import type { Encryption } from '../../domain/encryption.ts'
import { PromDrError } from '../../errors.ts'
import { headerLength } from './file-head.ts'
import type { Header } from './header.ts'
import type { AgeKeys } from './keys.ts'
import { damagedPayload, openChunks, payloadKey, payloadNonceBytes, sealChunks } from './payload.ts'

/**
 * Encryption in the age format. With recipients they are what new files are sealed for; without, the passphrase is.
 * @throws from `encrypt`: KEY_MISSING when there is neither
 */
export function createAgeEncryption(recipients: readonly string[], keys: AgeKeys): Encryption {
  const sorted = [...new Set(recipients)].sort()
  return {
    recipients: sorted,

    async *encrypt(plain) {
      const { bytes, fileKey } = sorted.length > 0 ? await (await import('./header.ts')).sealHeader(sorted) : await headerByPassphrase(keys)
      const nonce = randomBytes(payloadNonceBytes)
      yield Buffer.concat([bytes, nonce])
      yield* sealChunks(plain, payloadKey(fileKey, nonce))
    },

    async *decrypt(sealed) {
      const source = sealed[Symbol.asyncIterator]()
      try {
        const { head, rest } = await readHead(source)
        const headerEnd = head.length - payloadNonceBytes
        const { openHeader } = await import('./header.ts')
        const fileKey = await openHeader(head.subarray(0, headerEnd), await keys.identities(), keys.where)
        yield* openChunks(following(rest, source), payloadKey(fileKey, head.subarray(headerEnd)))
      } finally {
        await source.return?.()
      }
    },
  }
}

async function headerByPassphrase(keys: AgeKeys): Promise<Header> {
  const passphrase = await keys.passphrase()
  const [{ headerFor }, { passphraseRecipient }] = await Promise.all([import('./header.ts'), import('./passphrase.ts')])
  if (passphrase !== undefined) return headerFor([passphraseRecipient(passphrase)])
  throw new PromDrError('KEY_MISSING', 'there is nobody to encrypt for', { hint: 'set encryption.recipients in the configuration' })
}

/** Header and nonce, and what came after them in the same piece. */
async function readHead(source: AsyncIterator<Uint8Array>): Promise<{ head: Buffer; rest: Buffer }> {
  let read: Buffer = Buffer.alloc(0)
  for (;;) {
    const next = await source.next()
    if (next.done === true) throw damagedPayload(`it ends after ${read.length} bytes, in its header`)
    read = Buffer.concat([read, next.value])
    const length = headerLength(read)
    const headBytes = length === undefined ? undefined : length + payloadNonceBytes
    if (headBytes !== undefined && read.length >= headBytes) return { head: read.subarray(0, headBytes), rest: read.subarray(headBytes) }
  }
}

async function* following(first: Buffer, source: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first
  for (;;) {
    const next = await source.next()
    if (next.done === true) return
    yield next.value
  }
}
