import { crc32c } from '../../src/tsdb/crc32c.ts'

/** A part of an index as it is stored: length, body, CRC-32C. */
export function indexSection(body: Uint8Array): Buffer {
  return Buffer.concat([uint32(body.length), body, uint32(crc32c(body))])
}

/** A series entry as it is stored; the body is shorter than 128 bytes. */
export function seriesEntry(body: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.of(body.length), body, uint32(crc32c(body))])
}

export interface IndexOffsets {
  symbols: number
  series: number
  labelIndices: number
  labelOffsetTable: number
  postings: number
  postingsOffsetTable: number
}

/** The last 52 bytes of an index. */
export function indexToc(offsets: IndexOffsets): Buffer {
  const { symbols, series, labelIndices, labelOffsetTable, postings, postingsOffsetTable } = offsets
  const body = Buffer.alloc(48)
  ;[symbols, series, labelIndices, labelOffsetTable, postings, postingsOffsetTable].forEach((offset, i) => body.writeBigUInt64BE(BigInt(offset), i * 8))
  return Buffer.concat([body, uint32(crc32c(body))])
}

/** The offsets of a real index. */
export function offsetsOf(index: Uint8Array): IndexOffsets {
  const view = new DataView(index.buffer, index.byteOffset + index.length - 52, 48)
  const at = (i: number) => Number(view.getBigUint64(i * 8))
  return { symbols: at(0), series: at(1), labelIndices: at(2), labelOffsetTable: at(3), postings: at(4), postingsOffsetTable: at(5) }
}

export interface IndexParts {
  version: number
  /** Series start at multiples of this. */
  seriesAlignment: number
  /** Whether there are label indices and a table of them. Without, `omitted` says how the table of contents shows it. */
  labelIndices: boolean
  omitted?: 'zero' | 'empty'
}

/** A small index of three series with made-up bodies, as servers of other versions lay it out. */
export function buildIndex(parts: IndexParts): Buffer {
  let file = Buffer.from([0xba, 0xaa, 0xd7, 0x00, parts.version])
  const append = (...pieces: Uint8Array[]): number => {
    const at = file.length
    file = Buffer.concat([file, ...pieces])
    return at
  }
  const align = (to: number) => append(Buffer.alloc((to - (file.length % to)) % to))
  const symbols = append(indexSection(Buffer.from('\0\0\0\x02\x01a\x01b')))
  const series = file.length
  for (const body of ['first series', 'second', 'the third and last']) {
    align(parts.seriesAlignment)
    append(seriesEntry(Buffer.from(body)))
  }
  const labelIndices = file.length
  if (parts.labelIndices) {
    align(4)
    append(indexSection(Buffer.from('\0\0\0\x01\0\0\0\x01\0\0\0\0')))
  }
  const postings = file.length
  for (const refs of ['\0\0\0\x03\0\0\0\x02\0\0\0\x04\0\0\0\x06', '\0\0\0\x01\0\0\0\x02']) {
    align(4)
    append(indexSection(Buffer.from(refs)))
  }
  const labelOffsetTable = parts.labelIndices ? append(indexSection(Buffer.from('\0\0\0\x01\x01\x01a\x40'))) : file.length
  const postingsOffsetTable = append(indexSection(Buffer.from('\0\0\0\x01\x02\x01a\x01b\x50')))
  const omitted = !parts.labelIndices && parts.omitted === 'zero'
  append(indexToc({ symbols, series, labelIndices: omitted ? 0 : labelIndices, labelOffsetTable: omitted ? 0 : labelOffsetTable, postings, postingsOffsetTable }))
  return file
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
