import { Header, Pax } from 'tar'
import { PromDrError } from '../errors.ts'

/** A plain file in a tar: the only kind that archives have. */
export interface TarEntry {
  path: string
  sizeBytes: number
  /** Permissions. */
  mode: number
}

const blockBytes = 512
/** The same for every file, so that equal content is an equal archive; 1980, since tar programs complain about older times. */
const fixedTime = new Date(Date.UTC(1980, 0, 1))
/** What a path of the longest kind takes as an extended header, by far. */
const mostExtendedBytes = 64 * 1024
/** Tar programs fill up the last record of an archive. */
const mostPaddingBytes = 1024 * 1024

/** What stands before a file's bytes: a ustar header, after a pax header where the path does not fit into it. Owned by root, of a fixed time. */
export function entryHeader({ path, sizeBytes, mode }: TarEntry): Buffer {
  const fields = { path, mode, uid: 0, gid: 0, size: sizeBytes, mtime: fixedTime, type: 'File' as const, uname: '', gname: '' }
  const block = Buffer.alloc(blockBytes)
  const needsPax = new Header(fields).encode(block, 0)
  if (!needsPax) return block
  // Only what does not fit is repeated: two archives of the same files stay equal.
  return Buffer.concat([new Pax({ path, size: sizeBytes, mtime: fixedTime }).encode(), block])
}

/** What follows a file's bytes, to the end of their last block. */
export function entryPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((blockBytes - (sizeBytes % blockBytes)) % blockBytes)
}

export function endOfTar(): Buffer {
  return Buffer.alloc(2 * blockBytes)
}

/**
 * Reads a tar as it comes: plain files and the pax headers that give their paths, nothing else. Each body has to be read before the next
 * entry is asked for.
 * @throws DAMAGED for anything else (links, devices, directories, GNU and global headers), for what is cut off and for what follows the end
 */
export async function* readTar(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry & { body: AsyncIterable<Buffer> }> {
  const source = new BlockSource(chunks)
  let extended: Pax | undefined
  for (;;) {
    const block = await source.take(blockBytes)
    const header = new Header(block, 0, extended)
    if (header.nullBlock) break
    if (!header.cksumValid) throw damaged('a header of it does not check out')
    const size = header.size
    if (size === undefined || !Number.isSafeInteger(size)) throw damaged('a header of it gives no size')
    if (header.type === 'ExtendedHeader' && extended === undefined) {
      if (size > mostExtendedBytes) throw damaged(`it has an extended header of ${size} bytes`)
      extended = Pax.parse((await source.take(size)).toString('utf8'))
      await skipPadding(source, size)
      continue
    }
    if (header.type !== 'File') throw damaged(`it has an entry of the type ${header.type}`)
    const body = { left: size }
    // Not the header's: the library would put its prefix before the path of a pax header.
    yield { path: extended?.path ?? header.path ?? '', sizeBytes: size, mode: (header.mode ?? 0) & 0o7777, body: source.stream(body) }
    if (body.left > 0) throw new PromDrError('INTERNAL', 'a file of an archive was not read to its end')
    await skipPadding(source, size)
    extended = undefined
  }
  if (extended !== undefined) throw damaged('it ends with an extended header')
  await source.onlyZeros(mostPaddingBytes)
}

async function skipPadding(source: BlockSource, sizeBytes: number): Promise<void> {
  await source.take(entryPadding(sizeBytes).byteLength)
}

/** Bytes by the number that is asked for, from chunks of any size. */
class BlockSource {
  readonly #chunks: AsyncIterator<Uint8Array>
  #rest: Buffer = Buffer.alloc(0)

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** @throws DAMAGED when it ends before */
  async take(bytes: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (let left = bytes; left > 0; ) {
      const piece = await this.#upTo(left)
      pieces.push(piece)
      left -= piece.byteLength
    }
    return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)
  }

  async *stream(body: { left: number }): AsyncGenerator<Buffer> {
    while (body.left > 0) {
      const piece = await this.#upTo(body.left)
      body.left -= piece.byteLength
      yield piece
    }
  }

  async onlyZeros(mostBytes: number): Promise<void> {
    for (let seen = 0; await this.#fill(); ) {
      seen += this.#rest.byteLength
      if (seen > mostBytes || this.#rest.some((byte) => byte !== 0)) throw damaged('something follows its end')
      this.#rest = Buffer.alloc(0)
    }
  }

  async #upTo(bytes: number): Promise<Buffer> {
    if (!(await this.#fill())) throw damaged('it was cut off')
    const piece = this.#rest.subarray(0, bytes)
    this.#rest = this.#rest.subarray(piece.byteLength)
    return piece
  }

  /** False at the end. */
  async #fill(): Promise<boolean> {
    while (this.#rest.byteLength === 0) {
      const next = await this.#chunks.next()
      if (next.done === true) return false
      this.#rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
    }
    return true
  }
}

function damaged(reason: string): PromDrError {
  return new PromDrError('DAMAGED', `the archive is damaged, or was not made by prom-dr: ${reason}`, { hint: 'nothing of it was used; run "prom-dr verify", another repository may have a good copy' })
}
