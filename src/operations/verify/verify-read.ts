import type { LimitFunction } from 'p-limit'
import type { Progress } from '../../domain/progress.ts'
import { hasCode, messageOf } from '../../errors.ts'
import { metaFile, readStoredMeta, settleAll } from '../../repository/stored-blocks.ts'
import { readTombstones } from '../../repository/tombstones.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import { type StoredBlockFile, parseBlockMeta, parseThanosFiles } from '../../tsdb/block-meta.ts'
import { ChunkFileChecker } from '../../tsdb/chunk-file-checker.ts'
import { FileIntake } from '../../tsdb/file-intake.ts'
import { IndexChecker } from '../../tsdb/index-checker.ts'
import { indexTocBytes, parseIndexToc } from '../../tsdb/index-toc.ts'
import { parseTombstones } from '../../tsdb/tombstones.ts'
import { checkContents } from '../../tsdb/verify-block.ts'
import type { ListedDamage, NamedUnit } from './verify-objects.ts'

export interface ReadCheckRequest {
  store: ObjectStore
  /** Keys known to be damaged already: they are not read. */
  known: ReadonlySet<string>
  limit: LimitFunction
  progress: Progress
  signal: AbortSignal
}

export interface ReadCheck {
  damaged: ListedDamage[]
  bytes: number
  chunks: number
}

type BlockUnit = Extract<NamedUnit, { kind: 'block' }>

/** Reads every byte of the units: SHA-256 of each object, and for blocks the CRC-32C of each chunk and index entry and the counts of meta.json. */
export async function readUnits(units: readonly NamedUnit[], request: ReadCheckRequest): Promise<ReadCheck> {
  const result: ReadCheck = { damaged: [], bytes: 0, chunks: 0 }
  const stop = new AbortController()
  const stoppable = { ...request, signal: AbortSignal.any([request.signal, stop.signal]) }
  const readOne = async (unit: NamedUnit) => {
    try {
      stoppable.signal.throwIfAborted()
      await (unit.kind === 'block' ? readBlock(unit, stoppable, result) : request.limit(() => readDeletions(unit, stoppable, result)))
    } catch (error) {
      stop.abort(error)
      throw error
    }
  }
  try {
    await settleAll(units.map(readOne))
  } catch (error) {
    // The first failure stopped the others: it is the one to tell, not their interruption.
    throw request.signal.aborted ? error : (stop.signal.reason ?? error)
  }
  return result
}

async function readBlock(unit: BlockUnit, request: ReadCheckRequest, result: ReadCheck): Promise<void> {
  const metaKey = `${unit.prefix}${metaFile}`
  const meta = await guarded({ key: metaKey, unit, request, result }, async () => {
    const { text, sizeBytes } = await request.limit(() => readStoredMeta(request.store, unit.prefix, { expectedSha256: unit.block.metaSha256, signal: request.signal }))
    result.bytes += sizeBytes
    const parsed = parseBlockMeta(text, unit.block.ulid)
    return { parsed, files: parseThanosFiles(parsed) }
  })
  if (meta === undefined) return
  const contents = { series: 0, chunks: 0, samples: 0, unknownChunks: 0 }
  const whole = await settleAll(meta.files.map((file) => guarded({ key: `${unit.prefix}${file.relPath}`, unit, request, result }, async () => {
    const counts = await request.limit(() => readFile(file, unit, request))
    result.bytes += file.sizeBytes
    contents.series += counts.series
    contents.chunks += counts.chunks
    contents.samples += counts.samples
    contents.unknownChunks += counts.unknownChunks
    return true
  })))
  result.chunks += contents.chunks
  if (whole.includes(undefined)) return
  await guarded({ key: metaKey, unit, request, result }, async () => checkContents(meta.parsed, contents))
}

async function readFile(file: StoredBlockFile, unit: BlockUnit, request: ReadCheckRequest) {
  const key = `${unit.prefix}${file.relPath}`
  const counts = { series: 0, chunks: 0, samples: 0, unknownChunks: 0 }
  const expected = { sizeBytes: file.sizeBytes, sha256: file.sha256 }
  if (file.relPath === 'index') {
    const last = await readAll(request, key, Math.max(0, file.sizeBytes - indexTocBytes))
    const toc = parseIndexToc(last, file.sizeBytes, key)
    const index = await stream(request, key, new FileIntake(key, expected, () => new IndexChecker(toc, key)))
    return { ...counts, series: index?.series ?? 0 }
  }
  const chunks = await stream(request, key, new FileIntake(key, expected, () => new ChunkFileChecker(key)))
  const unknownChunks = [...(chunks?.unknownEncodings.values() ?? [])].reduce((sum, count) => sum + count, 0)
  return { ...counts, chunks: chunks?.chunks ?? 0, samples: chunks?.samples ?? 0, unknownChunks }
}

async function stream<Result>(request: ReadCheckRequest, key: string, intake: FileIntake<Result>): Promise<Result | undefined> {
  const { body } = await request.store.get(key, { signal: request.signal })
  for await (const piece of body as AsyncIterable<Buffer>) {
    const { length } = piece
    intake.takeAndRecycle(piece)
    request.progress.advance(length)
  }
  return intake.end()
}

async function readAll(request: ReadCheckRequest, key: string, start: number): Promise<Buffer> {
  const { body } = await request.store.get(key, { range: { start }, signal: request.signal })
  const pieces: Buffer[] = []
  for await (const piece of body) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}

async function readDeletions(unit: Extract<NamedUnit, { kind: 'tombstones' }>, request: ReadCheckRequest, result: ReadCheck): Promise<void> {
  await guarded({ key: unit.key, unit, request, result }, async () => {
    const bytes = await readTombstones(request.store, unit.instance, { sha256: unit.sha256, sizeBytes: unit.sizeBytes, signal: request.signal })
    parseTombstones(bytes, unit.key)
    result.bytes += bytes.length
    request.progress.advance(bytes.length)
  })
}

/** Turns damage into a finding; what else goes wrong (a store out of reach) ends the verification. Known damage is not read again. */
async function guarded<T>(of: { key: string; unit: NamedUnit; request: ReadCheckRequest; result: ReadCheck }, check: () => Promise<T>): Promise<T | undefined> {
  const { key, unit, request, result } = of
  if (request.known.has(key)) return undefined
  try {
    return await check()
  } catch (error) {
    if (!hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND')) throw error
    result.damaged.push({ key, reason: messageOf(error), recoveryPoints: unit.recoveryPoints })
    return undefined
  }
}
