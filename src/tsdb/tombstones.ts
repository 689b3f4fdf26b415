import { PromDrError } from '../errors.ts'
import { uint32At } from './big-endian.ts'
import { crc32c } from './crc32c.ts'

/** A deletion: samples of one series of the block's index with mint <= time <= maxt (ms). The bounds may be ±2^63. */
export interface Tombstone {
  seriesRef: bigint
  mint: bigint
  maxt: bigint
}

const magic = 0x0130ba30
const headerBytes = 5
const checksumBytes = 4
const longestVarintBytes = 10
const encodeChunkBytes = 64 * 1024
/** Seven bytes of a uvarint are exact in a number. */
const smallScale = 128 ** 7
const exactBound = BigInt(Number.MAX_SAFE_INTEGER)

/**
 * Reads a block's `tombstones` (Prometheus, tsdb/tombstones): magic, version 1, per deletion a uvarint and two varints, and
 * the CRC-32C of what follows the version. `file` is for messages.
 * @throws DAMAGED
 */
export function parseTombstones(bytes: Uint8Array, file = 'tombstones'): Tombstone[] {
  const entriesEnd = checkFrame(bytes, file)
  const tombstones: Tombstone[] = []
  const cursor = { at: headerBytes, end: entriesEnd }
  while (cursor.at < entriesEnd) {
    const seriesRef = uvarint(bytes, cursor, file)
    const mint = zigzag(uvarint(bytes, cursor, file))
    tombstones.push({ seriesRef, mint, maxt: zigzag(uvarint(bytes, cursor, file)) })
  }
  return tombstones
}

/** True when the file deletes nothing: what every new block has. @throws DAMAGED */
export function isEmptyTombstones(bytes: Uint8Array, file = 'tombstones'): boolean {
  return checkFrame(bytes, file) === headerBytes
}

/** The file that deletes exactly this, as Prometheus would read it. Of one series there may be several deletions. */
export function encodeTombstones(tombstones: Iterable<Tombstone>): Buffer {
  const chunks: Buffer[] = []
  let chunk = Buffer.alloc(encodeChunkBytes)
  let at = 0
  for (const { seriesRef, mint, maxt } of tombstones) {
    if (at + 3 * longestVarintBytes > chunk.length) {
      chunks.push(chunk.subarray(0, at))
      chunk = Buffer.alloc(encodeChunkBytes)
      at = 0
    }
    at = putUvarint(chunk, at, seriesRef)
    at = putUvarint(chunk, at, unsigned(mint))
    at = putUvarint(chunk, at, unsigned(maxt))
  }
  const entries = Buffer.concat([...chunks, chunk.subarray(0, at)])
  const header = Buffer.alloc(headerBytes)
  header.writeUInt32BE(magic)
  header[4] = 1
  const checksum = Buffer.alloc(checksumBytes)
  checksum.writeUInt32BE(crc32c(entries))
  return Buffer.concat([header, entries, checksum])
}

function putUvarint(bytes: Buffer, at: number, value: bigint): number {
  let next = at
  if (value < exactBound) {
    // A tenth of the time that it takes with bigints: a cut block has a deletion for every series.
    let small = Number(value)
    for (; small >= 128; small = Math.floor(small / 128)) bytes[next++] = (small % 128) | 128
    bytes[next++] = small
    return next
  }
  let left = value
  for (; left >= 128n; left >>= 7n) bytes[next++] = Number(left & 127n) | 128
  bytes[next++] = Number(left)
  return next
}

/** Zigzag: small numbers of either sign have few bits. */
function unsigned(value: bigint): bigint {
  return value < 0n ? -2n * value - 1n : 2n * value
}

/** Where the entries end. */
function checkFrame(bytes: Uint8Array, file: string): number {
  const entriesEnd = bytes.length - checksumBytes
  if (entriesEnd < headerBytes) throw damaged(file, `it has ${bytes.length} bytes, too few`)
  if (uint32At(bytes, 0) !== magic || bytes[4] !== 1) throw damaged(file, 'the header is not that of tombstones of version 1')
  if (crc32c(bytes.subarray(headerBytes, entriesEnd)) !== uint32At(bytes, entriesEnd)) throw damaged(file, 'it does not match its checksum')
  return entriesEnd
}

function uvarint(bytes: Uint8Array, cursor: { at: number; end: number }, file: string): bigint {
  const start = cursor.at
  let small = 0
  for (let scale = 1; scale < smallScale && cursor.at < cursor.end; scale *= 128) {
    const byte = bytes[cursor.at++]!
    small += (byte & 127) * scale
    if (byte < 128) return BigInt(small)
  }
  cursor.at = start
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    if (cursor.at >= cursor.end) break
    const byte = bytes[cursor.at++]!
    value |= BigInt(byte & 127) << shift
    if (byte < 128 && value < 1n << 64n) return value
  }
  throw damaged(file, `no valid number ends at byte ${cursor.at}`)
}

function zigzag(value: bigint): bigint {
  return (value & 1n) === 0n ? value >> 1n : -((value + 1n) >> 1n)
}

function damaged(file: string, problem: string): PromDrError {
  return new PromDrError('DAMAGED', `${file} is damaged: ${problem}`, { hint: 'take the file from another copy; "prom-dr verify" lists what is damaged', details: { file } })
}
