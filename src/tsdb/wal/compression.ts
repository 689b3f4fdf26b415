import { compressSync, uncompressSync } from 'snappy'
import { PromDrError } from '../../errors.ts'
import type { ReusedBuffer } from '../reused-buffer.ts'
import type { Compression } from './format.ts'
import { unpackBlock } from './snappy-block.ts'
import { compressZstd, decompressZstd } from './zstd.ts'

/** A snappy element makes at most 64 bytes of 3. */
const maxSnappyRatio = 22
/** Memory of the library's own, handed over for every record, would cost more than unpacking does. */
const copied = { copyOutputData: true }

/**
 * A stored record, unpacked: a raw snappy block or zstd frames.
 * @throws Error saying why it cannot be; no more than `maxBytes` are ever allocated for it
 */
export function decompress(compression: Compression, stored: Uint8Array, maxBytes: number): Uint8Array {
  // As Prometheus has it: a record without bytes is one, whatever its flags say.
  if (compression === 'none' || stored.length === 0) return stored
  if (compression === 'zstd') return decompressZstd(stored, maxBytes)
  checkClaim(stored, maxBytes)
  return uncompressSync(stored, copied) as Buffer
}

/** As `decompress`, for who looks at one record after the other and keeps none: where it can be, in memory that the next one takes. */
export function decompressInto(memory: ReusedBuffer, compression: Compression, { stored, maxBytes }: { stored: Uint8Array; maxBytes: number }): Uint8Array {
  if (compression !== 'snappy' || stored.length === 0) return decompress(compression, stored, maxBytes)
  const claimedBytes = checkClaim(stored, maxBytes)
  memory.begin(claimedBytes)
  const content = memory.range(0, claimedBytes)
  unpackBlock(stored, content)
  return content
}

/**
 * @returns undefined when compression does not make the record shorter: it is then stored as it is
 * @throws CONFIG_INVALID for zstd on a Node that cannot write it
 */
export function compress(compression: Compression, content: Uint8Array): Uint8Array | undefined {
  if (compression === 'none') return undefined
  if (compression === 'zstd' && compressZstd === undefined) {
    throw new PromDrError('CONFIG_INVALID', `Node ${process.versions.node} cannot write zstd`, { hint: 'choose snappy, or run Node 22.15 or newer' })
  }
  const packed = compression === 'zstd' ? compressZstd!(content) : compressSync(content, copied)
  return packed.length < content.length ? packed : undefined
}

function checkClaim(stored: Uint8Array, maxBytes: number): number {
  const claimedBytes = claimedSnappyBytes(stored)
  if (claimedBytes > maxBytes || claimedBytes > stored.length * maxSnappyRatio) throw new Error(`it claims to unpack to ${claimedBytes} bytes`)
  return claimedBytes
}

/** The uvarint that a snappy block starts with. */
function claimedSnappyBytes(stored: Uint8Array): number {
  let value = 0
  for (let i = 0; i < 5 && i < stored.length; i++) {
    value += (stored[i]! & 127) * 128 ** i
    if (stored[i]! < 128) return value
  }
  throw new Error('it does not start with a length')
}
