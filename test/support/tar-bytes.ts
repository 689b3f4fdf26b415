import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { Header, type HeaderData } from 'tar'
import type { NamedArchive } from '../../src/domain/archive.ts'

/** One header and its bytes, as anybody could have written them: nothing is checked. */
export function rawEntry(fields: HeaderData, body: string | Buffer = '', claimedBytes?: number): Buffer {
  const bytes = Buffer.from(body)
  const block = Buffer.alloc(512)
  new Header({ mode: 0o644, uid: 0, gid: 0, mtime: new Date(0), type: 'File', ...fields, size: claimedBytes ?? bytes.byteLength }).encode(block, 0)
  return Buffer.concat([block, bytes, Buffer.alloc((512 - (bytes.byteLength % 512)) % 512)])
}

/** `length key=value\n`, as in a pax header; several are joined by the caller. */
export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  let length = Buffer.byteLength(rest)
  while (String(length).length + Buffer.byteLength(rest) !== length) length = String(length).length + Buffer.byteLength(rest)
  return `${length}${rest}`
}

export function paxHeader(records: Record<string, string>, type: 'ExtendedHeader' | 'GlobalExtendedHeader' = 'ExtendedHeader'): Buffer {
  return rawEntry({ path: 'PaxHeader/x', type }, Object.entries(records).map(([key, value]) => paxRecord(key, value)).join(''))
}

export const tarEnd = Buffer.alloc(1024)

/** What a manifest would say of a tar that somebody made, with every digest right. */
export function archiveOf(tar: Buffer, files: { path: string; body?: string; mode?: number }[]): { compressed: AsyncIterable<Buffer>; archive: Pick<NamedArchive, 'component' | 'contentSha256' | 'files'> } {
  const named = files.map(({ path, body = '', mode = 0o644 }) => ({ path, sizeBytes: Buffer.byteLength(body), sha256: sha256(body), mode }))
  return { compressed: chunksOf(gzipSync(tar)), archive: { component: 'files', contentSha256: sha256(tar), files: named } }
}

export async function* chunksOf(bytes: Buffer, chunkBytes = 1000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.byteLength; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes)
}

export function sha256(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
