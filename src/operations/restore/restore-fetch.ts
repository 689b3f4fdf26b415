import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { LimitFunction } from 'p-limit'
import type { Progress } from '../../domain/progress.ts'
import type { NamedBlock } from '../../domain/recovery-point.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { blockPrefix, headPrefix, tombstonesKey } from '../../repository/layout.ts'
import { metaFile, readStoredMeta, settleAll } from '../../repository/stored-blocks.ts'
import { readTombstones } from '../../repository/tombstones.ts'
import { type StoredBlockFile, parseBlockMeta, parseThanosFiles } from '../../tsdb/block-meta.ts'
import { ChunkFileChecker, type ChunkFileCounts } from '../../tsdb/chunk-file-checker.ts'
import { removeTombstones } from '../../tsdb/cut-block.ts'
import { writeDurably } from '../../tsdb/durable-files.ts'
import { IndexChecker, type IndexCounts } from '../../tsdb/index-checker.ts'
import { indexTocBytes, parseIndexToc } from '../../tsdb/index-toc.ts'
import { receiveFile } from '../../tsdb/receive-file.ts'
import { checkContents } from '../../tsdb/verify-block.ts'
import type { NamedStore } from '../backup/backup.ts'

export interface FetchRequest {
  instance: string
  /** Repositories to read from, the preferred one first. */
  sources: readonly NamedStore[]
  /** By the name of the repository: keys that are known to be missing or damaged there, and why. */
  lost?: ReadonlyMap<string, ReadonlyMap<string, string>>
  head: string | undefined
  staging: string
  limit: LimitFunction
  progress: Progress
  signal: AbortSignal
}

export interface FetchOutcome {
  /** Bytes of the blocks, whether they came now or were there. */
  bytes: number
  resumedBytes: number
  /** Objects taken from another repository than the first, and why. */
  repaired: { key: string; from: string; reason: string }[]
}

/** Brings blocks into staging, every byte checked as it streams by: SHA-256 of each file, CRC-32C of each chunk and index entry. */
export async function fetchBlocks(blocks: readonly NamedBlock[], request: FetchRequest): Promise<FetchOutcome> {
  const outcome: FetchOutcome = { bytes: 0, resumedBytes: 0, repaired: [] }
  const stop = new AbortController()
  const signal = AbortSignal.any([request.signal, stop.signal])
  const fetchOne = async (block: NamedBlock) => {
    try {
      await new BlockFetch(block, { ...request, signal }, outcome).run()
    } catch (error) {
      stop.abort(error)
      throw error
    }
  }
  try {
    await settleAll(largestFirst(blocks).map(fetchOne))
  } catch (error) {
    // The first failure stopped the others: it is the one to tell, not their interruption.
    throw request.signal.aborted ? error : (stop.signal.reason ?? error)
  }
  return outcome
}

/** A large file takes one connection for long: begun last, it would be waited for alone. */
function largestFirst(blocks: readonly NamedBlock[]): NamedBlock[] {
  const largestFile = (block: NamedBlock) => Math.max(0, ...Object.values(block.files))
  return [...blocks].sort((a, b) => largestFile(b) - largestFile(a))
}

class BlockFetch {
  readonly #block: NamedBlock
  readonly #request: FetchRequest
  readonly #outcome: FetchOutcome
  readonly #prefix: string
  readonly #directory: string

  constructor(block: NamedBlock, request: FetchRequest, outcome: FetchOutcome) {
    this.#block = block
    this.#request = request
    this.#outcome = outcome
    this.#prefix = block.ulid === request.head ? headPrefix(request.instance, block.ulid) : blockPrefix(block.ulid)
    this.#directory = join(request.staging, block.ulid)
  }

  async run(): Promise<void> {
    const { limit } = this.#request
    const { text, sizeBytes } = await limit(() => this.#fromAnySource(`${this.#prefix}${metaFile}`, (source) => readStoredMeta(source.store, this.#prefix, { expectedSha256: this.#block.metaSha256, signal: this.#request.signal })))
    const meta = parseBlockMeta(text, this.#block.ulid)
    const files = parseThanosFiles(meta)
    this.#checkSizes(files)
    const results = await settleAll(files.map((file) => limit(() => this.#file(file))))
    const contents = { series: 0, chunks: 0, samples: 0, unknownChunks: 0 }
    for (const result of results) {
      if ('series' in result) contents.series += result.series
      else {
        contents.chunks += result.chunks
        contents.samples += result.samples
        for (const chunks of result.unknownEncodings.values()) contents.unknownChunks += chunks
      }
    }
    checkContents(meta, contents)
    await limit(() => this.#tombstones())
    await writeDurably(join(this.#directory, metaFile), text)
    this.#count(sizeBytes, 0)
  }

  async #file(file: StoredBlockFile): Promise<IndexCounts | ChunkFileCounts> {
    const path = join(this.#directory, ...file.relPath.split('/'))
    const key = `${this.#prefix}${file.relPath}`
    const result = await this.#fromAnySource(key, async ({ store }) => {
      const checker = file.relPath === 'index' ? await this.#indexChecker(store, { key, sizeBytes: file.sizeBytes }) : () => new ChunkFileChecker(key)
      return receiveFile<IndexCounts | ChunkFileCounts>(path, {
        sizeBytes: file.sizeBytes,
        sha256: file.sha256,
        checker,
        signal: this.#request.signal,
        open: (startByte) => this.#open(store, { key, sizeBytes: file.sizeBytes, startByte }),
        onBytes: (received, resumed) => this.#count(received, resumed),
      })
    })
    return result as IndexCounts | ChunkFileCounts
  }

  /** An index is checked with the table of contents at its end, which is read first. */
  async #indexChecker(store: NamedStore['store'], index: { key: string; sizeBytes: number }): Promise<() => IndexChecker> {
    const body = await this.#open(store, { ...index, startByte: Math.max(0, index.sizeBytes - indexTocBytes) })
    const pieces: Buffer[] = []
    for await (const piece of body) pieces.push(piece as Buffer)
    const toc = parseIndexToc(Buffer.concat(pieces), index.sizeBytes, index.key)
    return () => new IndexChecker(toc, index.key)
  }

  /** @throws DAMAGED when the object has another size than it was stored with */
  async #open(store: NamedStore['store'], object: { key: string; sizeBytes: number; startByte: number }): Promise<Readable> {
    const { key, sizeBytes, startByte } = object
    const wrong = (found: string) => new PromDrError('DAMAGED', `${key} has ${found} instead of ${sizeBytes}`, { hint: 'run "prom-dr verify"', details: { key } })
    try {
      const reader = await store.get(key, { range: { start: startByte }, signal: this.#request.signal })
      if (reader.sizeBytes === sizeBytes) return reader.body
      reader.body.destroy()
      throw wrong(`${reader.sizeBytes} bytes`)
    } catch (error) {
      // A range that starts beyond the end: the object is shorter than it was.
      if (hasCode(error, 'STORE_REJECTED') && startByte > 0) throw wrong('fewer bytes')
      throw error
    }
  }

  async #tombstones(): Promise<void> {
    const { tombstones } = this.#block
    // An interrupted restore to another moment may have left some.
    if (tombstones === undefined) return removeTombstones(this.#directory)
    const { instance, signal } = this.#request
    const key = tombstonesKey(instance, tombstones.sha256)
    const bytes = await this.#fromAnySource(key, (source) => readTombstones(source.store, instance, { ...tombstones, signal }))
    await writeDurably(join(this.#directory, 'tombstones'), bytes)
    this.#count(bytes.length, 0)
  }

  /** What the block's own meta.json says has to be what the recovery point was promised: the same files in the same sizes. */
  #checkSizes(files: readonly StoredBlockFile[]): void {
    const promised = { ...this.#block.files }
    delete promised[metaFile]
    for (const file of files) {
      if (promised[file.relPath] !== file.sizeBytes) throw this.#contradicted(`${file.relPath} has ${file.sizeBytes} bytes`, promised[file.relPath])
      delete promised[file.relPath]
    }
    const [extra] = Object.keys(promised)
    if (extra !== undefined) throw this.#contradicted(`there is no ${extra}`, promised[extra])
  }

  #contradicted(says: string, promisedBytes: number | undefined): PromDrError {
    const key = `${this.#prefix}${metaFile}`
    return new PromDrError('DAMAGED', `${key} says that ${says}, the recovery point says ${promisedBytes ?? 'nothing of it'}`, { hint: 'run "prom-dr verify"', details: { key } })
  }

  /** The first source that has a good copy; the failures of those before it are reported as repaired. @throws DAMAGED when the object is missing or damaged everywhere, KEY_MISSING and STORE_* where it may be whole in a source that cannot be read */
  async #fromAnySource<T>(key: string, read: (source: NamedStore) => Promise<T>): Promise<T> {
    const failures: { reason: string; error?: PromDrError }[] = []
    for (const source of this.#request.sources) {
      const lost = this.#request.lost?.get(source.name)?.get(key)
      if (lost !== undefined) {
        failures.push({ reason: `${source.name}: ${lost}` })
        continue
      }
      try {
        const result = await read(source)
        if (failures.length > 0) this.#outcome.repaired.push({ key, from: source.name, reason: failures.map(({ reason }) => reason).join('; ') })
        return result
      } catch (error) {
        if (!hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND', 'KEY_MISSING', 'STORE_UNREACHABLE', 'STORE_DENIED', 'STORE_BAD_RESPONSE', 'STORE_REJECTED')) throw error
        failures.push({ reason: `${source.name}: ${messageOf(error)}`, error })
      }
    }
    const unread = failures.find(({ error }) => error !== undefined && !hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND'))
    if (unread?.error !== undefined) throw unread.error
    throw new PromDrError('DAMAGED', `${key} is damaged or missing: ${failures.map(({ reason }) => reason).join('; ')}`, {
      hint: 'run "prom-dr verify --read-data" to see what is whole, and restore another recovery point with --at',
      details: { key },
    })
  }

  #count(received: number, resumed: number): void {
    this.#outcome.bytes += received
    this.#outcome.resumedBytes += resumed
    this.#request.progress.advance(received)
  }
}
