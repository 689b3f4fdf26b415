import { type WalLog, type WalPiece, comparePositions } from '../domain/wal-stream.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import { signalOf } from './documents.ts'
import { checkpointPrefix, checkpointsPrefix, generationKey, generationPrefix, isGenerationId, segmentPrefix, walPrefix } from './wal-keys.ts'
import { listPieces } from './wal-stream.ts'

interface Options {
  signal?: AbortSignal | undefined
}

/** Removes everything of a generation, its document first: without it the rest is nothing. */
export async function removeGeneration(store: ObjectStore, instance: string, request: { generation: string } & Options): Promise<void> {
  await store.delete([generationKey(instance, request.generation)], signalOf(request))
  await removeBelow(store, generationPrefix(instance, request.generation), request)
}

/** Removes a checkpoint, its document first. */
export async function removeCheckpoint(store: ObjectStore, instance: string, request: { generation: string; segment: number } & Options): Promise<void> {
  const prefix = checkpointPrefix(instance, request.generation, request.segment)
  await store.delete([`${prefix}checkpoint.json`], signalOf(request))
  await removeBelow(store, prefix, request)
}

/** Removes the segments of these pieces whole, the oldest first, so that what is left never looks like a beginning. */
export async function removeSegments(store: ObjectStore, instance: string, request: { generation: string; pieces: readonly WalPiece[] } & Options): Promise<void> {
  const segments = new Map<string, { log: WalLog; segment: number }>()
  const inOrder = [...request.pieces].sort((a, b) => comparePositions({ segment: a.segment, offset: a.start }, { segment: b.segment, offset: b.start }))
  for (const { log, segment } of inOrder) segments.set(`${log}/${segment}`, { log, segment })
  for (const { log, segment } of segments.values()) await removeBelow(store, segmentPrefix(instance, request.generation, { log, segment }), request)
}

export interface KnownGeneration {
  id: string
  /** Segments of its complete checkpoints. */
  checkpoints: readonly number[]
}

/**
 * Removes what a crash left of removals: files of a checkpoint without its document, where a later one is complete, and of a generation without its
 * document whatever is older than `beforeMs`, if all of it is. No reader takes them for anything.
 * @returns what was removed, for the log
 */
export async function removeRemains(store: ObjectStore, instance: string, request: { known: readonly KnownGeneration[]; beforeMs: number } & Options): Promise<string[]> {
  const remains: string[] = []
  for await (const id of store.listFolders(walPrefix(instance), signalOf(request))) {
    if (!isGenerationId(id)) continue
    const known = request.known.find((generation) => generation.id === id)
    if (known === undefined) {
      if (await isOld(store, instance, { ...request, generation: id })) remains.push(generationPrefix(instance, id))
      continue
    }
    const newest = Math.max(Number.NEGATIVE_INFINITY, ...known.checkpoints)
    for await (const name of store.listFolders(checkpointsPrefix(instance, id), signalOf(request))) {
      if (/^\d{8}$/.test(name) && Number(name) < newest && !known.checkpoints.includes(Number(name))) remains.push(checkpointPrefix(instance, id, Number(name)))
    }
  }
  for (const prefix of remains) await removeBelow(store, prefix, request)
  return remains
}

/** By the store's clock and by what its pieces say. */
async function isOld(store: ObjectStore, instance: string, request: { generation: string; beforeMs: number } & Options): Promise<boolean> {
  for await (const { modifiedAt } of store.list(generationPrefix(instance, request.generation), signalOf(request))) if (modifiedAt.getTime() >= request.beforeMs) return false
  for (const log of ['wal', 'wbl'] as const) {
    if ((await listPieces(store, instance, { ...request, log })).some(({ seenAt }) => seenAt >= request.beforeMs)) return false
  }
  return true
}

async function removeBelow(store: ObjectStore, prefix: string, options: Options): Promise<void> {
  const keys: string[] = []
  for await (const { key } of store.list(prefix, signalOf(options))) keys.push(key)
  if (keys.length > 0) await store.delete(keys, signalOf(options))
}
