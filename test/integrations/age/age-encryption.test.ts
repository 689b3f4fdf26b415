import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { headerBytes, mostRecipients, readNote } from '../../../src/integrations/age/file-head.ts'
import { runProgram } from '../../../src/system/process.ts'
import { ageAtTerminal, ageWith, newKeyPair, writeIdentityFile } from '../../support/age.ts'
import { needPrograms } from '../../support/programs.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const chunk = 64 * 1024
/** Around the ends of chunks, where formats go wrong. */
const sizes = [0, 1, 15, 16, 17, chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk + 77]

async function* inPieces(bytes: Buffer, pieceBytes = 10_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

async function whole(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of source) pieces.push(piece)
  return Buffer.concat(pieces)
}

describe('encryption in the age format', () => {
  it('gives back what was sealed, for each of several recipients, at any size', async () => {
    const directory = await temporaryDirectory()
    const [a, b, stranger] = [await newKeyPair(), await newKeyPair(), await newKeyPair()]
    const sealing = ageWith([b.recipient, a.recipient, a.recipient])
    expect(sealing.recipients).toEqual([a.recipient, b.recipient].sort())
    for (const size of sizes) {
      const plain = randomBytes(size)
      const sealed = await whole(sealing.encrypt(inPieces(plain)))
      for (const { identity } of [a, b]) {
        const opening = ageWith([], { identityFile: await writeIdentityFile(directory, stranger.identity, identity) })
        expect((await whole(opening.decrypt(inPieces(sealed, 1777)))).equals(plain)).toBe(true)
      }
    }
  })

  it('has a header of one length for one recipient and for the most there can be', async () => {
    const pairs = await Promise.all(Array.from({ length: mostRecipients }, newKeyPair))
    for (const count of [1, 2, mostRecipients]) {
      const recipients = pairs.slice(0, count).map(({ recipient }) => recipient).sort()
      const sealed = await whole(ageWith(recipients).encrypt(inPieces(Buffer.from('x'))))
      expect(sealed.length).toBe(headerBytes + 16 + 1 + 16)
      expect(readNote(sealed.subarray(0, headerBytes))).toEqual({ recipients, plainSha256: undefined })
    }
  })

  it('is opened by the stock age program, at any size', async (context) => {
    needPrograms(context, 'age')
    const directory = await temporaryDirectory()
    const pairs = await Promise.all(Array.from({ length: mostRecipients }, newKeyPair))
    const identityFile = await writeIdentityFile(directory, pairs[3]!.identity)
    for (const size of sizes) {
      const plain = randomBytes(size)
      await writeFile(join(directory, 'sealed.age'), ageWith(pairs.map(({ recipient }) => recipient)).encrypt(inPieces(plain)))
      const outputFile = join(directory, `${size}.plain`)
      expect(await runProgram('age', ['-d', '-i', identityFile, join(directory, 'sealed.age')], { outputFile })).toMatchObject({ exitCode: 0, stderr: '' })
      expect((await readFile(outputFile)).equals(plain)).toBe(true)
    }
  })

  it('opens what the stock age program seals', async (context) => {
    needPrograms(context, 'age', 'age-keygen')
    const directory = await temporaryDirectory()
    const identityFile = join(directory, 'key.txt')
    await runProgram('age-keygen', ['-o', identityFile])
    const recipient = (await runProgram('age-keygen', ['-y', identityFile])).stdout.trim()
    for (const size of sizes) {
      const plain = randomBytes(size)
      await writeFile(join(directory, 'plain'), plain)
      await runProgram('age', ['-r', (await newKeyPair()).recipient, '-r', recipient, '-o', join(directory, `${size}.age`), join(directory, 'plain')])
      const sealed = await readFile(join(directory, `${size}.age`))
      expect((await whole(ageWith([], { identityFile }).decrypt(inPieces(sealed)))).equals(plain)).toBe(true)
    }
  })

  it('shares passphrases with the stock age program, in both directions', async (context) => {
    needPrograms(context, 'age', 'script')
    const directory = await temporaryDirectory()
    const plain = randomBytes(chunk + 5)
    const path = (name: string) => join(directory, name)
    await writeFile(path('passphrase'), 'correct horse\n')
    const encryption = ageWith([], { passphraseFile: path('passphrase') })
    expect(encryption.recipients).toEqual([])
    await writeFile(path('ours.age'), encryption.encrypt(inPieces(plain)))
    await ageAtTerminal(['-d', '-o', path('ours'), path('ours.age')], 'correct horse', 1)
    expect((await readFile(path('ours'))).equals(plain)).toBe(true)
    await ageAtTerminal(['-p', '-o', path('theirs.age'), path('ours')], 'correct horse', 2)
    expect((await whole(encryption.decrypt(inPieces(await readFile(path('theirs.age')))))).equals(plain)).toBe(true)
    const wrong = ageWith([], { passphrase: 'incorrect horse' })
    await expect(whole(wrong.decrypt(inPieces(await readFile(path('theirs.age')))))).rejects.toMatchObject({ code: 'KEY_MISSING', message: 'it is sealed with a passphrase; the passphrase that is configured does not open it' })
  })

  it('takes an identity file that is itself sealed with a passphrase, armored or not', async (context) => {
    needPrograms(context, 'age', 'script')
    const directory = await temporaryDirectory()
    const pair = await newKeyPair()
    const bare = await writeIdentityFile(directory, pair.identity)
    const sealed = await whole(ageWith([pair.recipient]).encrypt(inPieces(Buffer.from('content'))))
    for (const armor of [[], ['-a']]) {
      const identityFile = join(directory, `key${armor.join('')}.age`)
      await ageAtTerminal(['-p', ...armor, '-o', identityFile, bare], 'battery staple', 2)
      expect((await whole(ageWith([], { identityFile, passphrase: 'battery staple' }).decrypt(inPieces(sealed)))).toString()).toBe('content')
      await expect(whole(ageWith([], { identityFile, passphrase: 'wrong' }).decrypt(inPieces(sealed)))).rejects.toMatchObject({ code: 'KEY_MISSING', message: expect.stringContaining(identityFile) })
      await expect(whole(ageWith([], { identityFile }).decrypt(inPieces(sealed)))).rejects.toMatchObject({ code: 'KEY_MISSING', message: expect.stringContaining('no passphrase is configured') })
    }
  })

  it('says whom it is sealed for when the key is missing or another one', async () => {
    const directory = await temporaryDirectory()
    const [a, b, stranger] = [await newKeyPair(), await newKeyPair(), await newKeyPair()]
    const recipients = [a.recipient, b.recipient].sort()
    const sealed = await whole(ageWith(recipients).encrypt(inPieces(Buffer.from('content'))))
    const missing = { code: 'KEY_MISSING', details: { recipients }, hint: expect.stringContaining('encryption.identityFile') }
    await expect(whole(ageWith(recipients).decrypt(inPieces(sealed)))).rejects.toMatchObject({ ...missing, message: `it is sealed for ${recipients.join(', ')}; no identity is configured` })
    const identityFile = await writeIdentityFile(directory, stranger.identity)
    await expect(whole(ageWith([], { identityFile }).decrypt(inPieces(sealed)))).rejects.toMatchObject({ ...missing, message: `it is sealed for ${recipients.join(', ')}; no identity in ${identityFile} opens it` })
    await expect(whole(ageWith([], { identityFile: '/nowhere/key.txt' }).decrypt(inPieces(sealed)))).rejects.toMatchObject({ code: 'KEY_MISSING', message: 'the identity file /nowhere/key.txt cannot be read (ENOENT)' })
    await expect(whole(ageWith([]).encrypt(inPieces(Buffer.from('content'))))).rejects.toMatchObject({ code: 'KEY_MISSING' })
  })

  it('repeats nothing of an identity file that it cannot use', async () => {
    const directory = await temporaryDirectory()
    const { identity, recipient } = await newKeyPair()
    const sealed = await whole(ageWith([recipient]).encrypt(inPieces(Buffer.from('content'))))
    const damagedKey = identity.slice(0, -1) + (identity.endsWith('Q') ? 'P' : 'Q')
    const identityFile = await writeIdentityFile(directory, damagedKey)
    const failure = await whole(ageWith([], { identityFile }).decrypt(inPieces(sealed))).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'CONFIG_INVALID', message: `${identityFile} holds no age identity in line 3` })
    expect(JSON.stringify(failure)).not.toContain(damagedKey.slice(20, 40))
    await expect(whole(ageWith([], { identityFile: await writeIdentityFile(directory) }).decrypt(inPieces(sealed)))).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('holds no age identity') })
  })

  it('notices every changed, missing and added byte, exchanged chunks, and a file that was cut at a chunk', async () => {
    const directory = await temporaryDirectory()
    const { identity, recipient } = await newKeyPair()
    const opening = ageWith([], { identityFile: await writeIdentityFile(directory, identity) })
    const plain = randomBytes(3 * chunk)
    const sealed = await whole(ageWith([recipient]).encrypt(inPieces(plain)))
    const body = headerBytes + 16
    const sealedChunk = chunk + 16
    const exchanged = Buffer.concat([sealed.subarray(0, body), sealed.subarray(body + sealedChunk, body + 2 * sealedChunk), sealed.subarray(body, body + sealedChunk), sealed.subarray(body + 2 * sealedChunk)])
    const wrong = [sealed.subarray(0, -1), sealed.subarray(0, body + 2 * sealedChunk), sealed.subarray(0, body), sealed.subarray(0, 100), Buffer.concat([sealed, Buffer.from('x')]), exchanged, Buffer.alloc(0), Buffer.alloc(100_000, 'x')]
    for (const bytes of wrong) await expect(whole(opening.decrypt(inPieces(bytes)))).rejects.toMatchObject({ code: 'DAMAGED' })
    await fc.assert(fc.asyncProperty(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const flipped = Buffer.from(sealed)
      flipped[at]! ^= flip
      // A flipped byte in a stanza can make the key another one: then nobody is able to tell damage from a file for others.
      const outcome = await whole(opening.decrypt(inPieces(flipped))).catch((error: unknown) => error)
      expect(outcome).toMatchObject({ code: at < headerBytes ? expect.stringMatching(/^(DAMAGED|KEY_MISSING)$/) : 'DAMAGED' })
    }), { numRuns: 60 })
  })

  it('holds little in memory', { timeout: 240_000 }, async () => {
    const directory = await temporaryDirectory()
    const { identity, recipient } = await newKeyPair()
    const piece = randomBytes(1024 * 1024)
    const megabytes = 512
    async function* plain() {
      for (let n = 0; n < megabytes; n += 1) yield piece
    }
    const opening = ageWith([recipient], { identityFile: await writeIdentityFile(directory, identity) })
    const hash = createHash('sha256')
    let mostBytes = 0
    for await (const bytes of opening.decrypt(opening.encrypt(plain()))) {
      hash.update(bytes)
      mostBytes = Math.max(mostBytes, process.memoryUsage.rss())
    }
    const expected = createHash('sha256')
    for (let n = 0; n < megabytes; n += 1) expected.update(piece)
    expect(hash.digest('hex')).toBe(expected.digest('hex'))
    expect(mostBytes).toBeLessThan(megabytes * 1024 * 1024)
  })
})
