import type { StreamCheckpoint, StreamInventory } from '../domain/wal-plan.ts'
import type { WalPiece } from '../domain/wal-stream.ts'
import { type PromDrError, messageOf } from '../errors.ts'
import { type BlockDeletion, type Generation, type Heartbeat, checkpointFileKey, listPieces, readCheckpoints, readDeletions, readGenerations, readHeartbeat } from '../repository/wal-stream.ts'
import type { NamedStore } from './backup/backup-context.ts'

/** A generation of a repository's stream with everything that a listing and its small documents tell. */
export interface ReadStream extends StreamInventory {
  instance: string
  store: NamedStore['store']
  deletions: BlockDeletion[]
  generation: Generation
  heartbeat: Heartbeat | undefined
}

/** A document of a stream that cannot be read. */
export interface StreamDamage {
  repository: string
  key: string
  reason: string
}

export interface ReadStreams {
  streams: ReadStream[]
  /** What these documents said is missing from the streams. */
  damaged: StreamDamage[]
}

/** The WAL streams of one instance in the given repositories. What cannot be read of them does not hide the rest. */
export async function readStreams(repositories: readonly NamedStore[], request: { instance: string; signal?: AbortSignal | undefined }): Promise<ReadStreams> {
  const { instance, signal } = request
  const damaged: StreamDamage[] = []
  const perRepository = await Promise.all(repositories.map(async ({ name, store }) => {
    const onDamage = (error: PromDrError) => void damaged.push({ repository: name, key: String(error.details?.['key'] ?? ''), reason: messageOf(error) })
    const generations = await readGenerations(store, instance, { signal, onDamage })
    return Promise.all(generations.map(async (generation): Promise<ReadStream> => {
      const of = { generation: generation.id, signal, onDamage }
      const [wal, wbl, checkpoints, heartbeat, deletions] = await Promise.all([
        listPieces(store, instance, { ...of, log: 'wal' }),
        listPieces(store, instance, { ...of, log: 'wbl' }),
        readCheckpoints(store, instance, of),
        readHeartbeat(store, instance, of),
        readDeletions(store, instance, of),
      ])
      return { repository: name, instance, store, generation, wal, wbl, checkpoints, heartbeat, deletions }
    }))
  }))
  return { streams: perRepository.flat(), damaged }
}

/** The streams as they are without the objects of these names: what hangs on one of them goes with it. */
export function withoutObjects(streams: readonly ReadStream[], damaged: ReadonlyMap<string, string>): ReadStream[] {
  if (damaged.size === 0) return [...streams]
  return streams.map((stream) => {
    const { repository, instance, generation } = stream
    const keyOf = ({ segment }: StreamCheckpoint, file: StreamCheckpoint['files'][number]) => checkpointFileKey(instance, generation.id, { segment, file })
    const left = (pieces: readonly WalPiece[]) => pieces.filter((piece) => !damaged.has(objectName(repository, piece.key)))
    const checkpoints = stream.checkpoints.filter((checkpoint) => !checkpoint.files.some((file) => damaged.has(objectName(repository, keyOf(checkpoint, file)))))
    return { ...stream, wal: left(stream.wal), wbl: left(stream.wbl), checkpoints }
  })
}

/** The same key means other objects in other repositories. */
export function objectName(repository: string, key: string): string {
  return `${repository}: ${key}`
}
