import { readFile, stat } from 'node:fs/promises'
import type { Identity } from 'age-encryption'
import { PromDrError, hasCode, systemCode } from '../../errors.ts'
import type { Logger } from '../../system/logger.ts'

/** Where the private side comes from. Nothing is read before something is to be opened: hosts that only back up need none of it. */
export interface KeySettings {
  /** One `AGE-SECRET-KEY-1…` a line, comments with `#`; or such a file encrypted with the passphrase, as `age -p` writes it. */
  identityFile?: string
  passphraseFile?: string
  passphrase?: string
}

export interface AgeKeys {
  /** @throws KEY_MISSING when a file that is configured is gone, CONFIG_INVALID when it holds something else */
  identities(): Promise<readonly Identity[]>
  /** @throws KEY_MISSING */
  passphrase(): Promise<string | undefined>
  /** In words, after "it is sealed for …; ". */
  readonly where: string
}

const mostBytes = 256 * 1024
const keptHint = 'bring it back from where your organisation keeps copies of its keys: see runbooks/encryption.md'

export function createAgeKeys(settings: KeySettings, { logger }: { logger: Logger }): AgeKeys {
  let loaded: Promise<readonly Identity[]> | undefined
  const { identityFile, passphraseFile } = settings
  const files = createSecretFiles(logger)

  async function passphrase(): Promise<string | undefined> {
    if (passphraseFile === undefined) return settings.passphrase
    const text = (await files.read(passphraseFile, 'passphrase')).toString('utf8').replace(/\r?\n$/, '')
    if (text === '') throw notASecret(passphraseFile, 'is empty')
    return text
  }

  async function load(): Promise<readonly Identity[]> {
    const words = await passphrase()
    // The age library takes a tenth of a second to load: only those who open something wait for it.
    const { passphraseIdentity } = await import('./passphrase.ts')
    const byPassphrase = words === undefined ? [] : [passphraseIdentity(words)]
    if (identityFile === undefined) return byPassphrase
    const { readIdentities } = await import('./identity-file.ts')
    return [...(await readIdentities(identityFile, await files.read(identityFile, 'identity'), byPassphrase)), ...byPassphrase]
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
        if (size > mostBytes) throw notASecret(path, `has ${size} bytes: that is no ${what} file`)
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

function notASecret(path: string, what: string): PromDrError {
  return new PromDrError('CONFIG_INVALID', `${path} ${what}`, { hint: 'look at encryption.identityFile and encryption.passphraseFile' })
}
