import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { isDataKey } from '../../src/repository/data-keys.ts'
import { readWal } from '../../src/repository/wal-compression.ts'
import { listPieces, storePiece, storeSealedSegment } from '../../src/repository/wal-stream.ts'
import { createEncryptingStore } from '../../src/stores/encrypting-store.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { newKeyPair, sealingWith, writeIdentityFile } from '../support/age.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const generation = '20261121T081500Z-0a1b2c3d'
const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

async function unpacked(source: AsyncIterable<Buffer>): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of source) pieces.push(piece)
  return digest(Buffer.concat(pieces))
}

test('a host without a secret key stores parts and segments again after a crash, as if they were plain', async () => {
  const pair = await newKeyPair()
  const memory = createMemoryStore()
  const store = createEncryptingStore(memory, { sealing: sealingWith([pair.recipient]), seals: isDataKey, write: true })
  const bytes = randomBytes(200_000)
  // What does not compress stays above the size up to which digests are computed for a note.
  const large = randomBytes(9 * 1024 * 1024)
  const piece = { log: 'wal' as const, segment: 3, start: 0, newestSample: 1_700_000_000_000, seenAt: 1_700_000_000_000, predecessor: undefined }
  const part = { ...piece, end: bytes.length, digest: digest(bytes), sealed: false }
  const segment = { ...piece, segment: 4, end: large.length, digest: digest(large), sealed: true }
  for (let run = 1; run <= 2; run += 1) {
    const stored = await storePiece(store, 'prom-a', { generation, piece: part, bytes })
    await storeSealedSegment(store, 'prom-a', { generation, piece: segment, async *open() { yield large } })
    const pieces = await listPieces(store, 'prom-a', { generation, log: 'wal' })
    expect(pieces.map(({ end, sealed }) => ({ end, sealed }))).toEqual([{ end: part.end, sealed: false }, { end: segment.end, sealed: true }])
    expect(pieces[0]).toEqual(stored)
  }
  expect([...memory.objects.keys()].filter(isDataKey)).toEqual([])

  const identityFile = await writeIdentityFile(await temporaryDirectory(), pair.identity)
  const reading = createEncryptingStore(memory, { sealing: sealingWith([], { identityFile }), seals: isDataKey, write: false })
  for (const { key, end, digest: expected } of await listPieces(reading, 'prom-a', { generation, log: 'wal' })) expect(await unpacked(readWal(reading, key, { length: end }))).toBe(expected)
})
