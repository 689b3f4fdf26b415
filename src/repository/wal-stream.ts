import { z } from 'zod'
import { PromDrError, hasCode } from '../errors.ts'
import type { Source } from '../domain/recovery-point.ts'
import type { WalLog, WalPiece } from '../domain/wal-stream.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { createDocument, putDocument, readDocument, signalOf } from './documents.ts'
import { sourceSchema } from './recovery-point-schema.ts'
import { packedBody, packedBytes } from './wal-compression.ts'
import {
  checkpointFileName, checkpointPrefix, deletionsPrefix, generationKey, generationPrefix, heartbeatKey, isGenerationId,
  parsePieceKey, pieceKey, segmentTimesKey, walPrefix,
} from './wal-keys.ts'

interface Options {
  signal?: AbortSignal | undefined
}

/** What to do with a document that cannot be read, of several; by default it is thrown. */
interface Tolerance {
  onDamage?: ((error: PromDrError) => void) | undefined
}

/** The newest version of a generation's document that this program writes and reads. */
export const generationVersion = 2

const gap = z.object({ from: z.number().nullable(), to: z.number(), reason: z.string() })

/** One unbroken history of a WAL. A new one begins whenever the bytes do not continue those that were shipped. */
const generationSchema = z.object({
  /** Absent in generations of version 1, which say nothing of blocks and source. */
  version: z.number().int().positive().optional(),
  id: z.string().refine(isGenerationId),
  startedAt: z.number().int(),
  /** Why it began. */
  reason: z.string(),
  /** The generation and moment (ms) that this server was restored from; when that was, and onto which recovery point. */
  parent: z.object({ generation: z.string(), at: z.number(), restoredAt: z.number().optional(), recoveryPoint: z.string().optional() }).nullable(),
  /** The first segment that it ships. */
  firstSegment: z.number().int().nonnegative(),
  /** The checkpoint that lay before it when it began; null when the log was there from its very start. */
  checkpoint: z.number().int().nonnegative().nullable(),
  /** End of the newest in-order block when it began, ms: samples before it may be in no log. Null when there was no block. */
  bound: z.number().int().nullable(),
  /** How many blocks there were when it began. */
  blocks: z.number().int().nonnegative().optional(),
  /** The server as it was then: what a restore without any recovery point has to know. Absent when it did not answer. */
  source: sourceSchema.optional(),
  /** Samples that no generation holds: between the end of the one before and the start of this one. */
  gap: gap.nullable(),
  machineId: z.string(),
  dataDir: z.string(),
})
export type Generation = Omit<z.infer<typeof generationSchema>, 'source'> & { source?: Source | undefined }

const checkpointSchema = z.object({
  segment: z.number().int().nonnegative(),
  /** Samples older than this (ms) are not in it; null when there were no blocks to take them. */
  bound: z.number().int().nullable(),
  seenAt: z.number().int(),
  /** How the newest finished segment ended that was shipped before it was read: it belongs only to a log that has this end. Absent where that had no finished segment. */
  after: z.object({ segment: z.number().int(), length: z.number().int(), digest: z.string() }).optional(),
  files: z.array(z.object({ number: z.number().int(), length: z.number().int(), digest: z.string() })),
})
export type Checkpoint = z.infer<typeof checkpointSchema>

const heartbeatSchema = z.object({
  /** When the shipper gave it, ms: its log had ended at this position then, unless `knownUntil` is there. */
  at: z.number().int(),
  /** Of a log that cannot be read to its end: when it was last seen to end where the stream does, ms; null when it never was. */
  knownUntil: z.number().int().nullish(),
  segment: z.number().int(),
  offset: z.number().int(),
  /** Newest sample of a scrape (`up`), ms; null before the first. */
  newestScrape: z.number().nullable(),
  /** How long after its time a sample of this generation may have been logged at most, ms; absent where the server never said. */
  longestDelayMs: z.number().int().nonnegative().optional(),
})
export type Heartbeat = z.infer<typeof heartbeatSchema>

const deletionSchema = z.object({ ulid: z.string(), seenAt: z.number().int(), sha256: z.string(), sizeBytes: z.number().int() })
export type BlockDeletion = z.infer<typeof deletionSchema>

/**
 * Every generation of an instance, in the order in which they began. Without its document, which is written first, nothing of a generation was
 * promised; but what follows all others is the one that is shipped to, which nobody removes: `onDamage` is told that its document is lost.
 * @throws DAMAGED when one cannot be read
 */
export async function readGenerations(store: ObjectStore, instance: string, options: Options & Tolerance = {}): Promise<Generation[]> {
  const generations: Generation[] = []
  let newest: { id: string; lost: boolean } | undefined
  for await (const id of store.listFolders(walPrefix(instance), signalOf(options))) {
    if (!isGenerationId(id)) continue
    try {
      generations.push(await readDocument(store, generationKey(instance, id), generationSchema, { ...options, newestVersion: generationVersion }))
      newest = { id, lost: false }
    } catch (error) {
      const lost = hasCode(error, 'OBJECT_NOT_FOUND')
      if (!lost) tolerate(error, options)
      newest = { id, lost }
    }
  }
  if (newest?.lost === true && options.onDamage !== undefined) {
    const key = generationKey(instance, newest.id)
    options.onDamage(new PromDrError('DAMAGED', `${key} in ${store.url} is missing`, { hint: 'bring it back from a replica of the repository', details: { key } }))
  }
  // Ids count seconds: of two in one second their names do not tell which came first.
  return generations.sort((a, b) => a.startedAt - b.startedAt)
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
  const body = await packedBytes(request.bytes)
  await store.create(key, body, signalOf(request))
  return { ...request.piece, key, storedBytes: body.sizeBytes }
}

/** A file of a checkpoint. `open` gives the same bytes each time. */
export interface CheckpointContent {
  number: number
  sizeBytes: number
  digest: string
  open(): AsyncIterable<Uint8Array>
}

/**
 * Stores a checkpoint's files as they come, and then the document that makes it one, for which `bound` is asked when all of them are
 * stored. @returns bytes stored
 */
export async function storeCheckpoint(store: ObjectStore, instance: string, request: { generation: string; segment: number; files: AsyncIterable<CheckpointContent>; bound(): Promise<Pick<Checkpoint, 'bound' | 'seenAt' | 'after'>> } & Options): Promise<number> {
  const { segment } = request
  const prefix = checkpointPrefix(instance, request.generation, segment)
  const files: Checkpoint['files'] = []
  let stored = 0
  for await (const { number, digest, sizeBytes, open } of request.files) {
    const file = { number, length: sizeBytes, digest }
    const body = await packedBody(open)
    await store.create(`${prefix}${checkpointFileName(file)}`, body, signalOf(request))
    stored += body.sizeBytes
    files.push(file)
  }
  return stored + (await createDocument(store, `${prefix}checkpoint.json`, { segment, ...(await request.bound()), files }, request))
}

const partTime = z.object({ end: z.number().int(), seenAt: z.number().int(), newestSample: z.number().nullable(), digest: z.string() })
const segmentTimesSchema = z.object({ parts: z.array(partTime) })
/** A part that a sealed segment was stored as before: its bytes end at `end` and were first seen at `seenAt`. */
export type PartTime = z.infer<typeof partTime>

type SegmentOf = { generation: string; log: WalLog; segment: number; digest: string } & Options

/** Kept beside a sealed segment, so that a restore still knows when each stretch of it was first seen. @returns bytes stored */
export async function storeSegmentTimes(store: ObjectStore, instance: string, request: SegmentOf & { parts: readonly PartTime[] }): Promise<number> {
  return putDocument(store, segmentTimesKey(instance, request.generation, request), { parts: request.parts }, request)
}

/** When the parts of a sealed segment were first seen, in order; undefined when it was stored whole at once. @throws DAMAGED */
export async function readSegmentTimes(store: ObjectStore, instance: string, request: SegmentOf): Promise<PartTime[] | undefined> {
  try {
    return (await readDocument(store, segmentTimesKey(instance, request.generation, request), segmentTimesSchema, request)).parts
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
    throw error
  }
}

/** Stores a whole segment, packed while it is sent. `open` is called twice and must give the same bytes. @returns bytes stored */
export async function storeSealedSegment(store: ObjectStore, instance: string, request: { generation: string; piece: Omit<WalPiece, 'key' | 'storedBytes'>; open(): AsyncIterable<Uint8Array> } & Options): Promise<number> {
  const body = await packedBody(request.open)
  await store.create(pieceKey(instance, request.generation, request.piece), body, signalOf(request))
  return body.sizeBytes
}

/** The complete checkpoints of a generation, oldest first. @throws DAMAGED */
export async function readCheckpoints(store: ObjectStore, instance: string, request: { generation: string } & Options & Tolerance): Promise<Checkpoint[]> {
  const prefix = `${generationPrefix(instance, request.generation)}checkpoints/`
  const checkpoints: Checkpoint[] = []
  for await (const name of store.listFolders(prefix, signalOf(request))) {
    try {
      checkpoints.push(await readDocument(store, `${prefix}${name}/checkpoint.json`, checkpointSchema, request))
    } catch (error) {
      if (!hasCode(error, 'OBJECT_NOT_FOUND')) tolerate(error, request)
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

export async function readHeartbeat(store: ObjectStore, instance: string, request: { generation: string } & Options & Tolerance): Promise<Heartbeat | undefined> {
  try {
    return await readDocument(store, heartbeatKey(instance, request.generation), heartbeatSchema, request)
  } catch (error) {
    if (!hasCode(error, 'OBJECT_NOT_FOUND')) tolerate(error, request)
    return undefined
  }
}

/** Notes that a block's tombstones were seen to be these from a moment on. Their content is stored once per content, by the caller. */
export async function storeDeletion(store: ObjectStore, instance: string, request: { generation: string; deletion: BlockDeletion } & Options): Promise<void> {
  const { deletion } = request
  await createDocument(store, `${deletionsPrefix(instance, request.generation)}${String(deletion.seenAt).padStart(13, '0')}-${deletion.ulid}.json`, deletion, request)
}

/** Oldest first. */
export async function readDeletions(store: ObjectStore, instance: string, request: { generation: string } & Options & Tolerance): Promise<BlockDeletion[]> {
  const deletions: BlockDeletion[] = []
  for await (const object of store.list(deletionsPrefix(instance, request.generation), signalOf(request))) {
    try {
      deletions.push(await readDocument(store, object.key, deletionSchema, request))
    } catch (error) {
      // One that went between listing and reading was older than the window.
      if (!hasCode(error, 'OBJECT_NOT_FOUND')) tolerate(error, request)
    }
  }
  return deletions.sort((a, b) => a.seenAt - b.seenAt)
}

function tolerate(error: unknown, { onDamage }: Tolerance): void {
  if (onDamage === undefined || !hasCode(error, 'DAMAGED')) throw error
  onDamage(error)
}
