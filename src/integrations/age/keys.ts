import { readFile, stat } from 'node:fs/promises'
import { Decrypter, type Identity, armor } from 'age-encryption'
import { PromDrError, hasCode, systemCode } from '../../errors.ts'
import type { Logger } from '../../system/logger.ts'
import { headerLength, openHeader } from './header.ts'
import { passphraseIdentity } from './passphrase.ts'
import { openChunks, payloadKey, payloadNonceBytes } from './payload.ts'

/** Where the private side comes from. Nothing is read before something is to be opened: hosts that only back up need none of it. */
export interface KeySettings {
  /** One `AGE-SECRET-KEY-1…` a line, comments with `#`; or such a file encrypted with the passphrase, as `age -p` writes it. */
  identityFile?: string
  passphraseFile?: string
  passphrase?: string
}

export interface AgeKeys {
  /** @throws KEY_MISSING when a file that is configured is gone, CONFIG_INVALID when it holds something else */
  identities(): Promise<readonly (string | Identity)[]>
  /** @throws KEY_MISSING */
  passphrase(): Promise<string | undefined>
  /** In words, after "it is sealed for …; ". */
  readonly where: string
}

const mostBytes = 256 * 1024
const keptHint = 'bring it back from where your organisation keeps copies of its keys: see runbooks/encryption.md'

export function createAgeKeys(settings: KeySettings, { logger }: { logger: Logger }): AgeKeys {
  let loaded: Promise<readonly (string | Identity)[]> | undefined
  const { identityFile, passphraseFile } = settings
  const files = createSecretFiles(logger)

  async function passphrase(): Promise<string | undefined> {
    if (passphraseFile === undefined) return settings.passphrase
    const text = (await files.read(passphraseFile, 'passphrase')).toString('utf8').replace(/\r?\n$/, '')
    if (text === '') throw invalid(passphraseFile, 'is empty')
    return text
  }

  async function load(): Promise<readonly (string | Identity)[]> {
    const words = await passphrase()
    const byPassphrase = words === undefined ? [] : [passphraseIdentity(words)]
    if (identityFile === undefined) return byPassphrase
    const bytes = await files.read(identityFile, 'identity')
    const text = isSealed(bytes) ? await openIdentityFile(identityFile, bytes, byPassphrase) : bytes
    return [...parseIdentities(text.toString('utf8'), identityFile), ...byPassphrase]
  }

  return {
    async identities() {
      loaded ??= load()
      try {
        return await loaded
      } catch (error) {
        loaded = undefined
        throw error
      }
    },
    passphrase,
    where: describe(settings),
  }
}

function describe({ identityFile, passphraseFile, passphrase }: KeySettings): string {
  const given = [...(identityFile === undefined ? [] : [`no identity in ${identityFile}`]), ...(passphraseFile === undefined && passphrase === undefined ? [] : ['the passphrase'])]
  if (given.length === 0) return 'no identity is configured'
  return given.length === 2 ? `neither an identity in ${identityFile} nor the passphrase opens it` : `${given[0]} ${identityFile === undefined ? 'that is configured does not open it' : 'opens it'}`
}

/** Reads files that only their owner should be able to; others are read too, since an outage is no time to refuse, and told about once. */
function createSecretFiles(logger: Logger): { read(path: string, what: string): Promise<Buffer> } {
  const told = new Set<string>()
  return {
    async read(path, what) {
      try {
        const { mode, size } = await stat(path)
        if (size > mostBytes) throw invalid(path, `has ${size} bytes: that is no ${what} file`)
        if ((mode & 0o077) !== 0 && !told.has(path)) logger.warn({ path, mode: (mode & 0o777).toString(8) }, `other users may read the ${what} file: chmod 600`)
        told.add(path)
        return await readFile(path)
      } catch (error) {
        if (hasCode(error, 'CONFIG_INVALID')) throw error
        throw new PromDrError('KEY_MISSING', `the ${what} file ${path} cannot be read (${systemCode(error) ?? String(error)})`, { hint: keptHint, cause: error })
      }
    },
  }
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
function parseIdentities(text: string, path: string): string[] {
  const identities = text.split('\n').flatMap((line, index) => {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) return []
    try {
      new Decrypter().addIdentity(trimmed)
    } catch {
      throw invalid(path, `holds no age identity in line ${index + 1}`)
    }
    return [trimmed]
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
