import type { BlockMeta } from '../domain/block.ts'
import { PromDrError } from '../errors.ts'
import { readBlockDirectory, readBlockMeta, readBounded } from './block-directory.ts'
import { checkFile, readIndexToc } from './check-file.ts'
import { ChunkFileChecker } from './chunk-file-checker.ts'
import { IndexChecker } from './index-checker.ts'
import { parseTombstones } from './tombstones.ts'

/** What the files of a block were found to hold. */
export interface BlockContents {
  series: number
  chunks: number
  samples: number
  /** Chunks in an encoding that this version does not know: whole, but their samples are not in `samples`. */
  unknownChunks: number
}

export interface VerifiedBlock extends BlockContents {
  ulid: string
  files: number
  sizeBytes: number
  tombstones: number
}

/** More deletions than a block can sensibly carry (about twenty million). */
export const maxTombstonesBytes = 256 * 1024 * 1024

/**
 * Reads every byte of a local block and checks it: the CRC-32C of every chunk and index entry, tombstones, meta.json, and
 * that series, chunks and samples are as many as meta.json says.
 * @throws DAMAGED, INTERRUPTED, DATA_DIR_UNREADABLE
 */
export async function verifyLocalBlock(path: string, options: { signal?: AbortSignal } = {}): Promise<VerifiedBlock> {
  const block = await readBlockDirectory(path)
  const { meta } = await readBlockMeta(path)
  const contents: BlockContents = { series: 0, chunks: 0, samples: 0, unknownChunks: 0 }
  for (const file of block.immutableFiles) {
    if (file.relPath === 'index') {
      const checker = new IndexChecker(await readIndexToc(file.path), file.path)
      contents.series = (await checkFile(file.path, checker, options.signal)).series
      continue
    }
    const counts = await checkFile(file.path, new ChunkFileChecker(file.path), options.signal)
    contents.chunks += counts.chunks
    contents.samples += counts.samples
    for (const chunks of counts.unknownEncodings.values()) contents.unknownChunks += chunks
  }
  checkContents(meta, contents)
  const others = block.tombstonesFile === undefined ? [block.metaFile] : [block.metaFile, block.tombstonesFile]
  const files = [...block.immutableFiles, ...others]
  const tombstones = block.tombstonesFile === undefined ? [] : parseTombstones(await readBounded(block.tombstonesFile.path, maxTombstonesBytes), block.tombstonesFile.path)
  return { ulid: block.ulid, files: files.length, sizeBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0), tombstones: tombstones.length, ...contents }
}

/**
 * Compares what was counted in a block's files with its meta.json: the only check that notices a chunk file that lost whole
 * chunks at its end. Samples are compared where every chunk's encoding is known.
 * @throws DAMAGED
 */
export function checkContents(meta: BlockMeta, contents: BlockContents): void {
  const { numSeries, numChunks, numSamples } = meta.stats
  compare(meta, { what: 'series', stated: numSeries, counted: contents.series })
  compare(meta, { what: 'chunks', stated: numChunks, counted: contents.chunks })
  if (contents.unknownChunks === 0) compare(meta, { what: 'samples', stated: numSamples, counted: contents.samples })
}

function compare(meta: BlockMeta, counts: { what: string; stated: number; counted: number }): void {
  if (counts.stated === counts.counted) return
  throw new PromDrError('DAMAGED', `block ${meta.ulid} has ${counts.counted} ${counts.what}, its meta.json says ${counts.stated}`, {
    hint: 'take the block from another copy; "prom-dr verify" lists what is damaged',
    details: { ulid: meta.ulid, ...counts },
  })
}
