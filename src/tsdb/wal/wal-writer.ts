import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { syncPath } from '../../system/sync-path.ts'
import { onDataFile } from '../file-errors.ts'
import { compress } from './compression.ts'
import { type Compression, defaultSegmentBytes, segmentName } from './format.ts'
import { SegmentFrames } from './segment-frames.ts'

export interface WalWriterOptions {
  /** Default snappy, which every Prometheus since 2.11 reads; zstd needs 2.47 to read and Node 22.15 to write. */
  compression?: Compression
  /** The number of the first segment. Default 0. */
  firstSegment?: number
  /** Where the next segment begins; a larger record gets a larger segment. A multiple of 32 KiB; default 128 MiB. */
  segmentBytes?: number
}

export interface WrittenSegment {
  number: number
  path: string
  sizeBytes: number
}

const bufferBytes = 1024 * 1024

/**
 * Writes records into the segments of a log (`wal/`, `wbl/` or a checkpoint), as Prometheus does. Nothing is durable, and the
 * last page not even written, before `close`.
 *
 * Errors of the file system are DISK_FULL, DATA_DIR_UNREADABLE or FILE_SYSTEM; a segment that exists already is FILE_SYSTEM.
 */
export class WalWriter {
  readonly #directory: string
  readonly #compression: Compression
  readonly #segmentBytes: number
  readonly #segments: WrittenSegment[] = []
  #frames: SegmentFrames
  #handle: FileHandle | undefined
  #next: number
  #pending: Uint8Array[] = []
  #pendingBytes = 0

  /** `directory` is made when the first segment is. */
  constructor(directory: string, options: WalWriterOptions = {}) {
    this.#directory = directory
    this.#compression = options.compression ?? 'snappy'
    this.#segmentBytes = options.segmentBytes ?? defaultSegmentBytes
    this.#next = options.firstSegment ?? 0
    this.#frames = new SegmentFrames(this.#segmentBytes)
  }

  /** Appends a record, which may be reused when the promise has resolved. */
  async append(content: Uint8Array): Promise<void> {
    const packed = compress(this.#compression, content)
    await this.appendStored(packed === undefined ? { compression: 'none', bytes: content } : { compression: this.#compression, bytes: packed })
  }

  /** Appends a record as it lies in another log, without packing it anew. The bytes may be reused when the promise has resolved. */
  async appendStored(stored: { compression: Compression; bytes: Uint8Array }): Promise<void> {
    // Where Prometheus would leave an empty segment behind for a record larger than a segment, this does not.
    if (this.#frames.sizeBytes > 0 && !this.#frames.hasRoomFor(stored.bytes.length)) await this.endSegment()
    if (this.#handle === undefined) await this.#beginSegment()
    await this.#write(this.#frames.frame(stored))
  }

  /** Pads, syncs and closes the current segment; the next record begins another. Does nothing where none was begun. */
  async endSegment(): Promise<void> {
    const handle = this.#handle
    if (handle === undefined) return
    const segment = this.#segments.at(-1)!
    await this.#write(this.#frames.padding())
    await this.#flush()
    await onDataFile(segment.path, handle.sync())
    this.#handle = undefined
    await onDataFile(segment.path, handle.close())
    segment.sizeBytes = this.#frames.sizeBytes
    this.#frames = new SegmentFrames(this.#segmentBytes)
  }

  /** Ends the last segment and makes all of them durable. Without any record, one empty segment is made. */
  async close(): Promise<WrittenSegment[]> {
    if (this.#segments.length === 0) await this.#beginSegment()
    await this.endSegment()
    await onDataFile(this.#directory, syncPath(this.#directory))
    return this.#segments
  }

  /** Closes the file that is open, after a failure; what was written stays. */
  async abandon(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
  }

  async #beginSegment(): Promise<void> {
    const number = this.#next++
    const path = join(this.#directory, segmentName(number))
    await onDataFile(this.#directory, mkdir(this.#directory, { recursive: true }))
    this.#handle = await onDataFile(path, open(path, 'wx', 0o644))
    this.#segments.push({ number, path, sizeBytes: 0 })
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#pending.push(bytes)
    this.#pendingBytes += bytes.length
    if (this.#pendingBytes >= bufferBytes) await this.#flush()
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#pending)
    this.#pending = []
    this.#pendingBytes = 0
    await onDataFile(this.#segments.at(-1)!.path, this.#handle!.writeFile(bytes))
  }
}
