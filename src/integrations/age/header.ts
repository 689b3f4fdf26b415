import { Decrypter, Encrypter, type Identity, type Recipient, Stanza } from 'age-encryption'
import type { SealNote } from '../../domain/object-sealing.ts'
import { PromDrError, messageOf } from '../../errors.ts'
import { damagedPayload, payloadNonceBytes, tagBytes } from './payload.ts'

/**
 * Headers of age files (https://age-encryption.org/v1, "Header"), made and opened by the age library. Those of ours end in a stanza that no
 * age program knows and all pass over: it says in the clear whom the file is sealed for and, where it was known, the SHA-256 of what is in
 * it, and fills the header up to one length whoever it is for:
 *
 *     -> prom-dr/object age1… age1… ........
 *     <base64 of the SHA-256, or an empty line>
 */
export const headerBytes = 2048
/** As many as the header has room for. */
export const mostRecipients = 10

const noteType = 'prom-dr/object'
const firstLine = 'age-encryption.org/v1\n'
const stanzaBytes = '-> X25519 '.length + 2 * (43 + 1)
const macLineBytes = '--- '.length + 43 + 1
const mostHeaderBytes = 64 * 1024

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
  const header = await headerFor([...recipients], [note])
  if (header.bytes.length === headerBytes) return header
  throw new PromDrError('INTERNAL', `an age header for ${recipients.length} recipients has ${header.bytes.length} bytes instead of ${headerBytes}`)
}

/** A header of no certain length. A passphrase bears nothing beside it. */
export async function headerFor(recipients: readonly (string | Recipient)[], notes: readonly Stanza[] = []): Promise<Header> {
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

/** How many bytes the header has that the file begins with; undefined while its end has not come. @throws DAMAGED when it is none */
export function headerLength(beginning: Buffer): number | undefined {
  const start = beginning.toString('latin1', 0, Math.min(beginning.length, firstLine.length))
  if (!firstLine.startsWith(start)) throw damagedPayload('it does not begin as an age file does')
  const mac = beginning.indexOf('\n--- ')
  const end = mac === -1 ? -1 : beginning.indexOf('\n', mac + 1)
  if (end !== -1) return end + 1
  if (beginning.length > mostHeaderBytes) throw damagedPayload(`its header has more than ${mostHeaderBytes} bytes`)
  return undefined
}

/** The note of ours in a header; undefined in files that were sealed by something else. Nothing vouches for it before the header is opened. */
export function readNote(header: Uint8Array): SealNote | undefined {
  const lines = Buffer.from(header).toString('latin1').split('\n')
  const at = lines.findIndex((line) => line.startsWith(`-> ${noteType} `))
  if (at === -1) return undefined
  const body = lines[at + 1] ?? ''
  return { recipients: recipientsIn((lines[at] ?? '').slice(3).split(' ')), plainSha256: body.length === 43 ? Buffer.from(body, 'base64').toString('hex') : undefined }
}

/**
 * The key of the file.
 * @throws KEY_MISSING when no identity opens it, DAMAGED when the header is malformed or was changed
 */
export async function openHeader(header: Uint8Array, identities: readonly (string | Identity)[], where: string): Promise<Buffer> {
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

function recipientsIn(args: readonly string[]): string[] {
  return args.filter((arg) => /^age1[a-z0-9]{20,200}$/.test(arg))
}
