import type { StreamInventory } from '../domain/wal-plan.ts'
import { type BlockDeletion, type Generation, listPieces, readCheckpoints, readDeletions, readGenerations, readHeartbeat } from '../repository/wal-stream.ts'
import type { NamedStore } from './backup.ts'

/** A generation of a repository's stream with everything that a listing and its small documents tell. */
export interface ReadStream extends StreamInventory {
  store: NamedStore['store']
  deletions: BlockDeletion[]
  generation: Generation
}

/** The WAL streams of one instance in the given repositories. */
export async function readStreams(repositories: readonly NamedStore[], request: { instance: string; signal?: AbortSignal | undefined }): Promise<ReadStream[]> {
  const { instance, signal } = request
  const perRepository = await Promise.all(repositories.map(async ({ name, store }) => {
    const generations = await readGenerations(store, instance, { signal })
    return Promise.all(generations.map(async (generation): Promise<ReadStream> => {
      const of = { generation: generation.id, signal }
      const [wal, wbl, checkpoints, heartbeat, deletions] = await Promise.all([
        listPieces(store, instance, { ...of, log: 'wal' }),
        listPieces(store, instance, { ...of, log: 'wbl' }),
        readCheckpoints(store, instance, of),
        readHeartbeat(store, instance, of),
        readDeletions(store, instance, of),
      ])
      return { repository: name, store, generation, wal, wbl, checkpoints, heartbeat, deletions }
    }))
  }))
  return perRepository.flat()
}
