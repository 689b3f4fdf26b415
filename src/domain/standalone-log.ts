import { exactWindows } from './reachable.ts'
import type { ReplayBase, StreamInventory } from './wal-plan.ts'

/** What tells whether a generation needs anything but itself. */
export interface StandaloneFacts {
  checkpoint: number | null
  bound: number | null
  firstSegment: number
  /** Blocks that the server had when it began; absent where that was not noted. */
  blocks?: number | undefined
  /** The server that it is of; absent where it did not answer. A restore has to know it. */
  source?: object | undefined
}

/**
 * Whether the log of a generation is all that its server had when it began: no block held anything, and nothing of the log had gone. Such a
 * log is restored by itself, onto nothing, for as long as its beginning is stored.
 */
export function standsAlone({ checkpoint, bound, firstSegment, blocks, source }: StandaloneFacts): boolean {
  return source !== undefined && blocks === 0 && firstSegment === 0 && bound === null && checkpoint === null
}

/** What such a log is replayed onto: nothing, from the moment when it was first looked at. */
export function standaloneBase({ id, startedAt }: { id: string; startedAt: number }): ReplayBase {
  return { id, createdAt: startedAt, blocks: [] }
}

/** Those for every generation that stands alone. */
export function standaloneBases(streams: readonly (StreamInventory & { generation: StandaloneFacts })[]): ReplayBase[] {
  return streams.filter(({ generation }) => standsAlone(generation)).map(({ generation }) => standaloneBase(generation))
}

/** Whether the newest history can be restored without any recovery point. */
export function restoresAlone(streams: readonly (StreamInventory & { generation: StandaloneFacts })[]): boolean {
  const [newest] = [...streams].sort((a, b) => b.generation.startedAt - a.generation.startedAt)
  return newest !== undefined && standsAlone(newest.generation) && exactWindows([standaloneBase(newest.generation)], [newest]).length > 0
}
