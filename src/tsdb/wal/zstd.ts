import * as zlib from 'node:zlib'
import { decompress as decompressInJavaScript, Decompress } from 'fzstd'

/** node:zlib as of 22.15, of which Node 20 has nothing. */
interface ZstdOfNode {
  zstdCompressSync?: (bytes: Uint8Array) => Buffer
  zstdDecompressSync?: (bytes: Uint8Array, options: { maxOutputLength: number }) => Buffer
}

const native = zlib as ZstdOfNode

/** True where this Node can write zstd (22.15 and later); every Node can read it. */
export const canCompressZstd = native.zstdCompressSync !== undefined

/** What zstd's own decoders allow unless told otherwise. */
const maxWindowBytes = 128 * 1024 * 1024

/** Undefined: this Node cannot. */
export const compressZstd = native.zstdCompressSync

/** @throws Error when the bytes are no whole zstd frame, or would be more than `maxBytes` when unpacked */
export function decompressZstd(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const { contentBytes } = readFrameHeader(bytes)
  // node:zlib takes a frame that is cut off for whole, so that the size it announces is what shows it.
  if (native.zstdDecompressSync === undefined || contentBytes === undefined) return decompressPortably(bytes, maxBytes)
  if (contentBytes > maxBytes) throw tooLarge(maxBytes)
  const content = native.zstdDecompressSync(bytes, { maxOutputLength: Math.max(contentBytes, 1) })
  if (content.length !== contentBytes) throw new Error(`it unpacks to ${content.length} of ${contentBytes} bytes`)
  return content
}

/** The same without node:zlib, in JavaScript. */
export function decompressPortably(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const { contentBytes, windowBytes } = readFrameHeader(bytes)
  if (contentBytes !== undefined && contentBytes > maxBytes) throw tooLarge(maxBytes)
  if (windowBytes > maxWindowBytes) throw new Error(`it wants a window of ${windowBytes} bytes`)
  if (contentBytes !== undefined) return decompressInJavaScript(bytes)
  const pieces: Uint8Array[] = []
  let sizeBytes = 0
  const stream = new Decompress((piece) => {
    sizeBytes += piece.length
    if (sizeBytes > maxBytes) throw tooLarge(maxBytes)
    pieces.push(piece)
  })
  stream.push(bytes, true)
  return Buffer.concat(pieces)
}

/**
 * What a frame says it needs (RFC 8878, 3.1.1.1): the descriptor's bits 6–7 give the width of the content size, bit 5 a single
 * segment (then the window is the content), bits 0–1 the width of the dictionary's id.
 */
function readFrameHeader(bytes: Uint8Array): { contentBytes?: number; windowBytes: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 6 || view.getUint32(0, true) !== 0xfd2fb528) throw new Error('it does not start with a zstd frame')
  const descriptor = bytes[4]!
  const singleSegment = (descriptor & 0x20) !== 0
  const contentAt = (singleSegment ? 5 : 6) + [0, 1, 2, 4][descriptor & 3]!
  const contentBytes = readContentSize(view, contentAt, [singleSegment ? 1 : 0, 2, 4, 8][descriptor >>> 6]!)
  const exponentAndMantissa = bytes[5]!
  const windowBytes = singleSegment ? 0 : 2 ** (10 + (exponentAndMantissa >>> 3)) * (1 + (exponentAndMantissa & 7) / 8)
  return { windowBytes, ...(contentBytes !== undefined && { contentBytes }) }
}

function readContentSize(view: DataView, at: number, width: number): number | undefined {
  if (at + width > view.byteLength) throw new Error('it ends within the header of a zstd frame')
  switch (width) {
    case 1:
      return view.getUint8(at)
    case 2:
      return view.getUint16(at, true) + 256
    case 4:
      return view.getUint32(at, true)
    case 8:
      return Number(view.getBigUint64(at, true))
    default:
      return undefined
  }
}

function tooLarge(maxBytes: number): Error {
  return new Error(`it would unpack to more than ${maxBytes} bytes`)
}
