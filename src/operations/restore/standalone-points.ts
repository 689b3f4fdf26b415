import { noKnownAnswers } from '../../domain/known-answers.ts'
import { standsAlone } from '../../domain/standalone-log.ts'
import { encodeKnownAnswers } from '../../repository/known-answers-codec.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import type { ReadStream } from '../wal-streams.ts'

/**
 * What a restore goes on from where a log needs no recovery point: one without blocks, of the moment at which the log was first looked at. It
 * has the generation's name and is stored nowhere. Generations of older versions do not say enough for that.
 */
export async function standalonePoints(streams: readonly ReadStream[]): Promise<StoredRecoveryPoint[]> {
  const knownAnswers = await encodeKnownAnswers(noKnownAnswers)
  return streams.flatMap(({ generation, instance }) => {
    const { id, startedAt, source } = generation
    if (!standsAlone(generation) || source === undefined) return []
    return [{ id, instance, createdAt: startedAt, minTime: null, maxTime: null, tiers: [], source, blocks: [], head: { kind: 'wal', generation: id }, archives: [], knownAnswers, cost: { uploadedBytes: 0, reusedBytes: 0, durationMs: 0 } }]
  })
}
