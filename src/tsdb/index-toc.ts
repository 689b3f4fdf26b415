import { crc32c } from './crc32c.ts'
import { damagedAt } from './stream-checker.ts'

export const indexTocBytes = 52
export const indexHeaderBytes = 5

/** Where a part of an index lies: bytes [start, end), of which some may be padding. */
export interface IndexRegion {
  name: 'symbol table' | 'series' | 'label indices' | 'postings' | 'label offset table' | 'postings offset table' | 'table of contents'
  start: number
  end: number
}

export interface IndexToc {
  /** Of the whole file. */
  sizeBytes: number
  /** The parts that the index has, back to back from the header to the end; the last is the table of contents. */
  regions: IndexRegion[]
  /** The table itself: what the stream ends with must be the same. */
  bytes: Uint8Array
}

/** In the order of the table; a part that is absent has offset 0. */
const names = ['symbol table', 'series', 'label indices', 'label offset table', 'postings', 'postings offset table'] as const

/** In the order of the file. Where two parts start at one byte, the earlier one is empty (servers that write no label indices). */
const fileOrder: readonly IndexRegion['name'][] = ['symbol table', 'series', 'label indices', 'postings', 'label offset table', 'postings offset table']

/**
 * Reads the table of contents of an index, its last 52 bytes: six offsets (u64, big-endian) and their CRC-32C.
 * `file` is for messages. @throws DAMAGED when the checksum is wrong or the parts do not lie in order in the file.
 */
export function parseIndexToc(lastBytes: Uint8Array, sizeBytes: number, file = 'index'): IndexToc {
  const start = sizeBytes - indexTocBytes
  if (start < indexHeaderBytes || lastBytes.length !== indexTocBytes) throw damagedAt(file, sizeBytes, 'it is too short to be an index')
  const view = new DataView(lastBytes.buffer, lastBytes.byteOffset, lastBytes.byteLength)
  if (crc32c(lastBytes.subarray(0, indexTocBytes - 4)) !== view.getUint32(indexTocBytes - 4)) {
    throw damagedAt(file, start, 'the table of contents does not match its checksum')
  }
  const offsets = new Map<IndexRegion['name'], number>()
  names.forEach((name, i) => {
    const offset = view.getBigUint64(i * 8)
    if (offset > BigInt(start)) throw damagedAt(file, start + i * 8, `the ${name} would start at byte ${offset}, behind the end`)
    if (offset !== 0n) offsets.set(name, Number(offset))
  })
  if (offsets.get('symbol table') !== indexHeaderBytes) throw damagedAt(file, start, 'the symbol table does not follow the header')
  const regions: IndexRegion[] = [{ name: 'table of contents', start, end: sizeBytes }]
  for (const name of fileOrder.toReversed()) {
    const offset = offsets.get(name)
    if (offset === undefined) continue
    const end = regions[0]!.start
    if (offset > end) throw damagedAt(file, start, `the ${name} would start at byte ${offset}, behind what follows it`)
    regions.unshift({ name, start: offset, end })
  }
  return { sizeBytes, regions: regions.filter((region) => region.end > region.start), bytes: Uint8Array.from(lastBytes) }
}
