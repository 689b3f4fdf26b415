import { type Identity, armor } from 'age-encryption'
import { PromDrError } from '../../errors.ts'
import { headerLength } from './file-head.ts'
import { openHeader } from './header.ts'
import { openChunks, payloadKey, payloadNonceBytes } from './payload.ts'
import { x25519Identity } from './x25519.ts'

/**
 * The identities of a file as `age-keygen` writes it, or as `age -p` seals one with a passphrase.
 * @throws KEY_MISSING when the passphrase is missing or another one, CONFIG_INVALID for anything else
 */
export async function readIdentities(path: string, bytes: Buffer, byPassphrase: readonly Identity[]): Promise<Identity[]> {
  const text = isSealed(bytes) ? await openIdentityFile(path, bytes, byPassphrase) : bytes
  return parseIdentities(text.toString('utf8'), path)
}

function isSealed(bytes: Buffer): boolean {
  const beginning = bytes.toString('latin1', 0, 64)
  return beginning.startsWith('age-encryption.org/') || beginning.trimStart().startsWith('-----BEGIN AGE ENCRYPTED FILE-----')
}

/** A key file that is itself sealed, so that the file alone opens nothing. */
async function openIdentityFile(path: string, bytes: Buffer, identities: readonly Identity[]): Promise<Buffer> {
  if (identities.length === 0) throw new PromDrError('KEY_MISSING', `the identity file ${path} is encrypted and no passphrase is configured`, { hint: 'set encryption.passphraseFile, or PROM_DR_ENCRYPTION_PASSPHRASE for this one command' })
  const sealed = bytes.toString('latin1', 0, 64).startsWith('age-') ? bytes : armored(path, bytes)
  const length = headerLength(sealed) ?? sealed.length
  const fileKey = await openHeader(sealed.subarray(0, length), identities, `the passphrase does not open the identity file ${path}`)
  const nonce = sealed.subarray(length, length + payloadNonceBytes)
  const plain: Buffer[] = []
  for await (const chunk of openChunks(once(sealed.subarray(length + payloadNonceBytes)), payloadKey(fileKey, nonce))) plain.push(chunk)
  return Buffer.concat(plain)
}

function armored(path: string, bytes: Buffer): Buffer {
  try {
    return Buffer.from(armor.decode(bytes.toString('latin1').trim()))
  } catch (error) {
    throw invalid(path, 'is armored and cannot be decoded', error)
  }
}

/** Nothing of the file is repeated in an error: every line of it may be a key. */
function parseIdentities(text: string, path: string): Identity[] {
  const identities = text.split('\n').flatMap((line, index) => {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) return []
    try {
      return [x25519Identity(trimmed)]
    } catch {
      throw invalid(path, `holds no age identity in line ${index + 1}`)
    }
  })
  if (identities.length === 0) throw invalid(path, 'holds no age identity')
  return identities
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

function invalid(path: string, what: string, cause?: unknown): PromDrError {
  return new PromDrError('CONFIG_INVALID', `${path} ${what}`, { hint: 'an identity is a line AGE-SECRET-KEY-1…, as age-keygen writes it', ...(cause === undefined ? {} : { cause }) })
}
