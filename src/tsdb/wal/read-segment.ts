import { open } from 'node:fs/promises'
import { PromDrError } from '../../errors.ts'
import { onDataFile } from '../file-errors.ts'
import type { FramedRecord } from './framed-record.ts'
import { type SegmentEnd, SegmentReader, type SegmentReaderOptions } from './segment-reader.ts'

export interface ReadSegmentOptions extends SegmentReaderOptions {
  /** Bytes at and after this offset are not read. Default: what the file has while it is read. */
  end?: number
  signal?: AbortSignal
}

const readBytes = 1024 * 1024

/**
 * Reads the records of a segment file, from `start` to its end, 1 MiB at a time. The callback is awaited when it gives a
 * promise for a chunk's records; records are lent until it is settled.
 * @throws DAMAGED after the records before the damage were handed over; INTERRUPTED; DATA_DIR_UNREADABLE or FILE_SYSTEM
 */
export async function readSegment(path: string, options: ReadSegmentOptions, onRecords: (records: FramedRecord[]) => void | Promise<void>): Promise<SegmentEnd> {
  const reader = new SegmentReader(path, options)
  const handle = await onDataFile(path, open(path, 'r'))
  try {
    const buffer = Buffer.allocUnsafe(readBytes)
    for (;;) {
      if (options.signal?.aborted) throw new PromDrError('INTERRUPTED', `reading ${path} was interrupted`, { cause: options.signal.reason })
      const wanted = Math.min(readBytes, (options.end ?? Infinity) - reader.offset)
      const { bytesRead } = await onDataFile(path, handle.read(buffer, 0, wanted, reader.offset))
      if (bytesRead === 0) return reader.end()
      await pushAndHandOver(reader, buffer.subarray(0, bytesRead), onRecords)
    }
  } finally {
    await handle.close()
  }
}

async function pushAndHandOver(reader: SegmentReader, bytes: Uint8Array, onRecords: (records: FramedRecord[]) => void | Promise<void>): Promise<void> {
  const records: FramedRecord[] = []
  try {
    reader.push(bytes, (record) => void records.push(record))
  } finally {
    if (records.length > 0) await onRecords(records)
  }
}
