import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { PromDrError, systemCode } from '../errors.ts'
import { dataFileError } from './file-errors.ts'
import { ReusedBuffer } from './reused-buffer.ts'
import { type UnknownRecord, UnknownRecords } from './wal-tail.ts'
import { scanRecord } from './wal/scan-record.ts'
import { SegmentReader } from './wal/segment-reader.ts'

const readBytes = 256 * 1024

export interface Pacing {
  /** Called for every piece. */
  rest?: () => Promise<void>
}

export interface WholeSegment {
  sizeBytes: number
  /** SHA-256, lowercase hex. */
  digest: string
  unknown: UnknownRecord[]
}

/**
 * Checks a segment file that is never appended to again, as those of a checkpoint: every record is checked and decoded, a piece of the
 * file is in memory at a time.
 * @throws DAMAGED, also when it ends within a record; DATA_DIR_UNREADABLE when it is gone
 */
export async function checkWholeSegment(path: string, { rest }: Pacing = {}): Promise<WholeSegment> {
  const hash = createHash('sha256')
  const reader = new SegmentReader(path)
  const unpacked = new ReusedBuffer()
  const unknown = new UnknownRecords()
  for await (const piece of piecesOf(path)) {
    await rest?.()
    hash.update(piece)
    reader.push(piece, (record) => {
      const { type, code } = scanRecord(record.lentContent(unpacked), record)
      if (type === 'unknown' && code !== undefined) unknown.add(code, record.startOffset)
    })
  }
  const { state, recordEnd, sizeBytes, reason } = reader.end()
  if (state === 'torn') throw new PromDrError('DAMAGED', `${path} ends within a record at byte ${recordEnd}: ${reason}`, { details: { file: path, offset: recordEnd } })
  return { sizeBytes, digest: hash.digest('hex'), unknown: unknown.found }
}

/**
 * The bytes that were checked; the memory of a piece is used again when the next is asked for.
 * @throws CONTENTION when they are others by now; DATA_DIR_UNREADABLE when the file is gone
 */
export async function* readCheckedSegment(path: string, { digest, rest }: Pick<WholeSegment, 'digest'> & Pacing): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  for await (const piece of piecesOf(path)) {
    await rest?.()
    hash.update(piece)
    yield piece
  }
  if (hash.digest('hex') !== digest) throw new PromDrError('CONTENTION', `${path} changed while it was read`)
}

/** Always in the same memory. */
async function* piecesOf(path: string): AsyncGenerator<Buffer> {
  const failed = (error: unknown) => {
    throw systemCode(error) === undefined ? error : dataFileError(error, path)
  }
  const handle = await open(path, 'r').catch(failed)
  try {
    const memory = Buffer.allocUnsafeSlow(readBytes)
    for (;;) {
      const { bytesRead } = await handle.read(memory, 0, readBytes).catch(failed)
      if (bytesRead === 0) return
      yield memory.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}
