import type { DamagedBlock } from '../../domain/recovery-point.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { readIndexToc } from '../../tsdb/check-file.ts'
import { diskFailure } from '../../tsdb/file-errors.ts'
import { ChunkFileChecker } from '../../tsdb/chunk-file-checker.ts'
import { readFinishedFile } from '../../tsdb/file-body.ts'
import { IndexChecker } from '../../tsdb/index-checker.ts'
import { type BlockContents, checkContents } from '../../tsdb/verify-block.ts'
import type { SnapshotBlock } from './snapshot-block.ts'

type SourceFile = SnapshotBlock['files'][number]

/** What a file was found to hold; a block's contents are the sum over its files. */
type FileContents = BlockContents

/**
 * Checks blocks while they are read to be stored: the bytes pass by anyway. A block that is damaged on the server's own disk
 * is stored as it is, since the rest of it is wanted, and named in the answer. Files that are not read because they are
 * stored already are not checked.
 */
export class SourceCheck {
  readonly #contents = new Map<string, FileContents | 'under way'>()
  readonly #damaged: DamagedBlock[] = []
  /** Blocks of which the disk does not give every byte, and why. */
  readonly #unreadable = new Map<string, string>()

  /** The file as something to upload. Of several readers (repositories, retries) the first that gets to the end checks it. */
  body(block: SnapshotBlock, file: SourceFile): { sizeBytes: number; open(): AsyncIterable<Uint8Array> } {
    const { path, sizeBytes } = file
    return { sizeBytes, open: () => this.#readable(block, file, this.#contents.has(path) ? readFinishedFile(path, sizeBytes) : this.#checked(block, file)) }
  }

  /** Whether the block cannot be stored, since the disk does not give every byte of it. */
  isUnreadable(block: SnapshotBlock): boolean {
    return this.#unreadable.has(block.meta.ulid)
  }

  /** Damage that was found in what was read to its end, by block. */
  findings(blocks: readonly SnapshotBlock[]): DamagedBlock[] {
    const findings = [...this.#unreadable].map(([ulid, reason]): DamagedBlock => ({ ulid, reason }))
    findings.push(...this.#damaged.filter(({ ulid }) => !this.#unreadable.has(ulid)))
    for (const block of blocks) {
      const ulid = block.meta.ulid
      const parts = block.files.map((file) => this.#contents.get(file.path))
      if (findings.some((finding) => finding.ulid === ulid) || !parts.every((part) => typeof part === 'object')) continue
      const reason = damageOf(() => checkContents(block.meta, sumOf(parts)))
      if (reason !== undefined) findings.push({ ulid, reason })
    }
    return findings
  }

  async *#readable(block: SnapshotBlock, file: SourceFile, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* bytes
    } catch (error) {
      const code = diskFailure(error)
      if (code === undefined) throw error
      const { ulid } = block.meta
      this.#unreadable.set(ulid, `it could not be stored: its ${file.relPath} cannot be read (${code})`)
      throw new PromDrError('DAMAGED', `${ulid}/${file.relPath} cannot be read (${code})`, { hint: 'the disk is failing: look at dmesg, and restore to another one', cause: error })
    }
  }

  async *#checked(block: SnapshotBlock, file: SourceFile): AsyncGenerator<Uint8Array, void, undefined> {
    this.#contents.set(file.path, 'under way')
    let damage: string | undefined
    try {
      const checker = await checkerOf(block, file).catch((error: unknown) => void (damage = reasonOf(error)))
      for await (const piece of readFinishedFile(file.path, file.sizeBytes)) {
        if (damage === undefined) damage = damageOf(() => checker?.write(piece))
        yield piece
      }
      damage ??= damageOf(() => this.#contents.set(file.path, checker?.end() ?? emptyContents))
      if (damage === undefined) return
      this.#contents.set(file.path, emptyContents)
      this.#damaged.push({ ulid: block.meta.ulid, reason: damage })
    } finally {
      if (this.#contents.get(file.path) === 'under way') this.#contents.delete(file.path)
    }
  }
}

const emptyContents: FileContents = { series: 0, chunks: 0, samples: 0, unknownChunks: 0 }

interface ContentsChecker {
  write(bytes: Uint8Array): void
  end(): FileContents
}

async function checkerOf(block: SnapshotBlock, file: SourceFile): Promise<ContentsChecker> {
  const name = `${block.meta.ulid}/${file.relPath}`
  if (file.relPath === 'index') {
    const checker = new IndexChecker(await readIndexToc(file.path), name)
    return { write: (bytes) => checker.write(bytes), end: () => ({ ...emptyContents, series: checker.end().series }) }
  }
  const checker = new ChunkFileChecker(name)
  return {
    write: (bytes) => checker.write(bytes),
    end() {
      const { chunks, samples, unknownEncodings } = checker.end()
      return { ...emptyContents, chunks, samples, unknownChunks: [...unknownEncodings.values()].reduce((sum, count) => sum + count, 0) }
    },
  }
}

function sumOf(parts: readonly FileContents[]): FileContents {
  const sum = { ...emptyContents }
  for (const part of parts) for (const key of ['series', 'chunks', 'samples', 'unknownChunks'] as const) sum[key] += part[key]
  return sum
}

/** What the check has to say against it; undefined when nothing. */
function damageOf(check: () => unknown): string | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    return reasonOf(error)
  }
}

function reasonOf(error: unknown): string {
  if (!hasCode(error, 'DAMAGED')) throw error instanceof PromDrError ? error : new PromDrError('INTERNAL', messageOf(error), { cause: error })
  return messageOf(error)
}
