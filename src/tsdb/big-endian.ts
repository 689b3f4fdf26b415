/** The unsigned 32-bit number at bytes[i…i+4), most significant byte first, as everything in a TSDB is stored. */
export function uint32At(bytes: Uint8Array, i: number): number {
  return ((bytes[i]! << 24) | (bytes[i + 1]! << 16) | (bytes[i + 2]! << 8) | bytes[i + 3]!) >>> 0
}
