import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto'
import { type Identity, type Recipient, Stanza } from 'age-encryption'

/**
 * The scrypt stanza of an age file (https://age-encryption.org/v1, "The scrypt recipient type"), with node:crypto's scrypt, which does not
 * hold up the event loop for the second that it takes.
 */
const workFactor = 18
/** A file from elsewhere cannot ask for more: 2^20 takes 1 GiB of memory. */
const mostWorkFactor = 20
const label = Buffer.from('age-encryption.org/v1/scrypt')
const cipher = 'chacha20-poly1305'
const zeroNonce = Buffer.alloc(12)
const tagBytes = 16
const sealedKeyBytes = 32

export function passphraseRecipient(passphrase: string): Recipient {
  return {
    async wrapFileKey(fileKey) {
      const salt = randomBytes(16)
      const sealing = createCipheriv(cipher, await derive(passphrase, salt, workFactor), zeroNonce, { authTagLength: tagBytes })
      const body = Buffer.concat([sealing.update(fileKey), sealing.final(), sealing.getAuthTag()])
      return [new Stanza(['scrypt', unpadded(salt), String(workFactor)], body)]
    },
  }
}

/** Null for files that are sealed otherwise, or with another passphrase. */
export function passphraseIdentity(passphrase: string): Identity {
  return {
    async unwrapFileKey(stanzas) {
      const [stanza, ...others] = stanzas.toSorted((a, b) => Number(b.args[0] === 'scrypt') - Number(a.args[0] === 'scrypt'))
      if (stanza?.args[0] !== 'scrypt') return null
      const [, saltText = '', factorText = '', ...more] = stanza.args
      const salt = Buffer.from(saltText, 'base64')
      if (others.length > 0) throw new Error('a passphrase stands beside other recipients')
      if (more.length > 0 || salt.length !== 16 || unpadded(salt) !== saltText || !/^[1-9]\d?$/.test(factorText) || stanza.body.length !== sealedKeyBytes) throw new Error('its scrypt stanza is malformed')
      if (Number(factorText) > mostWorkFactor) throw new Error(`its passphrase takes a work factor of ${factorText}, more than ${mostWorkFactor}`)
      const opening = createDecipheriv(cipher, await derive(passphrase, salt, Number(factorText)), zeroNonce, { authTagLength: tagBytes })
      opening.setAuthTag(stanza.body.subarray(sealedKeyBytes - tagBytes))
      const fileKey = opening.update(stanza.body.subarray(0, sealedKeyBytes - tagBytes))
      try {
        opening.final()
      } catch {
        return null
      }
      return fileKey
    },
  }
}

function derive(passphrase: string, salt: Buffer, factor: number): Promise<Buffer> {
  const cost = { N: 2 ** factor, r: 8, p: 1, maxmem: 2 ** factor * 1024 + 2 ** 20 }
  return new Promise((resolve, reject) => scrypt(passphrase, Buffer.concat([label, salt]), 32, cost, (error, key) => (error === null ? resolve(key) : reject(error))))
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}
