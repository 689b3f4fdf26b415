/**
 * What encryption costs on one core, beside the age library doing all of it: MB of plain bytes per second of CPU, and objects per second.
 *   npx tsx bench/seal-speed.ts
 */
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { createAgeEncryption } from '../src/integrations/age/age-encryption.ts'
import { createAgeKeys } from '../src/integrations/age/keys.ts'
import { createObjectSealing } from '../src/integrations/age/object-sealing.ts'
import { createEncryptingStore } from '../src/stores/encrypting-store.ts'
import { createMemoryStore } from '../src/stores/memory-store.ts'
import { bytesBody } from '../src/stores/object-store.ts'
import { silentLogger } from '../src/system/logger.ts'

const pieceBytes = 1024 * 1024
const pieces = 512
const smallBytes = 20_000
const smallObjects = 500

async function cpuSeconds(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

async function measure(what: string, count: { bytes?: number; objects?: number }, work: () => Promise<unknown>): Promise<void> {
  const seconds = await cpuSeconds(work)
  const { bytes, objects } = count
  console.log(`${what.padEnd(46)} ${bytes === undefined ? `${((objects ?? 0) / seconds).toFixed(0).padStart(6)} objects/s` : `${(bytes / 1e6 / seconds).toFixed(0).padStart(6)} MB/s`}`)
}

async function drain(source: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const kept: Uint8Array[] = []
  for await (const piece of source) kept.push(piece)
  return kept
}

async function* repeated(piece: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < pieces; n += 1) yield piece
}

async function* listed(list: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* list
}

async function main(directory: string): Promise<void> {
  const identity = await generateX25519Identity()
  const recipient = await identityToRecipient(identity)
  const identityFile = join(directory, 'key.txt')
  await writeFile(identityFile, `${identity}\n`)
  await chmod(identityFile, 0o600)
  const keys = createAgeKeys({ identityFile }, { logger: silentLogger })
  const encryption = createAgeEncryption([recipient], keys)
  const piece = randomBytes(pieceBytes)
  const bytes = pieces * pieceBytes
  let sealed: Uint8Array[] = []
  await measure('seal', { bytes }, async () => (sealed = await drain(encryption.encrypt(repeated(piece)))))
  await measure('open', { bytes }, () => drain(encryption.decrypt(listed(sealed))))

  const encrypter = new Encrypter()
  encrypter.addRecipient(recipient)
  const decrypter = new Decrypter()
  decrypter.addIdentity(identity)
  const whole = Buffer.alloc(64 * pieceBytes, piece)
  let byLibrary: Uint8Array = new Uint8Array(0)
  await measure('seal, by the library alone', { bytes: whole.length }, async () => (byLibrary = await encrypter.encrypt(whole)))
  await measure('open, by the library alone', { bytes: whole.length }, () => decrypter.decrypt(byLibrary))

  const store = createEncryptingStore(createMemoryStore(), { sealing: createObjectSealing([recipient], keys), seals: () => true, write: true })
  const small = randomBytes(smallBytes)
  await measure(`store an object of ${smallBytes / 1000} KB`, { objects: smallObjects }, async () => {
    for (let n = 0; n < smallObjects; n += 1) await store.create(`objects/${n}`, bytesBody(small))
  })
  await measure(`read an object of ${smallBytes / 1000} KB`, { objects: smallObjects }, async () => {
    for (let n = 0; n < smallObjects; n += 1) await drain((await store.get(`objects/${n}`)).body as AsyncIterable<Uint8Array>)
  })
}

const directory = await mkdtemp(join(tmpdir(), 'prom-dr-seal-'))
await main(directory).finally(() => rm(directory, { recursive: true, force: true }))
