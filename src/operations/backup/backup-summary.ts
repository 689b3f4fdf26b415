import type { KnownAnswers } from '../../domain/known-answers.ts'
import { type DamagedBlock, headPlace, recoveryPointBytes } from '../../domain/recovery-point.ts'
import { PromDrError, messageOf } from '../../errors.ts'
import type { FailedComponent } from '../components/archives-report.ts'
import { type BackupContext, type NamedStore, chooseRepositories } from './backup-context.ts'
import type { BackupReport, BackupRequest, RepositoryOutcome } from './backup-report.ts'
import type { StoreOutcome } from './backup-repository.ts'
import type { Collection } from '../components/collect-components.ts'
import type { ServerFacts } from './backup-source.ts'
import type { Stopwatch } from '../stopwatch.ts'

/** What there is to tell. */
export interface BackedUp {
  context: BackupContext
  request: BackupRequest
  facts: ServerFacts
  watch: Stopwatch
  /** By repository: what it reached, at least one, and why the others did not. */
  outcomes: Map<string, StoreOutcome>
  failed: Map<string, unknown>
  answers: KnownAnswers
  collection: Collection
  damagedAtSource: DamagedBlock[]
  warnings: string[]
}

/** What a backup that reached at least one repository answers. */
export async function summarizeBackup(run: BackedUp): Promise<BackupReport> {
  const { context, facts, failed, outcomes, answers } = run
  const [first] = outcomes.values()
  const point = (first as StoreOutcome).point
  const blocks = point.head.kind === 'block' ? [...point.blocks, point.head.block] : point.blocks
  const sum = (pick: (outcome: StoreOutcome) => number) => [...outcomes.values()].reduce((total, outcome) => total + pick(outcome), 0)
  const warnings = [...new Set([...run.warnings, ...[...outcomes.values()].flatMap((outcome) => outcome.warnings)])]
  if (facts.outOfOrderWindowMs > 0) warnings.push('out-of-order ingestion is on: out-of-order samples that are still in memory are in no snapshot, so they are not in this recovery point')
  if (point.head.kind === 'omitted') warnings.push('the head was left out (--head never): samples newer than the newest block are not in this recovery point')
  return {
    failedComponents: failedOf(run),
    recoveryPoint: {
      id: point.id,
      instance: point.instance,
      createdAt: new Date(point.createdAt).toISOString(),
      maxTime: point.maxTime === null ? null : new Date(point.maxTime).toISOString(),
      headIncluded: headPlace(point.head) === 'stored',
      head: headPlace(point.head),
      blocks: blocks.length,
      archives: (first as StoreOutcome).archives,
      tiers: point.tiers,
      samples: blocks.reduce((total, block) => total + block.numSamples, 0),
      bytes: recoveryPointBytes(point),
      knownAnswers: { series: answers.series.length, samples: answers.series.reduce((total, series) => total + series.samples.length, 0), queries: answers.queries.length, dropped: answers.dropped },
    },
    uploadedBytes: sum((outcome) => outcome.uploadedBytes),
    reusedBytes: sum((outcome) => outcome.reusedBytes),
    durationMs: run.watch.totalMs(),
    stages: run.watch.stages,
    repositories: chooseRepositories(await context.repositories(), run.request.repositories).map(({ name, store }) => repositoryOutcome({ name, store }, outcomes.get(name), failed.get(name))),
    damagedAtSource: run.damagedAtSource,
    warnings,
  }
}

/** Each once, however many repositories lack it for the same reason. */
export function failedOf({ collection, outcomes }: { collection: Collection; outcomes: ReadonlyMap<string, { failedComponents: FailedComponent[] }> }): FailedComponent[] {
  const all = [...collection.failed, ...[...outcomes.values()].flatMap((outcome) => outcome.failedComponents)]
  return [...new Map(all.map((failed) => [`${failed.component} ${failed.error.message}`, failed])).values()]
}

function repositoryOutcome({ name, store }: NamedStore, outcome: StoreOutcome | undefined, error: unknown): RepositoryOutcome {
  const { uploadedBytes = 0, reusedBytes = 0, uploadedBlocks = 0, reusedBlocks = 0, coveredBlocks = 0 } = outcome ?? {}
  const counts = { name, url: store.url, ok: outcome !== undefined, uploadedBytes, reusedBytes, uploadedBlocks, reusedBlocks, coveredBlocks }
  if (outcome !== undefined) return counts
  const hint = error instanceof PromDrError ? error.hint : undefined
  return { ...counts, error: { code: error instanceof PromDrError ? error.code : 'INTERNAL', message: messageOf(error), ...(hint === undefined ? {} : { hint }) } }
}
