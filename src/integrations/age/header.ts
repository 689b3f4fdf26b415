import { Decrypter, Encrypter, type Identity, type Recipient, Stanza } from 'age-encryption'
import { PromDrError, messageOf } from '../../errors.ts'
import { firstLine, headerBytes, noteType, recipientsIn } from './file-head.ts'
import { damagedPayload, payloadNonceBytes, tagBytes } from './payload.ts'
import { x25519Recipient } from './x25519.ts'

/** Headers of age files (https://age-encryption.org/v1, "Header"), made and opened by the age library: loaded only where something is sealed or opened. */
const stanzaBytes = '-> X25519 '.length + 2 * (43 + 1)
const macLineBytes = '--- '.length + 43 + 1

export interface Header {
  bytes: Buffer
  fileKey: Buffer
}

/** A header for a new file, always `headerBytes` long. */
export async function sealHeader(recipients: readonly string[], plainSha256?: string): Promise<Header> {
  const args = [noteType, ...recipients]
  const digest = plainSha256 === undefined ? Buffer.alloc(0) : Buffer.from(plainSha256, 'hex')
  const digestBytes = digest.length === 0 ? 1 : 43 + 1
  const padBytes = headerBytes - firstLine.length - recipients.length * stanzaBytes - `-> ${args.join(' ')} \n`.length - digestBytes - macLineBytes
  const note = new Stanza([...args, '.'.repeat(Math.max(1, padBytes))], digest)
  const header = await headerFor(recipients.map(x25519Recipient), [note])
  if (header.bytes.length === headerBytes) return header
  throw new PromDrError('INTERNAL', `an age header for ${recipients.length} recipients has ${header.bytes.length} bytes instead of ${headerBytes}`)
}

/** A header of no certain length. A passphrase bears nothing beside it. */
export async function headerFor(recipients: readonly Recipient[], notes: readonly Stanza[] = []): Promise<Header> {
  let fileKey: Buffer | undefined
  const encrypter = new Encrypter()
  for (const recipient of recipients) encrypter.addRecipient(recipient)
  // A recipient that adds no key of its own is shown the file key: the payload is sealed outside of the library.
  encrypter.addRecipient({
    wrapFileKey(key) {
      fileKey = Buffer.from(key)
      return [...notes]
    },
  })
  const file = await encrypter.encrypt(new Uint8Array(0))
  if (fileKey === undefined) throw new PromDrError('INTERNAL', 'the age library made a header without a key')
  return { bytes: Buffer.from(file.subarray(0, file.length - payloadNonceBytes - tagBytes)), fileKey }
}

/**
 * The key of the file.
 * @throws KEY_MISSING when no identity opens it, DAMAGED when the header is malformed or was changed
 */
export async function openHeader(header: Uint8Array, identities: readonly Identity[], where: string): Promise<Buffer> {
  const decrypter = new Decrypter()
  for (const identity of identities) decrypter.addIdentity(identity)
  // Asked last, when none of the others knew the file.
  decrypter.addIdentity({
    unwrapFileKey(stanzas: Stanza[]) {
      throw keyMissing(stanzas, where)
    },
  })
  try {
    return Buffer.from(await decrypter.decryptHeader(header))
  } catch (error) {
    if (error instanceof PromDrError) throw error
    throw damagedPayload(`its header cannot be read: ${messageOf(error)}`, error)
  }
}

function keyMissing(stanzas: readonly Stanza[], where: string): PromDrError {
  const named = stanzas.flatMap(({ args }) => (args[0] === noteType ? recipientsIn(args) : []))
  const types = [...new Set(stanzas.map(({ args }) => args[0] ?? '').filter((type) => type !== noteType))]
  const sealedFor = types.includes('scrypt') ? 'with a passphrase' : `for ${named.length > 0 ? named.join(', ') : `keys that are not named in it (${types.join(', ')})`}`
  return new PromDrError('KEY_MISSING', `it is sealed ${sealedFor}; ${where}`, {
    hint: 'set encryption.identityFile (or passphraseFile) to the key of one of them, from where your organisation keeps it: see runbooks/encryption.md',
    details: { recipients: named },
  })
}
