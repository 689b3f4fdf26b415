import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load-config.ts'
import { PromDrError } from '../../src/errors.ts'
import { memoryFiles } from './memory-files.ts'

const one = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p'
const two = 'age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg'
const secret = 'AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX'

function load(yaml: string, env: Record<string, string> = {}) {
  return loadConfig({ env, workingDir: '/srv', hostName: 'h', files: memoryFiles({ '/srv/prom-dr.yml': yaml }) }).encryption
}

function refusal(yaml: string, env: Record<string, string> = {}): string {
  try {
    load(yaml, env)
  } catch (error) {
    if (error instanceof PromDrError && error.code === 'CONFIG_INVALID') return JSON.stringify(error) + error.message
    throw error
  }
  throw new Error('the configuration was accepted')
}

describe('the configuration of encryption', () => {
  test('does not ask for the private side: a host that only backs up has none, and a lost key stops no backup', () => {
    expect(load(`encryption: {recipients: [${one}], identityFile: gone/key.txt}`)).toEqual({ recipients: [one], identityFile: '/srv/gone/key.txt', data: false })
  })

  test('takes several recipients from one variable', () => {
    expect(load('', { PROM_DR_ENCRYPTION_RECIPIENTS: `${one}, ${two}`, PROM_DR_ENCRYPTION_DATA: 'true' })).toEqual({ recipients: [one, two], data: true })
  })

  test('names the line of each recipient that is none, and what it is', () => {
    const said = refusal(`encryption:\n  recipients:\n    - ${one}\n    - ${one.slice(0, -1)}q\n    - ssh-ed25519 AAAAC3Nz\n    - somebody\n    - age1pq1qqqq\n    - ${one.toUpperCase()}\n`)
    expect(said).toContain('line 4: encryption.recipients[1] (age1ql3z7hjy…) has a mistake in it: its checksum does not fit')
    expect(said).toContain('line 5: encryption.recipients[2] is an SSH key')
    expect(said).toContain('line 6: encryption.recipients[3] is not the public key of an age key pair')
    expect(said).toContain('line 7: encryption.recipients[4] is of a kind that')
    expect(said).toContain('line 8: encryption.recipients[5] is not the public key')
    expect(said).not.toContain('line 3')
  })

  test('never repeats a secret key that stands where a public one belongs', () => {
    const said = refusal(`encryption: {recipients: [${secret}]}`)
    expect(said).toContain('is a secret key, which has now been written down here')
    expect(said).not.toContain(secret.slice(20, 30))
  })

  test('refuses two passphrases, more keys than an object takes, and data sealed by a passphrase', () => {
    expect(refusal('encryption: {passphrase: a, passphraseFile: /b}')).toContain('line 1: encryption has both passphrase and passphraseFile')
    expect(refusal(`encryption: {recipients: [${Array.from({ length: 11 }, () => one).join(', ')}]}`)).toContain('has more than 10 keys')
    expect(refusal('encryption: {passphraseFile: /b, data: true}')).toContain('encryption.data needs recipients')
    expect(refusal('', { PROM_DR_ENCRYPTION_DATA: 'true' })).toContain('PROM_DR_ENCRYPTION_DATA: needs recipients')
  })
})
