import { randomBytes } from 'node:crypto'
import pLimit from 'p-limit'
import { defaultCompactedSpanMs } from '../../domain/compaction-cover.ts'
import { type DamagedBlock, recoveryPointId } from '../../domain/recovery-point.ts'
import { encodeKnownAnswers } from '../../repository/known-answers-codec.ts'
import { sealAnswers } from '../../repository/sealed-answers.ts'
import { confirmOrDrop, readKnownAnswers } from '../answers/backup-answers.ts'
import type { BackupContext } from './backup-context.ts'
import { type StoredAlready, readAhead } from './backup-inventory.ts'
import { type Participant, firstOf, keepLeases, openParticipants, releaseQuietly } from './backup-participants.ts'
import type { BackupReport, BackupRequest } from './backup-report.ts'
import { type StoreOutcome, storeRecoveryPoint } from './backup-repository.ts'
import { removeDeadSnapshots, takeSnapshot, tellLostSnapshots } from './backup-snapshot.ts'
import { type ServerFacts, readServerFacts, requireSnapshots } from './backup-source.ts'
import { summarizeBackup } from './backup-summary.ts'
import { streamCoversHead } from './head-coverage.ts'
import { type Collection, withCollection } from '../components/collect-components.ts'
import type { CollectedAnswers } from '../answers/known-answers.ts'
import { type SnapshotBlock, measureNewestSample, readSnapshotBlocks } from './snapshot-block.ts'
import { newestInOrderMs } from '../ship/ship-checkpoint.ts'
import { SourceCheck } from './source-check.ts'
import { meanwhile } from '../meanwhile.ts'
import { Stopwatch } from '../stopwatch.ts'

export { type BackupContext, type NamedStore, chooseRepositories } from './backup-context.ts'

interface Run {
  context: BackupContext
  request: BackupRequest
  facts: ServerFacts
  watch: Stopwatch
  participants: Participant[]
  failed: Map<string, unknown>
  startedAtMs: number
  collection: Collection
}

/**
 * Makes one recovery point of the server in every repository. One repository failing does not stop the others: it is
 * in the report. @throws the first repository's error when all fail, and whatever goes wrong before storing begins
 */
export async function backup(context: BackupContext, request: BackupRequest): Promise<BackupReport> {
  const { clock, signal } = context
  const watch = new Stopwatch(clock)
  const startedAtMs = clock.now().getTime()
  const failed = new Map<string, unknown>()
  const [facts, { headMinTime, headMaxTime }] = await watch.time('ask the server', () => Promise.all([readServerFacts({ ...context, configuredDataDir: context.dataDir, hostname: context.self.hostname }), context.prometheus.tsdbStatus({ signal })]))
  await requireSnapshots(facts, context.prometheus.url)
  const { hostname, dataDir, externalLabels } = facts.source
  const ask = (signal: AbortSignal) => watch.time('read known answers', () => readKnownAnswers({ ...context, signal }, { facts, head: { headMinTime, headMaxTime }, request }))
  return meanwhile(signal, ask, async (asked) => {
    const participants = await watch.time('open repositories', () => openParticipants(context, { ...request, failed, identityFor: async () => ({ hostname, dataDir, externalLabels }) }))
    const stopKeeping = keepLeases(context, participants)
    try {
      const dead = await removeDeadSnapshots(facts.dataDir, context.isDead)
      for (const name of dead.removed) context.logger.warn({ name }, 'removed the snapshot of a backup that was killed')
      const made = await makeRecoveryPoint({ context, request, facts, watch, participants, failed, startedAtMs }, asked)
      const lost = await tellLostSnapshots(facts.dataDir, context)
      return await summarizeBackup({ context, request, facts, watch, failed, ...made, warnings: [...dead.warnings, ...lost, ...made.warnings] })
    } finally {
      stopKeeping()
      await Promise.all(participants.map((participant) => releaseQuietly(context, participant)))
    }
  })
}

interface HeadInStream {
  kind: 'wal'
  generations: Map<string, string>
}

/** What repositories have of the WAL stream is looked at while components are collected and the server is asked. */
async function makeRecoveryPoint(run: Omit<Run, 'collection'>, asked: Promise<CollectedAnswers>) {
  const { context, request, watch } = run
  const lookAtStream = async (signal: AbortSignal) => (request.head === 'auto' ? watch.time('look at the shipped WAL', () => generationWithHead(run, signal)) : undefined)
  return meanwhile(context.signal, lookAtStream, (inStream) =>
    // Before the snapshot: a restore to the moment of the recovery point must not bring back what was configured after it.
    withCollection({ ...context, watch }, async (collection) => {
      const before = { ...(await asked), inStream: await inStream }
      const made = await whileRead(run, (ahead) => storeSnapshot({ ...run, collection }, { ...before, ahead }))
      return { ...made, collection, warnings: [...made.warnings, ...collection.warnings, ...(await collection.findings)] }
    }))
}

/** What each repository holds is read while `use`, above all while the server writes the snapshot. */
async function whileRead<T>({ context, participants }: Omit<Run, 'collection'>, use: (ahead: Made['ahead']) => Promise<T>): Promise<T> {
  const { instance, clock, settings } = context
  const over = new AbortController()
  const signal = AbortSignal.any([context.signal, over.signal])
  const ahead = new Map(participants.map(({ name, store }) => [name, readAhead({ store, instance, createdAt: clock.now().getTime(), timezone: settings.timezone, signal })]))
  // Told where each repository stores.
  for (const reading of ahead.values()) reading.catch(() => undefined)
  try {
    return await use(ahead)
  } finally {
    over.abort()
  }
}

interface BeforeSnapshot extends CollectedAnswers, Pick<Made, 'ahead'> {
  inStream: HeadInStream | undefined
}

/** Whatever happens, the snapshot is gone when this ends. */
async function storeSnapshot(run: Run, { answers, problems, inStream, ahead }: BeforeSnapshot) {
  const { context, facts, watch } = run
  const skipHead = run.request.head === 'never' || inStream !== undefined
  const snapshot = await watch.time('snapshot', () => takeSnapshot({ ...context, dataDir: facts.dataDir, skipHead }))
  try {
    const createdAt = context.clock.now()
    const { blocks: all, damaged } = await readSnapshotBlocks(snapshot.path)
    const head = all.find((block) => block.meta.ulid === snapshot.headUlid) ?? inStream ?? (skipHead ? 'omitted' : 'empty')
    const blocks = all.filter((block) => block.meta.ulid !== snapshot.headUlid)
    const coveredUntilMs = Math.max(...all.map((block) => block.meta.maxTime - 1), Number.NEGATIVE_INFINITY)
    const confirm = (signal: AbortSignal) => watch.time('confirm known answers', () => confirmOrDrop({ ...context, signal }, answers, { externalLabels: facts.source.externalLabels, coveredUntilMs }))
    const measure = async (signal: AbortSignal): Promise<Measured> => {
      const [confirmed, maxTime] = await Promise.all([confirm(signal), measureNewestSample(all, signal)])
      return { ...confirmed, maxTime }
    }
    return await meanwhile(context.signal, measure, async (measured) => {
      const check = new SourceCheck()
      const outcomes = await watch.time('store', () => storeEverywhere(run, { createdAt, blocks, damaged, head, measured, check, ahead }))
      const confirmed = await measured
      return { outcomes, answers: confirmed.answers, damagedAtSource: [...damaged, ...check.findings(all)], warnings: [...problems, ...confirmed.problems, ...snapshot.warnings] }
    })
  } finally {
    await watch.time('remove snapshot', () => snapshot.remove())
  }
}

/** Where every repository has the log of what is in memory, by its own positions, the snapshot need not write it: the generation in each. */
async function generationWithHead(run: Omit<Run, 'collection'>, signal: AbortSignal): Promise<HeadInStream | undefined> {
  const { context, facts, participants } = run
  const { instance, self, clock, settings } = context
  const bound = await newestInOrderMs(facts.dataDir)
  const generations = new Map<string, string>()
  for (const participant of participants) {
    const generation = await streamCoversHead(participant, { instance, machineId: self.machineId, dataDir: facts.dataDir, bound, nowMs: clock.now().getTime(), timezone: settings.timezone, signal })
    if (generation === undefined) return undefined
    generations.set(participant.name, generation)
  }
  return { kind: 'wal', generations }
}

/** What takes the server or its files a while to tell. */
interface Measured extends CollectedAnswers {
  maxTime: number | null
}

interface Made {
  createdAt: Date
  blocks: SnapshotBlock[]
  damaged: DamagedBlock[]
  head: SnapshotBlock | 'empty' | 'omitted' | HeadInStream
  measured: Promise<Measured>
  check: SourceCheck
  /** By repository. */
  ahead: ReadonlyMap<string, Promise<StoredAlready>>
}

async function storeEverywhere(run: Run, made: Made): Promise<Map<string, StoreOutcome>> {
  const { context, facts } = run
  const { head } = made
  const all = typeof head === 'object' && 'meta' in head ? [...made.blocks, head] : made.blocks
  const measured = made.measured.then(async ({ answers, maxTime }) => {
    const knownAnswers = await encodeKnownAnswers(answers)
    return { maxTime, knownAnswers: context.answersFor === undefined ? knownAnswers : await sealAnswers(knownAnswers, context.answersFor) }
  })
  // Told where each repository stores.
  measured.catch(() => undefined)
  const id = recoveryPointId(made.createdAt, randomBytes(4).toString('hex'))
  const limit = pLimit(context.settings.filesAtOnce)
  const outcomes = new Map<string, StoreOutcome>()
  await Promise.all(run.participants.map(async ({ name, store, tiering, lease }) => {
    try {
      outcomes.set(name, await storeRecoveryPoint({
        store, tiering, lease, limit, ahead: made.ahead.get(name) as Promise<StoredAlready>, measured,
        point: {
          id, instance: context.instance, createdAt: made.createdAt.getTime(), source: facts.source,
          minTime: all.length === 0 ? null : Math.min(...all.map((block) => block.meta.minTime)),
        },
        blocks: made.blocks, damaged: made.damaged, head: typeof head === 'object' && 'generations' in head ? { kind: 'wal', generation: head.generations.get(name) as string } : head, check: made.check,
        collection: run.collection, place: context.components?.places.get(name),
        compactedSpanMs: context.settings.compactedSpanMs ?? defaultCompactedSpanMs(facts.minBlockMs, facts.maxBlockMs),
        timezone: context.settings.timezone,
        startedAtMs: run.startedAtMs,
        now: () => context.clock.now(),
        sleep: (durationMs) => context.clock.sleep(durationMs, context.signal),
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
