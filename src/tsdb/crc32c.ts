import { crc32c as nativeCrc32c } from '@node-rs/crc32'

/** A native call costs about 110 ns, whatever the length: below this, tables in JavaScript are faster. */
const nativeFromBytes = 100

const [t0, t1, t2, t3, t4, t5, t6, t7] = slicingTables()

/** CRC-32C (Castagnoli), continued from `initial`: `crc32c(b, crc32c(a))` is the checksum of a followed by b. */
export function crc32c(bytes: Uint8Array, initial = 0): number {
  return nativeCrc32c(bytes, initial)
}

/** CRC-32C of bytes[start, end): for inner loops over short entries, since it makes no view of a short range. */
export function crc32cOfRange(bytes: Uint8Array, start: number, end: number): number {
  if (end - start >= nativeFromBytes) return nativeCrc32c(bytes.subarray(start, end), 0)
  let crc = -1
  let i = start
  for (; i + 8 <= end; i += 8) {
    crc =
      t7[(crc ^ bytes[i]!) & 255]! ^
      t6[((crc >>> 8) ^ bytes[i + 1]!) & 255]! ^
      t5[((crc >>> 16) ^ bytes[i + 2]!) & 255]! ^
      t4[((crc >>> 24) ^ bytes[i + 3]!) & 255]! ^
      t3[bytes[i + 4]!]! ^
      t2[bytes[i + 5]!]! ^
      t1[bytes[i + 6]!]! ^
      t0[bytes[i + 7]!]!
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[i]!) & 255]!
  return ~crc >>> 0
}

type SlicingTables = [Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array]

/** Table n advances a byte's checksum by n more zero bytes ("slicing by 8"). */
function slicingTables(): SlicingTables {
  const first = Int32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    return crc
  })
  const tables = [first]
  for (let n = 1; n < 8; n++) tables.push(tables[n - 1]!.map((crc) => (crc >>> 8) ^ first[crc & 255]!))
  return tables as SlicingTables
}
