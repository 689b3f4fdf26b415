import { randomBytes } from 'node:crypto'
import type { ObjectSealing, OpenedObject, SealedObject } from '../../domain/object-sealing.ts'
import { PromDrError } from '../../errors.ts'
import { headerBytes, headerLength, readNote } from './file-head.ts'
import type { AgeKeys } from './keys.ts'
import { chunkBytes, damagedPayload, openChunks, openedBytes, payloadKey, payloadNonceBytes, sealChunks, sealedBytes, sealedChunkBytes } from './payload.ts'

const headBytes = headerBytes + payloadNonceBytes

/** Objects sealed in the age format, behind a header that has one length whoever it is for. */
export function createObjectSealing(recipients: readonly string[], keys: AgeKeys): ObjectSealing {
  const sorted = [...new Set(recipients)].sort()
  return {
    recipients: sorted,
    headBytes,
    storedBytes: (plainBytes) => headBytes + sealedBytes(plainBytes),
    plainBytes: (storedBytes) => (storedBytes < headBytes ? undefined : openedBytes(storedBytes - headBytes)),
    readNote: (head) => readNote(head),

    async seal({ plainSha256 }) {
      const { sealHeader } = await import('./header.ts')
      const { bytes, fileKey } = await sealHeader(sorted, plainSha256)
      const nonce = randomBytes(payloadNonceBytes)
      return sealedObject(Buffer.concat([bytes, nonce]), payloadKey(fileKey, nonce))
    },

    async openHead(head) {
      const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
      if (headerLength(bytes) !== headerBytes || bytes.length < headBytes) throw damagedPayload(`its header has not the ${headerBytes} bytes of those that prom-dr writes`)
      const { openHeader } = await import('./header.ts')
      const fileKey = await openHeader(bytes.subarray(0, headerBytes), await keys.identities(), keys.where)
      return openedObject(payloadKey(fileKey, bytes.subarray(headerBytes, headBytes)))
    },
  }
}

function sealedObject(head: Buffer, key: Buffer): SealedObject {
  const tags: Buffer[] = []
  // A key under which two contents were sealed gives both away: other bytes than the first time never leave.
  const refuseOther = (chunk: number, tag: Buffer) => {
    const known = tags[chunk]
    if (known === undefined) tags[chunk] = tag
    else if (!known.equals(tag)) {
      throw new PromDrError('FILE_SYSTEM', `a source gave other bytes when it was read again, from byte ${chunk * chunkBytes} on`, { hint: 'the source changed while it was read; run the command again' })
    }
  }
  return {
    async *encrypt(plain) {
      yield head
      yield* sealChunks(plain, key, refuseOther)
    },
  }
}

function openedObject(key: Buffer): OpenedObject {
  return {
    storedRange({ start, end }) {
      return { start: headBytes + Math.floor(start / chunkBytes) * sealedChunkBytes, end: headBytes + Math.max(1, Math.ceil(end / chunkBytes)) * sealedChunkBytes }
    },

    async *decrypt(stored, { start, end, plainBytes }) {
      const first = Math.floor(start / chunkBytes)
      const last = Math.max(1, Math.ceil(plainBytes / chunkBytes)) - 1
      let at = first * chunkBytes
      for await (const chunk of openChunks(stored, key, { first, last })) {
        const from = Math.max(start - at, 0)
        const to = Math.min(end - at, chunk.length)
        at += chunk.length
        if (to > from) yield chunk.subarray(from, to)
      }
      if (at < end) throw damagedPayload(`it ends after ${at} bytes instead of ${plainBytes}`)
    },
  }
}
