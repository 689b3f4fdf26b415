import { type KeyObject, createCipheriv, createDecipheriv, createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync } from 'node:crypto'
import { bech32 } from '@scure/base'
import { type Identity, type Recipient, Stanza } from 'age-encryption'

/**
 * The X25519 stanza of an age file (https://age-encryption.org/v1, "The X25519 recipient type") by node:crypto, several times as fast as the
 * library's own: the WAL is thousands of small objects, each with a header of its own.
 */
const info = 'age-encryption.org/v1/X25519'
const cipher = 'chacha20-poly1305'
const zeroNonce = Buffer.alloc(12)
const tagBytes = 16
const keyBytes = 32
const sealedKeyBytes = 32
/** PKCS #8 of an X25519 key, up to the key itself. */
const pkcs8Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex')

/** @throws when the text is no `age1…` */
export function x25519Recipient(recipient: string): Recipient {
  const theirs = decoded(recipient, 'age')
  const theirKey = publicKey(theirs)
  return {
    wrapFileKey(fileKey) {
      const ephemeral = generateKeyPairSync('x25519')
      const share = publicBytes(ephemeral.publicKey)
      const sealing = createCipheriv(cipher, wrapKey(ephemeral.privateKey, theirKey, Buffer.concat([share, theirs])), zeroNonce, { authTagLength: tagBytes })
      return [new Stanza(['X25519', unpadded(share)], Buffer.concat([sealing.update(fileKey), sealing.final(), sealing.getAuthTag()]))]
    },
  }
}

/** Null for files that are not sealed for it. @throws when the text is no `AGE-SECRET-KEY-1…`; of it nothing is repeated */
export function x25519Identity(identity: string): Identity {
  const ours = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, decoded(identity, 'age-secret-key-')]), format: 'der', type: 'pkcs8' })
  const ourShare = publicBytes(createPublicKey(ours))
  return {
    unwrapFileKey(stanzas) {
      for (const stanza of stanzas) {
        if (stanza.args[0] !== 'X25519') continue
        const [, shareText = '', ...more] = stanza.args
        const share = Buffer.from(shareText, 'base64')
        if (more.length > 0 || share.length !== keyBytes || unpadded(share) !== shareText || stanza.body.length !== sealedKeyBytes) throw new Error('its X25519 stanza is malformed')
        const fileKey = opened(stanza.body, wrapKey(ours, publicKey(share), Buffer.concat([share, ourShare])))
        if (fileKey !== undefined) return fileKey
      }
      return null
    },
  }
}

/** OpenSSL refuses shares of low order, whose secret would be known to everybody. */
function wrapKey(privateKey: KeyObject, theirKey: KeyObject, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', diffieHellman({ privateKey, publicKey: theirKey }), salt, info, keyBytes))
}

function opened(body: Uint8Array, key: Buffer): Buffer | undefined {
  const opening = createDecipheriv(cipher, key, zeroNonce, { authTagLength: tagBytes })
  opening.setAuthTag(body.subarray(sealedKeyBytes - tagBytes))
  const fileKey = opening.update(body.subarray(0, sealedKeyBytes - tagBytes))
  try {
    opening.final()
  } catch {
    return undefined
  }
  return fileKey
}

function decoded(text: string, prefix: string): Buffer {
  const found = bech32.decodeToBytes(text)
  if (found.prefix.toLowerCase() !== prefix || found.bytes.length !== keyBytes) throw new Error('it is no X25519 key of age')
  return Buffer.from(found.bytes)
}

function publicKey(bytes: Buffer): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: bytes.toString('base64url') }, format: 'jwk' })
}

function publicBytes(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url')
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}
