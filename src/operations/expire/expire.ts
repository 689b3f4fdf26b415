import type { Retention } from '../../domain/retention.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import type { Holder } from '../../repository/lease.ts'
import type { Clock } from '../../system/clock.ts'
import type { Logger } from '../../system/logger.ts'
import { type NamedStore, chooseRepositories } from '../backup/backup-context.ts'
import type { ExpireReport, ExpireRequest, ExpiredPoint, RepositoryExpiry } from './expire-report.ts'
import { type ExpiryOutcome, type Judged, expireRepository } from './expire-repository.ts'

export interface ExpireContext {
  instance: string
  repositories: readonly (NamedStore & { retention: Retention })[]
  timezone: string
  self: Holder
  isDead(other: Holder): boolean
  clock: Clock
  logger: Logger
  signal: AbortSignal
}

/** Damage outweighs what else went wrong: it is what keeps everything from being removed. */
const gravest = ['INTERRUPTED', 'DAMAGED'] as const

/**
 * Removes what the retention of each repository no longer keeps, or tells what would go. Each repository is judged by what it holds; one
 * that fails does not stop the others. @throws the gravest error when all fail
 */
export async function expire(context: ExpireContext, request: ExpireRequest): Promise<ExpireReport> {
  const report: ExpireReport = { applied: request.apply, removed: [], kept: [], markedBlocks: 0, deletedBlocks: 0, freedBytes: 0, repositories: [], warnings: [] }
  const failures: unknown[] = []
  const chosen = chooseRepositories(context.repositories, request.repositories)
  const outcomes = await Promise.all(chosen.map(async (repository) => {
    const retention = request.retention ?? repository.retention
    try {
      const instance = request.allInstances ? undefined : (request.instance ?? context.instance)
      return { repository, retention, outcome: await expireRepository({ ...context, store: repository.store, tiering: repository.tiering, instance, retention, apply: request.apply }) }
    } catch (error) {
      failures.push(error)
      return { repository, retention, error }
    }
  }))
  for (const { repository, retention, outcome, error } of outcomes) {
    const { name, store } = repository
    if (outcome === undefined) report.repositories.push(failed({ name, url: store.url, retention }, error))
    else add(report, { name, url: store.url, retention }, outcome)
  }
  if (failures.length < chosen.length) return report
  throw failures.find((error) => hasCode(error, ...gravest)) ?? failures[0]
}

type Of = Pick<RepositoryExpiry, 'name' | 'url' | 'retention'>

function add(report: ExpireReport, of: Of, outcome: ExpiryOutcome): void {
  const { instances, judged, nextRemovalMs, ...counts } = outcome
  const [kept, gone] = [judged.filter(({ decision }) => decision.keep), judged.filter(({ decision }) => !decision.keep)]
  report.removed.push(...gone.map((one) => ({ ...describe(one, of.name), reason: one.decision.reasons.join('; ') })))
  report.kept.push(...kept.map((one) => ({ ...describe(one, of.name), reasons: one.decision.reasons })))
  report.markedBlocks += counts.markedBlocks
  report.deletedBlocks += counts.deletedBlocks
  report.freedBytes += counts.freedBytes
  report.repositories.push({ ...of, ok: true, instances, removed: gone.length, kept: kept.length, ...counts, nextRemovalAt: nextRemovalMs === null ? null : new Date(nextRemovalMs).toISOString() })
}

function describe({ point }: Judged, repository: string): ExpiredPoint {
  return { id: point.id, repository, instance: point.instance, createdAt: new Date(point.createdAt).toISOString(), tiers: [...point.tiers] }
}

function failed(of: Of, error: unknown): RepositoryExpiry {
  const nothing = { instances: [], removed: 0, kept: 0, markedBlocks: 0, deletedBlocks: 0, markedObjects: 0, deletedObjects: 0, freedBytes: 0, waitingBytes: 0, nextRemovalAt: null, locked: [], movedObjects: 0, movedBytes: 0 }
  const known = error instanceof PromDrError ? error : undefined
  return { ...of, ok: false, ...nothing, error: { code: known?.code ?? 'INTERNAL', message: messageOf(error), ...(known?.hint !== undefined && { hint: known.hint }) } }
}
