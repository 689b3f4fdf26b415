import { randomBytes } from 'node:crypto'
import { recoveryPointBytes, recoveryPointId } from '../../domain/recovery-point.ts'
import { PromDrError } from '../../errors.ts'
import { type ArchiveOutcome, type ArchiveReport, type ArchiveVerbRequest } from './archive-report.ts'
import { type ArchivedPoint, storeComponents } from './archive-repository.ts'
import { readArchiveSource } from './archive-source.ts'
import { type BackupContext, chooseRepositories } from '../backup/backup-context.ts'
import { firstOf, keepLeases, openParticipants, releaseQuietly } from '../backup/backup-participants.ts'
import { failedOf } from '../backup/backup-summary.ts'
import { failureOf, withCollection } from './collect-components.ts'
import type { ComponentsContext } from './components-context.ts'
import { Stopwatch } from '../stopwatch.ts'

export type ArchiveContext = Pick<BackupContext, 'instance' | 'prometheus' | 'dataDir' | 'repositories' | 'self' | 'isDead' | 'ownerNames' | 'clock' | 'logger' | 'signal'> & {
  components: ComponentsContext
  timezone: string
}

/**
 * Makes a recovery point of the components alone in every repository: no snapshot, nothing of the TSDB. A component that fails does not
 * stop the others. @throws the first component's error when none could be collected, the first repository's when all fail
 */
export async function archive(context: ArchiveContext, request: ArchiveVerbRequest): Promise<ArchiveReport> {
  const { clock, instance } = context
  const watch = new Stopwatch(clock)
  const startedAtMs = clock.now().getTime()
  const failed = new Map<string, unknown>()
  if (context.components.components.length === 0) throw new PromDrError('CONFIG_INVALID', 'there is nothing to archive: no component is configured', { hint: 'name some below "components" in prom-dr.yml' })
  const source = await watch.time('ask the server', () => readArchiveSource(context))
  const participants = await watch.time('open repositories', () => openParticipants(context, { ...request, failed, identityFor: source.identityFor }))
  const stopKeeping = keepLeases(context, participants)
  try {
    return await withCollection({ ...context, watch }, async (collection) => {
      if (collection.collected.length === 0) throw nothingCollected(collection)
      const createdAt = clock.now()
      const id = recoveryPointId(createdAt, randomBytes(4).toString('hex'))
      const outcomes = new Map<string, ArchivedPoint>()
      await watch.time('store', () => Promise.all(participants.map(async ({ name, store, tiering, lease }) => {
        try {
          outcomes.set(name, await storeComponents({ store, tiering, lease, instance, recoveryPoint: id, createdAt: createdAt.getTime(), collection, source, place: context.components.places.get(name), timezone: context.timezone, startedAtMs, now: () => clock.now(), sleep: (durationMs) => clock.sleep(durationMs, context.signal), logger: context.logger, signal: context.signal }))
        } catch (error) {
          failed.set(name, error)
        }
      })))
      const [first] = outcomes.values()
      if (first === undefined) throw firstOf(failed)
      const repositories = chooseRepositories(await context.repositories(), request.repositories).map(({ name, store }) => outcomeOf({ name, url: store.url }, outcomes.get(name), failed.get(name)))
      return {
        recoveryPoint: { id, instance, createdAt: createdAt.toISOString(), archives: first.archives, tiers: first.point.tiers, bytes: recoveryPointBytes(first.point) },
        failedComponents: failedOf({ collection, outcomes }),
        uploadedBytes: repositories.reduce((sum, outcome) => sum + outcome.uploadedBytes, 0),
        reusedBytes: repositories.reduce((sum, outcome) => sum + outcome.reusedBytes, 0),
        durationMs: watch.totalMs(), stages: watch.stages, repositories,
        warnings: [...new Set([...source.warnings, ...collection.warnings, ...(await collection.findings), ...[...outcomes.values()].flatMap((outcome) => outcome.warnings)])],
      }
    })
  } finally {
    stopKeeping()
    for (const participant of participants) await releaseQuietly(context, participant)
  }
}

function nothingCollected({ failed, warnings }: { failed: { error: { message: string; hint?: string } }[]; warnings: string[] }): PromDrError {
  const [first] = failed
  return new PromDrError('COMPONENT_FAILED', `no component could be collected: ${first?.error.message ?? warnings.join('; ')}`, { hint: first?.error.hint ?? 'run "prom-dr doctor" to see what each of them lacks' })
}

function outcomeOf(repository: { name: string; url: string }, outcome: ArchivedPoint | undefined, error: unknown): ArchiveOutcome {
  const counts = { ...repository, ok: outcome !== undefined, uploadedBytes: outcome?.uploadedBytes ?? 0, reusedBytes: outcome?.reusedBytes ?? 0 }
  return outcome === undefined ? { ...counts, error: failureOf(error) } : counts
}
