import { createHash, type Hash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { PromDrError } from '../errors.ts'
import { dataFileError, diskFailure, onDataFile } from './file-errors.ts'
import { ReusedBuffer } from './reused-buffer.ts'
import { fileIdentity } from './wal-source.ts'
import { scanRecord } from './wal/scan-record.ts'
import { SegmentReader } from './wal/segment-reader.ts'
import { walDamage } from './wal/wal-damage.ts'

/** A run of whole records, their checksums verified and their content decoded. */
export interface TailStretch {
  start: number
  end: number
  newestSampleMs: number | undefined
  oldestSampleMs: number | undefined
}

export interface Tail {
  /** The bytes of all stretches, from the offset that was asked for on. In memory that was given they last until it is read into again. */
  bytes: Buffer
  stretches: TailStretch[]
  /** Where the last stretch ends. */
  end: number
  /** Nothing but an incomplete record follows. */
  reachedEnd: boolean
  sizeBytes: number
  /** Corruption that was met after the last stretch. */
  damage: PromDrError | undefined
  /** The first record of each type that is not known. Servers ignore what they do not know, and so does shipping. */
  unknown: UnknownRecord[]
  /** Of the file that was read, as in a listing. */
  identity: string
  /** False when other bytes than the given ones lie before the offset, or fewer; nothing is given away then. */
  continues: boolean
}

/** A record of a type that only newer servers know. */
export interface UnknownRecord {
  /** Its first byte. */
  type: number
  /** Bytes from the start of the file. */
  offset: number
}

/** How much before the offset is compared: more than a page, so that padding alone is never all of it. */
export const comparedBytes = 64 * 1024

const readBytes = 1024 * 1024
/** Beyond the limit, where a record is longer than that. */
const leastReadBytes = 64 * 1024
/** Of all readings: a record is looked at and done with. */
const unpacked = new ReusedBuffer()

/**
 * Reads what has been added to a segment since `offset`, a record's end: up to about `limitBytes`, more when one record is
 * longer. Every record is checked and decoded before its bytes are given away. Deletions end up in stretches of their own, so that the
 * moment they were made is known as exactly as the reading allows. A record that is not complete yet waits. Damage ends the
 * reading; what is before it is good. `before` is what lay directly before the offset when it was read: a file that was written
 * anew in its place is found by it. What the disk does not give is damage too. `memory` is what the bytes are read into. With `finished` another segment follows, so that padding which does
 * not fill its page ends it.
 */
export async function readTail(path: string, request: { offset: number; limitBytes: number; before?: Buffer; memory?: ReusedBuffer; finished?: boolean }): Promise<Tail> {
  const { offset, limitBytes, before = Buffer.alloc(0), memory = new ReusedBuffer(), finished = false } = request
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw dataFileError(error, path)
  })
  try {
    const stats = await handle.stat({ bigint: true })
    const size = Number(stats.size)
    const identity = fileIdentity(stats)
    const window = Buffer.alloc(before.length)
    const compared = window.length === 0 ? 0 : (await onDataFile(path, handle.read(window, 0, window.length, offset - before.length))).bytesRead
    if (size < offset || compared < before.length || !window.equals(before)) return { bytes: Buffer.alloc(0), stretches: [], end: offset, reachedEnd: false, sizeBytes: size, damage: undefined, unknown: [], identity, continues: false }
    const reader = new SegmentReader(path, { start: offset })
    const collector = new StretchCollector(offset)
    memory.begin(Math.min(size - offset, limitBytes))
    let at = offset
    let damage: PromDrError | undefined
    while (at < size && (reader.settledEnd === offset || at - offset < limitBytes)) {
      const length = Math.min(readBytes, size - at, Math.max(leastReadBytes, limitBytes - (at - offset)))
      const buffer = memory.range(at - offset, at - offset + length)
      const bytesRead = await handle.read(buffer, 0, buffer.length, at).then(({ bytesRead: count }) => count, (error: unknown) => {
        const code = diskFailure(error)
        if (code === undefined) throw dataFileError(error, path)
        damage = walDamage(path, reader.settledEnd, `the disk does not give what is stored there (${code})`)
        return 0
      })
      if (bytesRead === 0) break
      at += bytesRead
      try {
        reader.push(buffer.subarray(0, bytesRead), (record) => collector.take(record))
      } catch (error) {
        if (!(error instanceof PromDrError) || error.code !== 'DAMAGED') throw error
        damage = error
        break
      }
    }
    const end = damage === undefined ? collector.finish(finished && at >= size ? reader.paddedEnd : reader.settledEnd) : collector.finish(collector.end)
    return { bytes: memory.range(0, end - offset), stretches: collector.stretches, end, reachedEnd: at >= size && damage === undefined, sizeBytes: size, damage, unknown: collector.unknown.found, identity, continues: true }
  } finally {
    await handle.close()
  }
}

/** The running SHA-256 of a file's first `length` bytes, and the last of them; undefined when it is shorter. */
export async function hashPrefix(path: string, length: number): Promise<{ hash: Hash; last: Buffer; identity: string } | undefined> {
  const hash = createHash('sha256')
  let last: Buffer = Buffer.alloc(0)
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw dataFileError(error, path)
  })
  try {
    const buffer = Buffer.allocUnsafe(readBytes)
    for (let at = 0; at < length; ) {
      const { bytesRead } = await onDataFile(path, handle.read(buffer, 0, Math.min(readBytes, length - at), at))
      if (bytesRead === 0) return undefined
      hash.update(buffer.subarray(0, bytesRead))
      last = lastOf(last, buffer.subarray(0, bytesRead))
      at += bytesRead
    }
    return { hash, last, identity: fileIdentity(await handle.stat({ bigint: true })) }
  } finally {
    await handle.close()
  }
}

/** The last bytes before where `added` ends: those that are compared when it is read on. */
export function lastOf(before: Buffer, added: Buffer): Buffer {
  if (added.length >= comparedBytes) return Buffer.from(added.subarray(added.length - comparedBytes))
  return Buffer.concat([before.subarray(Math.max(0, before.length + added.length - comparedBytes)), added])
}

/** The first of each type. */
export class UnknownRecords {
  readonly found: UnknownRecord[] = []

  add(type: number, offset: number): void {
    if (!this.found.some((one) => one.type === type)) this.found.push({ type, offset })
  }
}

/** Cuts a run of records into stretches. */
class StretchCollector {
  readonly stretches: TailStretch[] = []
  readonly unknown = new UnknownRecords()
  /** End of the last record taken. */
  end: number
  #open: TailStretch | undefined

  constructor(offset: number) {
    this.end = offset
  }

  take(record: Parameters<Parameters<SegmentReader['push']>[1]>[0]): void {
    const { type, code, minTimestampMs, maxTimestampMs } = scanRecord(record.lentContent(unpacked), record)
    if (type === 'unknown' && code !== undefined) this.unknown.add(code, record.startOffset)
    const deletion = type === 'tombstones'
    if (deletion) this.#close(this.end)
    this.#open ??= { start: this.end, end: this.end, newestSampleMs: undefined, oldestSampleMs: undefined }
    if (maxTimestampMs !== undefined) this.#open.newestSampleMs = Math.max(this.#open.newestSampleMs ?? maxTimestampMs, maxTimestampMs)
    if (minTimestampMs !== undefined) this.#open.oldestSampleMs = Math.min(this.#open.oldestSampleMs ?? minTimestampMs, minTimestampMs)
    this.end = record.endOffset
    if (deletion) this.#close(this.end)
  }

  /** @returns the end of what was collected, padding after the last record included */
  finish(settledEnd: number): number {
    this.#open ??= settledEnd > this.end ? { start: this.end, end: this.end, newestSampleMs: undefined, oldestSampleMs: undefined } : undefined
    this.#close(Math.max(settledEnd, this.end))
    return this.stretches.at(-1)?.end ?? this.end
  }

  #close(end: number): void {
    if (this.#open !== undefined && end > this.#open.start) this.stretches.push({ ...this.#open, end })
    this.#open = undefined
    this.end = end
  }
}

/** The oldest sample near the beginning of a log, ms: of the first record that has any. Null when there is none, or the log is damaged before. */
export async function oldestSampleMs(segments: readonly { path: string }[]): Promise<number | null> {
  for (const { path } of segments) {
    const { stretches, damage } = await readTail(path, { offset: 0, limitBytes: readBytes })
    const oldest = stretches.reduce<number | null>((found, { oldestSampleMs: own }) => (own === undefined ? found : Math.min(found ?? own, own)), null)
    if (oldest !== null || damage !== undefined) return oldest
  }
  return null
}
