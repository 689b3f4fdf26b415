import { z } from 'zod'
import { hasCode } from '../errors.ts'
import type { WalLog, WalPiece } from '../domain/wal-stream.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { bytesBody } from '../stores/object-store.ts'
import { createDocument, putDocument, readDocument, signalOf } from './documents.ts'
import { compressWal } from './wal-compression.ts'
import {
  checkpointFileName, checkpointPrefix, deletionsPrefix, generationKey, generationPrefix, heartbeatKey, isGenerationId,
  parsePieceKey, pieceKey, walPrefix,
} from './wal-keys.ts'

interface Options {
  signal?: AbortSignal | undefined
}

const gap = z.object({ from: z.number().nullable(), to: z.number(), reason: z.string() })

/** One unbroken history of a WAL. A new one begins whenever the bytes do not continue those that were shipped. */
const generationSchema = z.object({
  id: z.string().refine(isGenerationId),
  startedAt: z.number().int(),
  /** Why it began. */
  reason: z.string(),
  /** The generation and moment (ms) that this server was restored from. */
  parent: z.object({ generation: z.string(), at: z.number() }).nullable(),
  /** The first segment that it ships. */
  firstSegment: z.number().int().nonnegative(),
  /** The checkpoint that lay before it when it began; null when the log was there from its very start. */
  checkpoint: z.number().int().nonnegative().nullable(),
  /** Samples that no generation holds: between the end of the one before and the start of this one. */
  gap: gap.nullable(),
  machineId: z.string(),
  dataDir: z.string(),
})
export type Generation = z.infer<typeof generationSchema>

const checkpointSchema = z.object({
  segment: z.number().int().nonnegative(),
  /** Samples older than this (ms) are not in it; null when there were no blocks to take them. */
  bound: z.number().int().nullable(),
  seenAt: z.number().int(),
  files: z.array(z.object({ number: z.number().int(), length: z.number().int(), digest: z.string() })),
})
export type Checkpoint = z.infer<typeof checkpointSchema>

const heartbeatSchema = z.object({
  at: z.number().int(),
  segment: z.number().int(),
  offset: z.number().int(),
  /** Newest sample of a scrape (`up`), ms; null before the first. */
  newestScrape: z.number().nullable(),
})
export type Heartbeat = z.infer<typeof heartbeatSchema>

const deletionSchema = z.object({ ulid: z.string(), seenAt: z.number().int(), sha256: z.string(), sizeBytes: z.number().int() })
export type BlockDeletion = z.infer<typeof deletionSchema>

/** Every generation of an instance, oldest first. @throws DAMAGED when one cannot be read */
export async function readGenerations(store: ObjectStore, instance: string, options: Options = {}): Promise<Generation[]> {
  const generations: Generation[] = []
  for await (const id of store.listFolders(walPrefix(instance), signalOf(options))) {
    if (!isGenerationId(id)) continue
    try {
      generations.push(await readDocument(store, generationKey(instance, id), generationSchema, options))
    } catch (error) {
      // The document is written first: without it nothing of the generation was promised.
      if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
    }
  }
  return generations
}

export async function createGeneration(store: ObjectStore, instance: string, request: { generation: Generation } & Options): Promise<void> {
  await createDocument(store, generationKey(instance, request.generation.id), request.generation, request)
}

/** Every stored piece of a generation's logs, in key order. */
export async function listPieces(store: ObjectStore, instance: string, request: { generation: string; log: WalLog } & Options): Promise<WalPiece[]> {
  const prefix = generationPrefix(instance, request.generation)
  const pieces: WalPiece[] = []
  for await (const object of store.list(`${prefix}${request.log}/`, signalOf(request))) {
    const piece = parsePieceKey(object.key, prefix, object.sizeBytes)
    if (piece !== undefined) pieces.push(piece)
  }
  return pieces
}

/** Stores a stretch of a segment. @returns the piece as it is stored */
export async function storePiece(store: ObjectStore, instance: string, request: { generation: string; piece: Omit<WalPiece, 'key' | 'storedBytes'>; bytes: Buffer } & Options): Promise<WalPiece> {
  const key = pieceKey(instance, request.generation, request.piece)
  const packed = await compressWal(request.bytes)
  await store.create(key, bytesBody(packed), signalOf(request))
  return { ...request.piece, key, storedBytes: packed.length }
}

/** Stores a checkpoint's files and then the document that makes it one. @returns bytes stored */
export async function storeCheckpoint(store: ObjectStore, instance: string, request: { generation: string; checkpoint: Omit<Checkpoint, 'files'>; files: { number: number; length: number; digest: string; bytes(): Promise<Buffer> }[] } & Options): Promise<number> {
  const { checkpoint, files } = request
  const prefix = checkpointPrefix(instance, request.generation, checkpoint.segment)
  let stored = 0
  for (const file of files) {
    const packed = await compressWal(await file.bytes())
    await store.create(`${prefix}${checkpointFileName(file)}`, bytesBody(packed), signalOf(request))
    stored += packed.length
  }
  const document = { ...checkpoint, files: files.map(({ number, length, digest }) => ({ number, length, digest })) }
  return stored + (await createDocument(store, `${prefix}checkpoint.json`, document, request))
}

/** The complete checkpoints of a generation, oldest first. @throws DAMAGED */
export async function readCheckpoints(store: ObjectStore, instance: string, request: { generation: string } & Options): Promise<Checkpoint[]> {
  const prefix = `${generationPrefix(instance, request.generation)}checkpoints/`
  const checkpoints: Checkpoint[] = []
  for await (const name of store.listFolders(prefix, signalOf(request))) {
    try {
      checkpoints.push(await readDocument(store, `${prefix}${name}/checkpoint.json`, checkpointSchema, request))
    } catch (error) {
      if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
    }
  }
  return checkpoints.sort((a, b) => a.segment - b.segment)
}

/** The key of a checkpoint's file. */
export function checkpointFileKey(instance: string, generation: string, of: { segment: number; file: Checkpoint['files'][number] }): string {
  return `${checkpointPrefix(instance, generation, of.segment)}${checkpointFileName(of.file)}`
}

/** A sign of life at each interval, so that an idle server and a dead shipper look different. */
export async function writeHeartbeat(store: ObjectStore, instance: string, request: { generation: string; heartbeat: Heartbeat } & Options): Promise<void> {
  await putDocument(store, heartbeatKey(instance, request.generation), request.heartbeat, request)
}

export async function readHeartbeat(store: ObjectStore, instance: string, request: { generation: string } & Options): Promise<Heartbeat | undefined> {
  try {
    return await readDocument(store, heartbeatKey(instance, request.generation), heartbeatSchema, request)
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
    throw error
  }
}

/** Notes that a block's tombstones were seen to be these from a moment on. Their content is stored once per content, by the caller. */
export async function storeDeletion(store: ObjectStore, instance: string, request: { generation: string; deletion: BlockDeletion } & Options): Promise<void> {
  const { deletion } = request
  await createDocument(store, `${deletionsPrefix(instance, request.generation)}${String(deletion.seenAt).padStart(13, '0')}-${deletion.ulid}.json`, deletion, request)
}

/** Oldest first. */
export async function readDeletions(store: ObjectStore, instance: string, request: { generation: string } & Options): Promise<BlockDeletion[]> {
  const deletions: BlockDeletion[] = []
  for await (const object of store.list(deletionsPrefix(instance, request.generation), signalOf(request))) deletions.push(await readDocument(store, object.key, deletionSchema, request))
  return deletions.sort((a, b) => a.seenAt - b.seenAt)
}
