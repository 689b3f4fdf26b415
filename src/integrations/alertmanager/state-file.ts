import protobuf from 'protobufjs/minimal.js'

/*
 * State files of Alertmanager, `silences` and `nflog`: records one after the other, each a uvarint length and a protobuf message
 * (silence/silencepb/silence.proto, nflog/nflogpb/nflog.proto). It writes them by renaming, in the order of a Go map, so that two files of
 * the same state differ. One that ends within a record stops its startup.
 */

/** A record's message, without its length. */
export type StateRecord = Uint8Array

export interface StateFile {
  /** Those that are whole. */
  records: StateRecord[]
  /** Why what follows them cannot be read; undefined when all can. */
  damage: string | undefined
}

const longestRecordBytes = 16 * 1024 * 1024

/** Reads up to the first record that is not whole or not one that Alertmanager would take. */
export function readStateFile(bytes: Uint8Array, kind: 'silences' | 'nflog'): StateFile {
  const reader = protobuf.Reader.create(bytes)
  const records: StateRecord[] = []
  while (reader.pos < bytes.byteLength) {
    const start = reader.pos
    const damaged = (why: string): StateFile => ({ records, damage: `${why} at byte ${start} of ${bytes.byteLength}` })
    try {
      const sizeBytes = reader.uint32()
      if (sizeBytes > longestRecordBytes) return damaged(`a record of ${sizeBytes} bytes`)
      if (reader.pos + sizeBytes > bytes.byteLength) return damaged('it ends within a record')
      const record = bytes.subarray(reader.pos, reader.pos + sizeBytes)
      if (!isRecord(record, kind)) return damaged('something that is no record')
      records.push(record)
      reader.pos += sizeBytes
    } catch (error) {
      // What the reader throws for bytes that are no message: RangeError beyond their end, Error for tags and types that there are not.
      if (!(error instanceof Error) || error instanceof TypeError) throw error
      return damaged(reader.pos >= bytes.byteLength ? 'it ends within a record' : 'something that is no record')
    }
  }
  return { records, damage: undefined }
}

/** The bytes of a file with these records, sorted: the same state gives the same bytes. */
export function stateFileBytes(records: readonly StateRecord[]): Uint8Array {
  const sorted = [...records].sort((a, b) => Buffer.compare(a, b))
  const writer = protobuf.Writer.create()
  for (const record of sorted) writer.bytes(record)
  return writer.finish()
}

/** Reads a message to its end: each field of the list gets the bytes of each of its values, everything else is skipped. */
export function eachField(bytes: Uint8Array, fields: Readonly<Record<number, (value: Uint8Array | number) => void>>): void {
  const reader = protobuf.Reader.create(bytes)
  while (reader.pos < reader.len) {
    const key = reader.uint32()
    const read = fields[key >>> 3]
    if (read !== undefined && (key & 7) === 2) read(reader.bytes())
    else if (read !== undefined && (key & 7) === 0) read(Number(reader.int64()))
    else reader.skipType(key & 7)
  }
}

/** Alertmanager refuses a record without its silence, or without its entry and that one's receiver, as invalid. */
function isRecord(record: StateRecord, kind: 'silences' | 'nflog'): boolean {
  let complete = false
  eachField(record, {
    1: (inner) => {
      if (typeof inner === 'number') return
      if (kind === 'silences') eachField(inner, { 1: (id) => (complete = typeof id !== 'number' && id.byteLength > 0) })
      else eachField(inner, { 2: (receiver) => (complete = typeof receiver !== 'number') })
    },
  })
  return complete
}
