import { bech32 } from '@scure/base'

/**
 * Why the text is not the public key of an age key pair (`age1…`, X25519), in words that follow the value's name; undefined when it is one.
 * Nothing that may be a secret is repeated.
 */
export function whyNotAgeRecipient(text: string): string | undefined {
  if (/^AGE-SECRET-KEY-/i.test(text)) return 'is a secret key, which has now been written down here: make a new pair, give its public key (age1…), and keep the secret one where only restores need it'
  if (/^(ssh-|ecdsa-)/.test(text)) return 'is an SSH key: give the public key of an age key pair (age-keygen makes one)'
  if (/^age1(pq|tag|tagpq)1/.test(text)) return 'is of a kind that the age programs of today\'s distributions cannot open: give the public key that age-keygen prints (age1…)'
  if (!/^age1[a-z0-9]+$/.test(text)) return 'is not the public key of an age key pair: it begins with age1, and age-keygen prints it'
  const shown = `${text.slice(0, 12)}…`
  try {
    const { prefix, bytes } = bech32.decodeToBytes(text)
    return prefix === 'age' && bytes.length === 32 ? undefined : `(${shown}) is not the public key of an age key pair: it has ${bytes.length} bytes instead of 32`
  } catch {
    return `(${shown}) has a mistake in it: its checksum does not fit, so a character is missing or another one`
  }
}
