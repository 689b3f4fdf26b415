import { resolve } from 'node:path'
import pLimit from 'p-limit'
import type { Encryption } from '../../domain/encryption.ts'
import type { KnownAnswers } from '../../domain/known-answers.ts'
import type { Progress } from '../../domain/progress.ts'
import { formatVersion, recordsLostBy } from '../../domain/prometheus-version.ts'
import { blockBytes } from '../../domain/recovery-point.ts'
import type { PreflightCheck } from '../../domain/restore-preflight.ts'
import { replayBoundMs } from '../../domain/wal-plan.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { decodeKnownAnswers } from '../../repository/known-answers-codec.ts'
import { openAnswers } from '../../repository/sealed-answers.ts'
import { recordRestore } from '../../repository/records.ts'
import type { Clock } from '../../system/clock.ts'
import type { Logger } from '../../system/logger.ts'
import { makeDirectory } from '../../tsdb/data-directory-access.ts'
import { type IncompleteRestore, type RestoredNote, abandonRestore, clearLeftovers, clearLog, handOver, placeRestore, replacedPrefix, stagingPath, writeIncomplete } from '../../tsdb/restore-directory.ts'
import { type AnswerCheck, type StartServer, checkAnswers } from '../answers/answer-check.ts'
import type { NamedStore } from '../backup/backup.ts'
import { type Sources, damageOf, readSources } from '../repository-sources.ts'
import { cutBlocks, deleteInBlocks } from './restore-cut.ts'
import { type RestoreDecision, answersLeft, decideRestore, requireRestorable, withoutAnswers } from './restore-decision.ts'
import { type FetchOutcome, fetchBlocks } from './restore-fetch.ts'
import { takeAnotherLog, tryKeys, withWhatIsLeft } from './restore-keys.ts'
import { type StreamChoice, slackMs } from './restore-stream.ts'
import { type ReplayOutcome, writeReplay } from './restore-wal.ts'
import { objectName } from '../wal-streams.ts'
import type { RestorePlanReport, RestoreReport, RestoreRequest } from './restore-report.ts'
import { type TargetJudgement, type TargetProbe, judgeTarget } from './restore-target.ts'
import { Stopwatch } from '../stopwatch.ts'

export interface RestoreContext {
  /** As configured; `--instance` overrides it. */
  instance: string
  repositories: readonly NamedStore[]
  settings: { target?: string | undefined; owner?: string | undefined; retentionMs?: number | undefined; filesAtOnce: number }
  probe: TargetProbe
  /** What sealed known answers are opened with. */
  opening?: Pick<Encryption, 'decrypt'> | undefined
  startServer: StartServer
  /** When the restore was decided on, of the clock's monotonic time: RTO counts from here. */
  decidedAtMs: number
  clock: Clock
  logger: Logger
  progress: Progress
  signal: AbortSignal
}

/**
 * Brings a recovery point back into a directory: plan, checks, fetch into staging with every byte checked, renames into
 * place; then, with `start`, a throwaway server answers what the source answered. Until the renames nothing that was
 * there is touched; killed at any moment, the same command goes on where it was.
 * @throws NO_RECOVERY_POINT, MOMENT_UNREACHABLE, PREFLIGHT_REFUSED, KEY_MISSING (nothing was changed), KEYS_INCOMPLETE (some has arrived), DAMAGED, STORE_*
 */
export async function restore(context: RestoreContext, request: RestoreRequest): Promise<RestoreReport> {
  const watch = new Stopwatch(context.clock, context.decidedAtMs)
  watch.stages.push({ name: 'start prom-dr', durationMs: watch.totalMs() })
  const requestedAtMs = context.clock.now().getTime()
  const instance = request.instance ?? context.instance
  const target = resolve(request.target ?? context.settings.target ?? missingTarget())
  const sources = await watch.time('read repositories', () => readSources(context.repositories, { repositories: request.repositories, instance, signal: context.signal }))
  await requireRestorable(sources, instance, context.signal)
  const damagedLog = new Map<string, string>()
  const decide = (some: Sources) => choosePlan(context, { sources: some, instance, request, damagedLog })
  const { decision, missing, ...planned } = await watch.time('plan', async () => tryKeys({ decision: await decide(sources), sources }, { ...context, instance, decide }))
  const { plan } = decision
  // Known answers that cannot be read must not come to light when everything is in place.
  const knownAnswers = request.start ? await answersOf(context, decision) : undefined
  const judgement = await watch.time('check the target', () => judgeTarget(context.probe, { target, plan, moment: cutMomentOf(decision), request, configuredOwner: context.settings.owner, configuredRetentionMs: context.settings.retentionMs, repositories: context.repositories.map(({ store }) => store.url), nowMs: requestedAtMs, signal: context.signal }))
  const run: Run = { context, request, watch, ...planned, ...decision, damagedLog, judgement, target, instance, requestedAtMs }
  // One that only has to be put in place needs no key any more.
  const keyMissing = judgement.resume?.phase === 'placing' ? undefined : missing
  if (request.dryRun) {
    if (keyMissing !== undefined) judgement.checks.push({ name: 'key', ok: false, detail: messageOf(keyMissing.cause), ...(keyMissing.hint !== undefined && { advice: keyMissing.hint }) })
    return report(run, {})
  }
  refuseFailed(judgement.checks)
  if (keyMissing !== undefined) throw keyMissing
  const brought = await bringBack(run).catch((error: unknown) => {
    throw withWhatIsLeft(error, target)
  })
  // Damage may have led to another recovery point, whose answers are others.
  const left = knownAnswers === undefined || run.plan.point.id === plan.point.id ? knownAnswers : await answersOf(context, run)
  const answers = left === undefined ? undefined : await askServer(run, (brought.replay?.laterDeletions ?? 0) > 0 ? withoutAnswers(left) : left).catch(async (error: unknown) => {
    await keepRecord(run, report(run, { brought }))
    throw inPlace(error, target)
  })
  const result = report(run, { brought, answers })
  await keepRecord(run, result)
  return result
}

async function answersOf({ opening }: RestoreContext, decision: RestoreDecision): Promise<KnownAnswers> {
  return answersLeft(await decodeKnownAnswers(await openAnswers(decision.plan.point.knownAnswers, opening)), decision)
}

/** The decision stands until an object of the log turns out to be damaged. */
function choosePlan(context: RestoreContext, { sources, instance, request, damagedLog }: Pick<Run, 'sources' | 'instance' | 'request' | 'damagedLog'>): Promise<RestoreDecision> {
  return decideRestore(sources, { ...request, instance, damagedLog, signal: context.signal })
}

interface Run extends RestoreDecision {
  context: RestoreContext
  request: RestoreRequest
  watch: Stopwatch
  sources: Sources
  /** What was found to be wrong with objects of the log, by repository and key. */
  damagedLog: Map<string, string>
  judgement: TargetJudgement
  target: string
  instance: string
  requestedAtMs: number
}

function missingTarget(): never {
  throw new PromDrError('USAGE', 'no target directory was given', { hint: 'give --target DIR, or set restore.target or prometheus.dataDir in the configuration' })
}

function refuseFailed(checks: readonly PreflightCheck[]): void {
  const failed = checks.filter((check) => !check.ok)
  if (failed.length === 0) return
  throw new PromDrError('PREFLIGHT_REFUSED', `the restore was refused, nothing was changed: ${failed.map((check) => `${check.name}: ${check.detail}`).join('; ')}`, {
    hint: failed.map((check) => check.advice).filter((advice) => advice !== undefined).join('; '),
    details: { checks: failed },
  })
}

interface Brought extends FetchOutcome {
  replacedTo: string | null
  replay: ReplayOutcome | undefined
}

async function bringBack(run: Run): Promise<Brought> {
  const { context, request, watch, judgement, target } = run
  const replacedTo = judgement.resume?.replacedTo ?? (request.replace ? `${replacedPrefix}${new Date(run.requestedAtMs).toISOString().replace(/[:.]/g, '-')}` : null)
  const placing = judgement.resume?.phase === 'placing' ? { ...judgement.resume, replacedTo } : undefined
  await makeDirectory(target)
  // The note comes first: staging without it belongs to nobody, and what it does not name is never put in place.
  await writeIncomplete(target, placing ?? noteOf(run, replacedTo))
  await clearLeftovers(target, { keepStaging: judgement.resume !== undefined })
  await makeDirectory(stagingPath(target))
  const replay = placing === undefined && run.stream !== undefined ? await watch.time('replay log', () => bringWholeLog(run, replacedTo)) : undefined
  const fetched = placing === undefined ? await watch.time('fetch and check', () => fetch(run)) : { bytes: 0, resumedBytes: 0, repaired: [] }
  const { plan, stream, later } = run
  await deleteInBlocks(plan.blocks, replay?.earlierDeletions ?? [], { staging: stagingPath(target), signal: context.signal })
  const cut = placing === undefined ? await cutBlocks(plan.blocks, { staging: stagingPath(target), measure: later !== undefined, watch, signal: context.signal }) : undefined
  if (later !== undefined && cut?.newestSampleMs !== undefined) plan.recoverableAt = cut.newestSampleMs
  // What the log really held is known only now.
  if (replay?.newestSampleMs !== undefined) plan.recoverableAt = replay.newestSampleMs
  const note = placing ?? noteOf(run, replacedTo, replay?.names)
  const restored = () => ({ version: 1, instance: run.instance, recoveryPoint: plan.point.id, ...(stream !== undefined && logOf(stream)), recoverableAt: isoOrNull(plan.recoverableAt), restoredAt: context.clock.now().toISOString() })
  context.signal.throwIfAborted()
  const placed = await watch.time('put in place', async () => {
    await handOver(target, judgement.owner, { itselfOnly: true })
    return placeRestore(target, { note, names: note.names, owner: judgement.owner, restored })
  })
  return { ...fetched, repaired: [...run.choice.repaired, ...repairedLog(run), ...fetched.repaired], replacedTo: placed.replacedTo, replay }
}

function noteOf(run: Run, replacedTo: string | null, logs: readonly string[] = ['wbl', 'wal']): IncompleteRestore {
  const names = [...(run.stream === undefined ? [] : logs), ...run.plan.blocks.map((block) => block.ulid)]
  return { version: 1, instance: run.instance, recoveryPoint: run.plan.point.id, moment: cutMomentOf(run), names, replacedTo, phase: 'staging', startedAt: run.judgement.resume?.startedAt ?? new Date(run.requestedAtMs).toISOString() }
}

/** What a restore of the same recovery point to another moment would place otherwise. */
function cutMomentOf({ stream, later }: Pick<Run, 'stream' | 'later'>): string | null {
  return isoOrNull(later?.atMs ?? stream?.atMs ?? null)
}

/** Each damaged object is passed over: another repository may have the log, or it ends before it. What is restored then is planned anew. */
async function bringWholeLog(run: Run, replacedTo: string | null): Promise<ReplayOutcome | undefined> {
  for (;;) {
    if (run.stream === undefined) return undefined
    try {
      return await bringLog(run, run.stream)
    } catch (error) {
      if (hasCode(error, 'KEY_MISSING')) {
        const { decision, sources } = await takeAnotherLog({ stream: run.stream, sources: run.sources }, error, { decide: (some) => choosePlan(run.context, { ...run, sources: some }), logger: run.context.logger })
        Object.assign(run, decision, { sources })
        await clearLog(stagingPath(run.target))
        await writeIncomplete(run.target, noteOf(run, replacedTo))
        continue
      }
      const key = hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND') ? error.details?.['key'] : undefined
      // Planned without it once, it is not asked for again.
      if (typeof key !== 'string' || run.damagedLog.has(objectName(run.stream.replay.repository, key))) throw error
      const again = hasCode(error, 'OBJECT_NOT_FOUND') && isPieceOf(run.stream, key) ? await choosePlan(run.context, run) : undefined
      // A shipper seals segments meanwhile: what it stored instead of their parts is listed now.
      if (again?.stream !== undefined && !isPieceOf(again.stream, key)) {
        Object.assign(run, again)
        await clearLog(stagingPath(run.target))
        await writeIncomplete(run.target, noteOf(run, replacedTo))
        continue
      }
      run.damagedLog.set(objectName(run.stream.replay.repository, key), messageOf(error))
      run.context.logger.warn({ repository: run.stream.replay.repository, key, error: messageOf(error) }, 'an object of the log is damaged or missing: the restore goes on without it')
      const decision = await choosePlan(run.context, run)
      const { plan, stream, later } = decision
      Object.assign(run, { ...decision, plan: stream === undefined && later === undefined ? { ...plan, stoppedBy: 'gap' } : plan })
      await clearLog(stagingPath(run.target))
      await writeIncomplete(run.target, noteOf(run, replacedTo))
    }
  }
}

function isPieceOf({ replay: { pieces, wbl } }: StreamChoice, key: string): boolean {
  return [...pieces, ...wbl].some((piece) => piece.key === key)
}

/** Where another repository stood in for the one that lost something. */
function repairedLog(run: Run): FetchOutcome['repaired'] {
  const from = run.stream?.replay.repository
  return [...run.damagedLog].flatMap(([name, reason]) => (from === undefined || name.startsWith(`${from}: `) ? [] : [{ key: name.slice(name.indexOf(': ') + 2), from, reason }]))
}

async function bringLog(run: Run, stream: StreamChoice): Promise<ReplayOutcome> {
  const { context, target, plan, request } = run
  const staging = stagingPath(target)
  await clearLog(staging)
  context.progress.start('fetching the log', stream.replay.pieces.reduce((sum, piece) => sum + piece.storedBytes, 0))
  try {
    const replay = await writeReplay({
      store: stream.stream.store, instance: run.instance, replay: stream.replay, baseMs: plan.point.createdAt, atMs: stream.atMs, slackMs: slackMs(plan.point, stream.stream),
      includeDeletes: request.includeDeletes, deletions: run.logDeletions, boundMs: replayBoundMs(plan.blocks), staging, progress: context.progress, signal: context.signal,
    })
    await refuseUnreadable(run, replay)
    return replay
  } finally {
    context.progress.finish()
  }
}

/** What is in a log is known only when it was read; an older server would pass over records that it does not know, and say nothing. */
async function refuseUnreadable({ context, target, plan }: Run, { recordTypes }: ReplayOutcome): Promise<void> {
  const version = await context.probe.localVersion()
  const lost = version === undefined ? [] : recordsLostBy(version, recordTypes)
  if (version === undefined || lost.length === 0) return
  await abandonRestore(target)
  const since = lost.at(-1)?.since
  throw new PromDrError('PREFLIGHT_REFUSED', `the restore was refused, nothing was changed: the log has ${lost.map((records) => `${records.name} (known since Prometheus ${records.since})`).join(', ')}, which Prometheus ${formatVersion(version)} on this host would leave out; the data is of ${plan.point.source.prometheusVersion}`, {
    hint: `install Prometheus ${since} or newer on this host`,
    details: { lost },
  })
}

async function fetch(run: Run): Promise<FetchOutcome> {
  const { context, plan, target, choice } = run
  context.progress.start('fetching', plan.blocks.reduce((sum, block) => sum + blockBytes(block), 0))
  const { head } = plan.point
  try {
    return await fetchBlocks(plan.blocks, {
      instance: run.instance,
      sources: choice.sources,
      lost: choice.lost,
      head: head.kind === 'block' ? head.block.ulid : undefined,
      staging: stagingPath(target),
      limit: pLimit(context.settings.filesAtOnce),
      progress: context.progress,
      signal: context.signal,
    })
  } finally {
    context.progress.finish()
  }
}

async function askServer(run: Run, answers: KnownAnswers): Promise<AnswerCheck> {
  const { context, plan } = run
  return checkAnswers({ dataDir: run.target, recoveryPoint: plan.point.id, source: plan.point.source, answers, owner: run.judgement.owner, startServer: context.startServer, watch: run.watch, signal: context.signal })
}

/** What went wrong once everything was in place: who reads it at night must not begin again. */
function inPlace(error: unknown, target: string): unknown {
  if (!(error instanceof PromDrError)) return error
  const { code, message, hint, details } = error
  const advice = code === 'INTERRUPTED' || hint === undefined ? '' : `; to have it asked: ${hint}`
  return new PromDrError(code, `all is restored and in place in ${target}, but its known answers were not asked: ${message}`, {
    hint: `there is no need to restore it again, every byte of it was checked${advice}`, cause: error, details: { ...details, target },
  })
}

function report(run: Run, done: { brought?: Brought; answers?: AnswerCheck | undefined }): RestoreReport {
  const { plan, request, sources } = run
  const planned = planReport(run)
  const warnings = [...plan.warnings, ...[...run.damagedLog.values()].map((reason) => `the log was taken without a damaged object: ${reason}`), ...sources.repositories.flatMap(damageOf).map(({ repository, key, reason }) => `${repository}: ${reason.startsWith(key) ? reason : `${key} is damaged: ${reason}`}`)]
  const { answers, brought } = done
  if (answers !== undefined && answers.report.series + answers.report.queries === 0) warnings.push('the recovery point has no known answers: that the server answers correctly could not be shown')
  warnings.push(...replayWarnings(brought?.replay))
  const disasterAtMs = request.disasterAtMs ?? (request.at.kind === 'latest' ? run.requestedAtMs : request.at.kind === 'time' ? request.at.ms : plan.point.createdAt)
  return {
    dryRun: request.dryRun,
    plan: planned,
    requestedAt: planned.requestedAt,
    recoverableAt: planned.recoverableAt,
    target: run.target,
    stoppedBy: plan.stoppedBy,
    stages: run.watch.stages,
    bytes: (brought?.bytes ?? 0) + (brought?.replay?.bytes ?? 0),
    resumedBytes: brought?.resumedBytes ?? 0,
    rpoSeconds: plan.recoverableAt === null ? null : Math.max(0, (disasterAtMs - plan.recoverableAt) / 1000),
    rtoSeconds: answers?.firstCorrect === true ? answers.firstCorrectAtMs / 1000 : null,
    repaired: brought?.repaired ?? [],
    replacedTo: brought?.replacedTo == null ? null : resolve(run.target, brought.replacedTo),
    answers: answers?.report ?? null,
    unreachable: sources.unreachable,
    warnings,
  }
}

function replayWarnings(replay: ReplayOutcome | undefined): string[] {
  const warnings: string[] = []
  if (replay === undefined) return warnings
  if (replay.ambiguousDeletions > 0) warnings.push(`${replay.ambiguousDeletions} deletions were left out: they were made about the moment asked for, it is not known whether before or after; --include-deletes takes them in`)
  warnings.push(...replay.unappliedDeletions.map(({ ulid, reason }) => `deletions in block ${ulid} could not be applied, or not all: ${reason}; delete them again on the restored server`))
  if (replay.unknownKept > 0) warnings.push(`${replay.unknownKept} log records are of types that this version does not know; they were kept as they are`)
  if (replay.unnamedSamples > 0) warnings.push(`${replay.unnamedSamples} out-of-order samples were left out: about when they were logged their ref was given to another series, and which of the two they are of is not known`)
  if (replay.unknownDropped > 0) warnings.push(`${replay.unknownDropped} log records are of types that this version does not know; they were dropped, as they might hold samples later than the moment`)
  return warnings
}

function planReport(run: Run): RestorePlanReport {
  const { plan, request } = run
  const head = plan.point.head.kind === 'block' ? plan.point.head.block.ulid : undefined
  const asked = request.at.kind === 'time' ? request.at.ms : request.at.kind === 'latest' && run.stream !== undefined ? run.requestedAtMs : plan.point.createdAt
  const requested = new Date(asked).toISOString()
  return {
    instance: run.instance,
    recoveryPoint: run.stream?.alone === undefined ? plan.point.id : null,
    ...(run.stream !== undefined && { generation: run.stream.replay.generation }),
    repository: plan.sources[0] ?? '',
    requestedAt: requested,
    recoverableAt: isoOrNull(plan.recoverableAt),
    stoppedBy: plan.stoppedBy,
    target: run.target,
    blocks: plan.blocks.map((block) => ({ ulid: block.ulid, minTime: new Date(block.minTime).toISOString(), maxTime: new Date(block.maxTime).toISOString(), bytes: blockBytes(block), samples: block.numSamples, head: block.ulid === head, ...(block.cutAfterMs !== undefined && { cutAt: new Date(block.cutAfterMs).toISOString() }) })),
    bytes: plan.blocks.reduce((sum, block) => sum + blockBytes(block), 0),
    objects: plan.blocks.reduce((sum, block) => sum + Object.keys(block.files).length + (block.tombstones === undefined ? 0 : 1), 0),
    preflight: run.judgement.checks,
    estimateSeconds: null,
    warnings: plan.warnings,
  }
}

/** The restore stands also when its record cannot be written: a repository may be read-only for this host. */
async function keepRecord(run: Run, result: RestoreReport): Promise<void> {
  const { context, plan } = run
  const source = run.sources.repositories.find(({ name }) => name === plan.sources[0])
  if (source === undefined) return
  try {
    await recordRestore(source.store, run.instance, { at: context.clock.now(), record: { recoveryPoint: plan.point.id, requestedAt: result.requestedAt, recoverableAt: result.recoverableAt, stoppedBy: result.stoppedBy, stages: result.stages, bytes: result.bytes, rpoSeconds: result.rpoSeconds, rtoSeconds: result.rtoSeconds, answersEqual: result.answers?.equal ?? null, repaired: result.repaired } })
  } catch (error) {
    context.logger.warn({ error: messageOf(error) }, 'the record of this restore could not be kept in the repository')
    result.warnings.push(`the record of this restore could not be kept in ${source.name}: ${messageOf(error)}`)
  }
}

/** Which log was replayed, for the first ship after it: other repositories have it under other names. */
function logOf({ replay, stream: { generation } }: StreamChoice): Pick<RestoredNote, 'generation' | 'server'> {
  return { generation: replay.generation, server: { machineId: generation.machineId, dataDir: generation.dataDir } }
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
