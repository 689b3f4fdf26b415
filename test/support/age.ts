import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { pino } from 'pino'
import { createAgeEncryption } from '../../src/integrations/age/age-encryption.ts'
import { type KeySettings, createAgeKeys } from '../../src/integrations/age/keys.ts'
import { createObjectSealing } from '../../src/integrations/age/object-sealing.ts'
import { runProgram } from '../../src/system/process.ts'

export interface KeyPair {
  identity: string
  recipient: string
}

export async function newKeyPair(): Promise<KeyPair> {
  const identity = await generateX25519Identity()
  return { identity, recipient: await identityToRecipient(identity) }
}

/** As `age-keygen` leaves one: comments, the key, readable by its owner alone. */
export async function writeIdentityFile(directory: string, ...identities: string[]): Promise<string> {
  const path = join(directory, `identity-${Math.random().toString(36).slice(2)}.txt`)
  await writeFile(path, ['# created: 2026-11-21T00:00:00Z', '', ...identities, ''].join('\n'))
  await chmod(path, 0o600)
  return path
}

export const silent = pino({ level: 'silent' })

export function ageWith(recipients: readonly string[], settings: KeySettings = {}) {
  return createAgeEncryption(recipients, createAgeKeys(settings, { logger: silent }))
}

export function sealingWith(recipients: readonly string[], settings: KeySettings = {}) {
  return createObjectSealing(recipients, createAgeKeys(settings, { logger: silent }))
}

/** Runs `age` at a terminal of its own, where it asks for the passphrase. */
export async function ageAtTerminal(args: readonly string[], passphrase: string, times: number): Promise<void> {
  const quoted = ['age', ...args].map((arg) => `'${arg}'`).join(' ')
  const { exitCode, stdout } = await runProgram('script', ['-qec', quoted, '/dev/null'], { input: `${passphrase}\n`.repeat(times), timeoutMs: 30_000 })
  if (exitCode !== 0) throw new Error(`age ended with ${exitCode}: ${stdout}`)
}
