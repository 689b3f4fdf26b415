import { join } from 'node:path'
import type { LimitFunction } from 'p-limit'
import type { Progress } from '../domain/progress.ts'
import type { NamedBlock } from '../domain/recovery-point.ts'
import { PromDrError, hasCode, messageOf } from '../errors.ts'
import { blockPrefix, headPrefix, tombstonesKey } from '../repository/layout.ts'
import { metaFile, readStoredMeta, settleAll } from '../repository/stored-blocks.ts'
import { readTombstones } from '../repository/tombstones.ts'
import { type StoredBlockFile, parseBlockMeta, parseThanosFiles } from '../tsdb/block-meta.ts'
import { ChunkFileChecker, type ChunkFileCounts } from '../tsdb/chunk-file-checker.ts'
import { writeDurably } from '../tsdb/durable-files.ts'
import { IndexChecker, type IndexCounts } from '../tsdb/index-checker.ts'
import { indexTocBytes, parseIndexToc } from '../tsdb/index-toc.ts'
import { receiveFile } from '../tsdb/receive-file.ts'
import { checkContents } from '../tsdb/verify-block.ts'
import type { NamedStore } from './backup.ts'

export interface FetchRequest {
  instance: string
  /** Repositories that have the recovery point, the preferred one first. */
  sources: readonly NamedStore[]
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

/** Brings blocks into staging, newest first, every byte checked as it streams by: SHA-256 of each file, CRC-32C of each chunk and index entry. */
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
    await settleAll(blocks.map(fetchOne))
  } catch (error) {
    // The first failure stopped the others: it is the one to tell, not their interruption.
    throw request.signal.aborted ? error : (stop.signal.reason ?? error)
  }
  return outcome
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
    const { text, sizeBytes } = await limit(() => this.#fromAnySource(metaFile, (source) => readStoredMeta(source.store, this.#prefix, { expectedSha256: this.#block.metaSha256, signal: this.#request.signal })))
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
    const result = await this.#fromAnySource(file.relPath, async ({ store }) => {
      const checker = file.relPath === 'index' ? await this.#indexChecker(store, { key, sizeBytes: file.sizeBytes }) : () => new ChunkFileChecker(key)
      return receiveFile<IndexCounts | ChunkFileCounts>(path, {
        sizeBytes: file.sizeBytes,
        sha256: file.sha256,
        checker,
        signal: this.#request.signal,
        open: async (start) => (await store.get(key, { range: { start }, signal: this.#request.signal })).body,
        onBytes: (received, resumed) => this.#count(received, resumed),
      })
    })
    return result as IndexCounts | ChunkFileCounts
  }

  /** An index is checked with the table of contents at its end, which is read first. */
  async #indexChecker(store: NamedStore['store'], index: { key: string; sizeBytes: number }): Promise<() => IndexChecker> {
    const { body } = await store.get(index.key, { range: { start: Math.max(0, index.sizeBytes - indexTocBytes) }, signal: this.#request.signal })
    const pieces: Buffer[] = []
    for await (const piece of body) pieces.push(piece as Buffer)
    const toc = parseIndexToc(Buffer.concat(pieces), index.sizeBytes, index.key)
    return () => new IndexChecker(toc, index.key)
  }

  async #tombstones(): Promise<void> {
    const { tombstones } = this.#block
    if (tombstones === undefined) return
    const { instance, signal } = this.#request
    const key = tombstonesKey(instance, tombstones.sha256)
    const bytes = await this.#fromAnySource(key, (source) => readTombstones(source.store, instance, { ...tombstones, signal }))
    await writeDurably(join(this.#directory, 'tombstones'), bytes)
    this.#count(bytes.length, 0)
  }

  /** What the block's own meta.json says has to be what the recovery point was promised. */
  #checkSizes(files: readonly StoredBlockFile[]): void {
    for (const file of files) {
      if (this.#block.files[file.relPath] === file.sizeBytes) continue
      throw new PromDrError('DAMAGED', `${this.#prefix}${metaFile} says ${file.relPath} has ${file.sizeBytes} bytes, the recovery point says ${this.#block.files[file.relPath] ?? 'nothing'}`, { hint: 'run "prom-dr verify"' })
    }
  }

  /** The first source that has a good copy; the failures of those before it are reported as repaired. */
  async #fromAnySource<T>(name: string, read: (source: NamedStore) => Promise<T>): Promise<T> {
    const failures: string[] = []
    for (const source of this.#request.sources) {
      try {
        const result = await read(source)
        if (failures.length > 0) this.#outcome.repaired.push({ key: name.includes('/tombstones/') ? name : `${this.#prefix}${name}`, from: source.name, reason: failures.join('; ') })
        return result
      } catch (error) {
        if (!hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND', 'STORE_UNREACHABLE', 'STORE_DENIED', 'STORE_BAD_RESPONSE')) throw error
        failures.push(`${source.name}: ${messageOf(error)}`)
        if (source === this.#request.sources.at(-1)) throw error
      }
    }
    throw new PromDrError('INTERNAL', 'no repository to read from')
  }

  #count(received: number, resumed: number): void {
    this.#outcome.bytes += received
    this.#outcome.resumedBytes += resumed
    this.#request.progress.advance(received)
  }
}
