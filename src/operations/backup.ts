import { randomBytes, randomUUID } from 'node:crypto'
import pLimit from 'p-limit'
import { answerWindows } from '../domain/answer-windows.ts'
import { defaultCompactedSpanMs } from '../domain/compaction-cover.ts'
import { type KnownAnswers, noKnownAnswers } from '../domain/known-answers.ts'
import type { Progress } from '../domain/progress.ts'
import { blockBytes, recoveryPointId } from '../domain/recovery-point.ts'
import { seededRandom } from '../domain/seeded-choice.ts'
import { PromDrError, hasCode, messageOf } from '../errors.ts'
import type { PrometheusApi } from '../integrations/prometheus/prometheus-api.ts'
import { readOrCreateFormat } from '../repository/format.ts'
import { claimInstance } from '../repository/identity.ts'
import { clearDeadIntents } from '../repository/intents.ts'
import { encodeKnownAnswers } from '../repository/known-answers-codec.ts'
import { type Lease, acquireLease } from '../repository/lease.ts'
import type { ObjectStore } from '../stores/object-store.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { ProcessIdentity } from '../system/machine.ts'
import { type StoreOutcome, storeRecoveryPoint } from './backup-repository.ts'
import type { BackupReport, BackupRequest, RepositoryOutcome } from './backup-report.ts'
import { type TakenSnapshot, removeDeadSnapshots, takeSnapshot } from './backup-snapshot.ts'
import { type ServerFacts, readServerFacts } from './backup-source.ts'
import { collectKnownAnswers, confirmKnownAnswers } from './known-answers.ts'
import { type SnapshotBlock, readSnapshotBlocks } from './snapshot-block.ts'
import { Stopwatch } from './stopwatch.ts'

/** A configured repository. */
export interface NamedStore {
  name: string
  store: ObjectStore
}

export interface BackupContext {
  instance: string
  prometheus: PrometheusApi
  dataDir?: string | undefined
  repositories: readonly NamedStore[]
  settings: {
    /** ms; default chosen from the server's retention. */
    compactedSpanMs?: number | undefined
    timezone: string
    knownAnswers: { series: number; samplesPerSeries: number; queries: readonly string[] }
    filesAtOnce: number
  }
  self: ProcessIdentity
  isDead(other: ProcessIdentity): boolean
  ownerNames(uid: number, gid: number): Promise<{ user: string | null; group: string | null }>
  clock: Clock
  logger: Logger
  progress: Progress
  signal: AbortSignal
}

/** A repository that takes part, with its lease held. */
interface Participant extends NamedStore {
  lease: Lease
}

/**
 * Makes one recovery point of the server in every repository. One repository failing does not stop the others: it is
 * in the report. @throws the first repository's error when all fail, and whatever goes wrong before storing begins
 */
export async function backup(context: BackupContext, request: BackupRequest): Promise<BackupReport> {
  const { clock } = context
  const watch = new Stopwatch(clock)
  const startedAtMs = clock.now().getTime()
  const failed = new Map<string, unknown>()
  const facts = await watch.time('ask the server', () => readServerFacts({ ...context, configuredDataDir: context.dataDir, hostname: context.self.hostname }))
  const participants = await watch.time('open repositories', () => openRepositories(context, { request, facts, failed }))
  try {
    for (const name of await removeDeadSnapshots(facts.dataDir, context.isDead)) context.logger.warn({ name }, 'removed the snapshot of a backup that was killed')
    const made = await makeRecoveryPoint({ context, request, facts, watch, participants, failed, startedAtMs })
    return report({ context, request, facts, watch, failed, ...made })
  } finally {
    for (const participant of participants) await releaseQuietly(context, participant)
  }
}

/** Leases are taken in all repositories before the server is asked for anything that costs it. */
async function openRepositories(context: BackupContext, run: { request: BackupRequest; facts: ServerFacts; failed: Map<string, unknown> }): Promise<Participant[]> {
  const { instance, self, signal } = context
  const chosen = chooseRepositories(context.repositories, run.request.repositories)
  const { externalLabels, dataDir, hostname } = run.facts.source
  const opened = await Promise.all(chosen.map(async ({ name, store }): Promise<Participant | undefined> => {
    try {
      await readOrCreateFormat(store, context.clock.now(), { signal })
      await claimInstance(store, instance, { identity: { machineId: self.machineId, hostname, dataDir, externalLabels }, adopt: run.request.adopt, signal })
      const lease = await acquireLease({ store, instance, verb: 'backup', holder: self, isDead: context.isDead, signal })
      try {
        await clearDeadIntents(store, instance, { signal })
      } catch (error) {
        await releaseQuietly(context, { name, store, lease })
        throw error
      }
      return { name, store, lease }
    } catch (error) {
      run.failed.set(name, error)
      return undefined
    }
  }))
  const participants = opened.filter((participant) => participant !== undefined)
  if (participants.length === 0) throw firstOf(run.failed)
  return participants
}

/** @throws USAGE for a name that is not configured */
export function chooseRepositories<T extends { name: string }>(configured: readonly T[], names: readonly string[]): readonly T[] {
  for (const name of names) {
    if (configured.some((repository) => repository.name === name)) continue
    throw new PromDrError('USAGE', `no repository is named ${JSON.stringify(name)}`, { hint: `configured are: ${configured.map((repository) => repository.name).join(', ')}` })
  }
  return names.length === 0 ? configured : configured.filter((repository) => names.includes(repository.name))
}

interface Run {
  context: BackupContext
  request: BackupRequest
  facts: ServerFacts
  watch: Stopwatch
  participants: Participant[]
  failed: Map<string, unknown>
  startedAtMs: number
}

/** Whatever happens, the snapshot is gone when this ends. */
async function makeRecoveryPoint(run: Run) {
  const { context, facts, watch } = run
  const answers = await watch.time('read known answers', () => collectAnswers(run))
  const skipHead = run.request.head === 'never'
  const snapshot = await watch.time('snapshot', () => takeSnapshot({ ...context, dataDir: facts.dataDir, skipHead }))
  try {
    const createdAt = context.clock.now()
    const all = await readSnapshotBlocks(snapshot.path)
    const head = all.find((block) => block.meta.ulid === snapshot.headUlid) ?? (skipHead ? 'omitted' : 'empty')
    const blocks = all.filter((block) => block.meta.ulid !== snapshot.headUlid)
    const confirmed = await watch.time('confirm known answers', () => confirmKnownAnswers(context.prometheus, answers, { externalLabels: facts.source.externalLabels, coveredUntilMs: coveredUntil(all), signal: context.signal }))
    const outcomes = await watch.time('store', () => storeEverywhere(run, { createdAt, blocks, head, answers: confirmed }))
    return { outcomes, answers: confirmed, snapshot }
  } finally {
    await watch.time('remove snapshot', () => snapshot.remove())
  }
}

function coveredUntil(blocks: readonly SnapshotBlock[]): number {
  return Math.max(...blocks.map((block) => block.meta.maxTime - 1), Number.NEGATIVE_INFINITY)
}

async function collectAnswers(run: Run): Promise<KnownAnswers> {
  const { context, facts } = run
  const { series, samplesPerSeries, queries } = context.settings.knownAnswers
  if (series === 0 && queries.length === 0) return noKnownAnswers
  const status = await context.prometheus.tsdbStatus({ signal: context.signal })
  const blocks = (await readSnapshotBlocks(facts.dataDir)).map((block) => ({ minTime: block.meta.minTime, maxTime: block.meta.maxTime }))
  const newestBlockMs = Math.max(...blocks.map((block) => block.maxTime - 1), Number.NEGATIVE_INFINITY)
  const newestMs = run.request.head === 'never' ? newestBlockMs : Math.max(newestBlockMs, status.headMaxTime ?? Number.NEGATIVE_INFINITY)
  if (!Number.isFinite(newestMs)) return noKnownAnswers
  const oldestMs = Math.min(...blocks.map((block) => block.minTime), status.headMinTime ?? Number.POSITIVE_INFINITY)
  const latestEndMs = Math.min(newestMs, context.clock.now().getTime()) - facts.scrapeTimeoutMs
  const seed = randomUUID()
  const windows = answerWindows({ blocks, oldestMs, latestEndMs }, { series, windowMs: samplesPerSeries * facts.scrapeIntervalMs, random: seededRandom(seed) })
  return collectKnownAnswers(context.prometheus, { seed, windows, samplesPerSeries, queries, queryAtMs: latestEndMs, externalLabels: facts.source.externalLabels, signal: context.signal })
}

async function storeEverywhere(run: Run, made: { createdAt: Date; blocks: SnapshotBlock[]; head: SnapshotBlock | 'empty' | 'omitted'; answers: KnownAnswers }): Promise<Map<string, StoreOutcome>> {
  const { context, facts } = run
  const all = typeof made.head === 'string' ? made.blocks : [...made.blocks, made.head]
  const knownAnswers = await encodeKnownAnswers(made.answers)
  const id = recoveryPointId(made.createdAt, randomBytes(4).toString('hex'))
  const limit = pLimit(context.settings.filesAtOnce)
  const outcomes = new Map<string, StoreOutcome>()
  await Promise.all(run.participants.map(async ({ name, store, lease }) => {
    try {
      outcomes.set(name, await storeRecoveryPoint({
        store, lease, limit,
        point: {
          id, instance: context.instance, createdAt: made.createdAt.getTime(), source: facts.source, knownAnswers,
          minTime: all.length === 0 ? null : Math.min(...all.map((block) => block.meta.minTime)),
          maxTime: all.length === 0 ? null : Math.max(...all.map((block) => block.meta.maxTime)) - 1,
        },
        blocks: made.blocks, head: made.head,
        compactedSpanMs: context.settings.compactedSpanMs ?? defaultCompactedSpanMs(facts.minBlockMs, facts.maxBlockMs),
        timezone: context.settings.timezone,
        startedAtMs: run.startedAtMs,
        now: () => context.clock.now(),
        progress: context.progress, logger: context.logger, signal: context.signal,
      }))
    } catch (error) {
      run.failed.set(name, error)
    }
  }))
  context.progress.finish()
  if (outcomes.size === 0) throw firstOf(run.failed)
  return outcomes
}

function report(run: Omit<Run, 'participants' | 'startedAtMs'> & { outcomes: Map<string, StoreOutcome>; answers: KnownAnswers; snapshot: TakenSnapshot }): BackupReport {
  const { context, facts, failed, outcomes, answers } = run
  const [first] = outcomes.values()
  const point = (first as StoreOutcome).point
  const blocks = point.head.kind === 'block' ? [...point.blocks, point.head.block] : point.blocks
  const sum = (pick: (outcome: StoreOutcome) => number) => [...outcomes.values()].reduce((total, outcome) => total + pick(outcome), 0)
  const warnings = [...new Set([...outcomes.values()].flatMap((outcome) => outcome.warnings))]
  if (facts.outOfOrderWindowMs > 0) warnings.push('out-of-order ingestion is on: out-of-order samples that are still in memory are in no snapshot, so they are not in this recovery point')
  if (point.head.kind === 'omitted') warnings.push('the head was left out (--head never): samples newer than the newest block are not in this recovery point')
  return {
    recoveryPoint: {
      id: point.id,
      instance: point.instance,
      createdAt: new Date(point.createdAt).toISOString(),
      maxTime: point.maxTime === null ? null : new Date(point.maxTime).toISOString(),
      headIncluded: point.head.kind !== 'omitted',
      blocks: blocks.length,
      archives: [],
      tiers: point.tiers,
      samples: blocks.reduce((total, block) => total + block.numSamples, 0),
      bytes: blocks.reduce((total, block) => total + blockBytes(block), 0),
      knownAnswers: { series: answers.series.length, samples: answers.series.reduce((total, series) => total + series.samples.length, 0), queries: answers.queries.length, dropped: answers.dropped },
    },
    uploadedBytes: sum((outcome) => outcome.uploadedBytes),
    reusedBytes: sum((outcome) => outcome.reusedBytes),
    durationMs: run.watch.totalMs(),
    stages: run.watch.stages,
    repositories: chooseRepositories(context.repositories, run.request.repositories).map(({ name, store }) => repositoryOutcome({ name, store }, outcomes.get(name), failed.get(name))),
    warnings,
  }
}

function repositoryOutcome({ name, store }: NamedStore, outcome: StoreOutcome | undefined, error: unknown): RepositoryOutcome {
  const { uploadedBytes = 0, reusedBytes = 0, uploadedBlocks = 0, reusedBlocks = 0, coveredBlocks = 0 } = outcome ?? {}
  const counts = { name, url: store.url, ok: outcome !== undefined, uploadedBytes, reusedBytes, uploadedBlocks, reusedBlocks, coveredBlocks }
  if (outcome !== undefined) return counts
  const hint = error instanceof PromDrError ? error.hint : undefined
  return { ...counts, error: { code: error instanceof PromDrError ? error.code : 'INTERNAL', message: messageOf(error), ...(hint === undefined ? {} : { hint }) } }
}

/** An interruption outweighs what it made fail. */
function firstOf(failed: Map<string, unknown>): unknown {
  const errors = [...failed.values()]
  return errors.find((error) => hasCode(error, 'INTERRUPTED')) ?? errors[0]
}

async function releaseQuietly(context: BackupContext, participant: Participant): Promise<void> {
  try {
    await participant.lease.release()
  } catch (error) {
    context.logger.warn({ repository: participant.name, error: messageOf(error) }, 'the lease could not be given back: it runs out by itself')
  }
}
