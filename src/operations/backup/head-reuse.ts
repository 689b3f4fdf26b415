import { createHash } from 'node:crypto'
import type { NamedBlock } from '../../domain/recovery-point.ts'
import { sameLabels } from '../../domain/external-labels.ts'
import { hasCode } from '../../errors.ts'
import { headPrefix } from '../../repository/layout.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import { listFiles, metaFile, missingFile, readStoredMeta } from '../../repository/stored-blocks.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import { parseBlockMeta, parseThanosFiles } from '../../tsdb/block-meta.ts'
import { fileBody } from '../../tsdb/file-body.ts'
import type { SnapshotBlock } from './snapshot-block.ts'

export interface HeadReuseRequest {
  store: ObjectStore
  head: SnapshotBlock
  externalLabels: Record<string, string>
  /** The recovery point before this one. */
  previous: StoredRecoveryPoint | undefined
  signal: AbortSignal
}

/**
 * The stored head block of the recovery point before, when the head is the same to the byte: every snapshot writes it anew under
 * another ULID, also of a server that has taken in nothing since. Undefined when it has to be stored.
 */
export async function unchangedHead(request: HeadReuseRequest): Promise<NamedBlock | undefined> {
  const { store, head, previous, signal } = request
  if (previous?.head.kind !== 'block') return undefined
  const stored = previous.head.block
  if (!looksAlike(stored, head)) return undefined
  const prefix = headPrefix(previous.instance, stored.ulid)
  const there = await listFiles(store, prefix, { signal })
  if (there.marked || missingFile(stored.files, there) !== undefined) return undefined
  const digests = await storedDigests(request, stored, prefix)
  if (digests === undefined) return undefined
  for (const file of head.files) {
    if (digests.get(file.relPath) !== (await digestOf(file, signal))) return undefined
  }
  return stored
}

function looksAlike(stored: NamedBlock, { meta, files }: SnapshotBlock): boolean {
  const { numSeries, numSamples, numChunks } = meta.stats
  if (stored.minTime !== meta.minTime || stored.maxTime !== meta.maxTime) return false
  if (stored.numSeries !== numSeries || stored.numSamples !== numSamples || stored.numChunks !== numChunks) return false
  const paths = Object.keys(stored.files).filter((path) => path !== metaFile)
  return paths.length === files.length && files.every((file) => stored.files[file.relPath] === file.sizeBytes)
}

/** SHA-256 by path; undefined when the stored meta.json is not to be trusted, or says something else of the server than is so now. */
async function storedDigests(request: HeadReuseRequest, stored: NamedBlock, prefix: string): Promise<Map<string, string | undefined> | undefined> {
  try {
    const { text } = await readStoredMeta(request.store, prefix, { expectedSha256: stored.metaSha256, signal: request.signal })
    const meta = parseBlockMeta(text, stored.ulid)
    if (!sameLabels(meta.thanos?.labels ?? {}, request.externalLabels)) return undefined
    return new Map(parseThanosFiles(meta).map((file) => [file.relPath, file.sha256]))
  } catch (error) {
    if (hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND')) return undefined
    throw error
  }
}

async function digestOf(file: SnapshotBlock['files'][number], signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of fileBody(file.path, file.sizeBytes).open()) {
    signal.throwIfAborted()
    hash.update(piece as Buffer)
  }
  return hash.digest('hex')
}
