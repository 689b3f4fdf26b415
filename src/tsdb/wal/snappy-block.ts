/** Below it a loop is faster than a call of the engine's. */
const leastCalledBytes = 48

/**
 * Unpacks a raw snappy block (google/snappy, format_description.txt) into memory of the caller, which has to be as long as the block says at its start.
 * @throws Error saying what is wrong with it
 */
export function unpackBlock(packed: Uint8Array, target: Uint8Array): void {
  const end = packed.length
  let at = 0
  while (packed[at++]! >= 128);
  let to = 0
  while (at < end) {
    const tag = packed[at++]!
    const kind = tag & 3
    if (kind === 0) {
      let length = (tag >>> 2) + 1
      if (length > 60) {
        const lengthBytes = length - 60
        length = littleEndian(packed, at, lengthBytes) + 1
        at += lengthBytes
      }
      if (length > end - at || length > target.length - to) throw new Error('a literal is longer than the block')
      if (length < leastCalledBytes) for (const stop = to + length; to < stop; ) target[to++] = packed[at++]!
      else {
        target.set(packed.subarray(at, at + length), to)
        to += length
        at += length
      }
      continue
    }
    const offsetBytes = kind === 3 ? 4 : kind
    const length = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1
    const offset = littleEndian(packed, at, offsetBytes) + (kind === 1 ? (tag >>> 5) * 256 : 0)
    at += offsetBytes
    if (offset === 0 || offset > to || length > target.length - to) throw new Error('a copy is from outside the block')
    if (length < leastCalledBytes || offset < length) for (const stop = to + length; to < stop; to++) target[to] = target[to - offset]!
    else {
      target.copyWithin(to, to - offset, to - offset + length)
      to += length
    }
  }
  if (to !== target.length) throw new Error(`it unpacks to ${to} bytes instead of ${target.length}`)
}

function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  if (at + count > bytes.length) throw new Error('it ends within an element')
  let value = 0
  for (let i = count - 1; i >= 0; i--) value = value * 256 + bytes[at + i]!
  return value
}
