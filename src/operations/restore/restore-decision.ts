import { type KnownAnswers, answersUntil } from '../../domain/known-answers.ts'
import { cutAt, joinLaterBlocks, laterPoints } from '../../domain/later-blocks.ts'
import { type RestorePlan, planRestore } from '../../domain/restore-plan.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import { isGenerationKey } from '../../repository/wal-keys.ts'
import { looksAbout } from '../ship/block-deletions.ts'
import type { LogDeletion } from './log-deletions.ts'
import { type Sources, pointsOf, requireInstance } from '../repository-sources.ts'
import { type RestoreChoice, chooseRestore } from './restore-choice.ts'
import type { RestoreRequest } from './restore-report.ts'
import { type StreamChoice, chooseStream, slackMs, unreadWarning, withStream } from './restore-stream.ts'
import { standalonePoints } from './standalone-points.ts'
import { type StreamDamage, readStreams } from '../wal-streams.ts'

/** What a restore brings, and from where. */
export interface RestoreDecision {
  choice: RestoreChoice
  plan: RestorePlan<StoredRecoveryPoint>
  /** The log on top; undefined when blocks alone are the answer. */
  stream: StreamChoice | undefined
  /** Deletions in blocks that the log stands for. */
  logDeletions: readonly LogDeletion[]
  /** The moment that blocks of a later recovery point are cut at; `mixed` says that blocks of an earlier one are among them. */
  later: { atMs: number; mixed: boolean } | undefined
}

export interface DecisionRequest extends Pick<RestoreRequest, 'at' | 'nearest' | 'generation' | 'includeDeletes' | 'laterBlocks'> {
  instance: string
  /** What was found to be wrong with objects of the log, by repository and key. */
  damagedLog: ReadonlyMap<string, string>
  signal: AbortSignal
}

/**
 * The log where it brings the server to the moment; blocks that were made later, cut at it, where it is older than the log; a recovery
 * point alone otherwise.
 * @throws NO_RECOVERY_POINT, MOMENT_UNREACHABLE, DAMAGED
 */
export async function decideRestore(sources: Sources, request: DecisionRequest): Promise<RestoreDecision> {
  const unread: StreamDamage[] = []
  try {
    const stream = await chooseStream(sources, { ...request, damaged: request.damagedLog, onUnread: (document) => void unread.push(document) })
    if (stream === 'later-blocks') return await decideLaterBlocks(sources, request)
    const at = stream === undefined ? request.at : { kind: 'recovery-point' as const, id: stream.replay.baseId }
    const choice = stream?.alone === undefined ? await chooseRestore(sources, { ...request, at }) : choiceOf(sources, stream, stream.alone)
    if (stream === undefined) return { choice, stream, later: undefined, plan: withoutLog(choice.plan, unread, request), logDeletions: [] }
    const looks = await looksAbout(stream.stream, stream.atMs ?? Number.POSITIVE_INFINITY, request)
    return { choice, stream, later: undefined, ...withStream(choice.plan, stream, { slackMs: slackMs(choice.plan.point, stream.stream), includeDeletes: request.includeDeletes, looks }) }
  } catch (error) {
    throw hasCode(error, 'MOMENT_UNREACHABLE') ? withLaterBlocks(withUnread(error, unread), sources, request) : error
  }
}

/** A recovery point alone, where a document that hides a log cannot be read: `latest` may be older than what was shipped. */
function withoutLog(plan: RestorePlan<StoredRecoveryPoint>, unread: readonly StreamDamage[], { at }: DecisionRequest): RestorePlan<StoredRecoveryPoint> {
  const hidden = at.kind === 'latest' && unread.some(({ key }) => isGenerationKey(key))
  return { ...plan, ...(hidden && { stoppedBy: 'damaged' as const }), warnings: [...plan.warnings, ...unread.map(unreadWarning)] }
}

function withUnread(error: PromDrError, unread: readonly StreamDamage[]): PromDrError {
  const [first] = unread.filter(({ key }) => !error.message.includes(key))
  if (first === undefined) return error
  return new PromDrError(error.code, `${error.message}; ${unreadWarning(first)}`, { ...(error.hint !== undefined && { hint: error.hint }), cause: error.cause, details: { ...error.details } })
}

/** As `requireInstance`; a log that needs no recovery point is as good as one. @throws INSTANCE_NOT_FOUND */
export async function requireRestorable(sources: Sources, instance: string, signal: AbortSignal): Promise<void> {
  try {
    await requireInstance(sources, instance, signal)
  } catch (error) {
    if (!hasCode(error, 'INSTANCE_NOT_FOUND') || (await standalonePoints((await readStreams(sources.repositories, { instance, signal })).streams)).length === 0) throw error
  }
}

/** A log that needs no recovery point: there are no other objects to look for. */
function choiceOf(sources: Sources, { stream }: StreamChoice, alone: StoredRecoveryPoint): RestoreChoice {
  const plan = planRestore([{ name: stream.repository, points: [alone] }], { kind: 'recovery-point', id: alone.id }, { nearest: false })
  return { plan, sources: sources.repositories, lost: new Map(), repaired: [] }
}

/** What the source answered before a deletion that the restore brings along too, or of samples that it cuts away, proves nothing. */
export function answersLeft(answers: KnownAnswers, { plan, stream, later }: RestoreDecision): KnownAnswers {
  if (later !== undefined) return later.mixed ? withoutAnswers(answers) : answersUntil(answers, later.atMs)
  const deletedSince = stream?.stream.deletions.some((deletion) => deletion.seenAt > plan.point.createdAt && deletion.seenAt <= (stream.atMs ?? Number.POSITIVE_INFINITY)) === true
  return deletedSince ? withoutAnswers(answers) : answers
}

export function withoutAnswers(answers: KnownAnswers): KnownAnswers {
  return { ...answers, series: [], queries: [], dropped: answers.dropped + answers.series.length + answers.queries.length }
}

/** Of several recovery points that hold the moment the first that is whole. */
async function decideLaterBlocks(sources: Sources, request: DecisionRequest): Promise<RestoreDecision> {
  const atMs = momentOf(request)
  const points = allPoints(sources, request.instance)
  const passedOver: string[] = []
  let failure: unknown
  for (const later of laterPoints(points, atMs)) {
    try {
      return await joined(sources, { ...request, points, later, atMs, passedOver })
    } catch (error) {
      if (!hasCode(error, 'DAMAGED')) throw error
      failure ??= error
      passedOver.push(`recovery point ${later.id} has the moment too, but is damaged: ${messageOf(error)}`)
    }
  }
  throw failure
}

async function joined(sources: Sources, request: DecisionRequest & { points: readonly StoredRecoveryPoint[]; later: StoredRecoveryPoint; atMs: number; passedOver: readonly string[] }): Promise<RestoreDecision> {
  const { instance, points, later, atMs, includeDeletes } = request
  const join = (point: StoredRecoveryPoint) => joinLaterBlocks(points, point, { atMs, includeDeletes })
  const { before, undeleted, mixed } = join(later)
  const repositories = sources.repositories.map((source) => ({
    ...source,
    instances: source.instances.map((one) => (one.name === instance ? { ...one, points: one.points.map((point) => (point.id === later.id ? join(point).point : point)) } : one)),
  }))
  const choice = await chooseRestore({ ...sources, repositories }, { ...request, at: { kind: 'recovery-point', id: later.id } })
  const blocks = cutAt(choice.plan.blocks, atMs)
  const isCut = blocks.some((block) => block.cutAfterMs !== undefined)
  const newestMs = blocks.length === 0 ? null : Math.min(atMs, later.maxTime ?? atMs, Math.max(...blocks.map((block) => block.maxTime - 1)))
  const made = `${new Date(later.createdAt).toISOString()} (${later.id})`
  const warnings = [
    `what is newer than the blocks of ${before === undefined ? 'no earlier recovery point' : before.id} comes from blocks of the recovery point made at ${made}${isCut ? ', cut at the moment by tombstones' : ''}: in them deletions and samples that came late are as they were then`,
    ...(isCut ? ['what is later than the moment is still in the blocks, below tombstones: once the server is up, let it remove that (curl -X POST http://localhost:9090/api/v1/admin/tsdb/clean_tombstones); until then Prometheus 2.53 and 3.5 fail queries that end shortly before the moment with "index out of range"'] : []),
    ...undeleted.map((ulid) => `deletions in block ${ulid} were left out: they were made between ${new Date(before?.createdAt ?? 0).toISOString()} and ${made}, it is not known whether before or after the moment; --include-deletes takes them in`),
    ...request.passedOver,
  ]
  const plan: RestorePlan<StoredRecoveryPoint> = { ...choice.plan, blocks, recoverableAt: newestMs, stoppedBy: isCut ? 'moment' : 'recovery-point', warnings: [...choice.plan.warnings, ...warnings] }
  return { choice, plan, stream: undefined, logDeletions: [], later: { atMs, mixed } }
}

/** Tells of the blocks that hold the moment all the same, for those who know what they ask for. */
function withLaterBlocks(error: PromDrError, sources: Sources, request: DecisionRequest): PromDrError {
  const [later] = request.at.kind === 'time' && request.generation === undefined ? laterPoints(allPoints(sources, request.instance), request.at.ms) : []
  if (later === undefined) return error
  const hint = `${error.hint ?? ''}; blocks of recovery point ${later.id} have its samples: --later-blocks takes those, with deletions and late samples as they were when it was made`
  return new PromDrError(error.code, error.message, { hint, cause: error.cause, details: { ...error.details, laterBlocks: later.id } })
}

function momentOf({ at }: DecisionRequest): number {
  if (at.kind !== 'time') throw new PromDrError('INTERNAL', `later blocks were planned for ${at.kind}`)
  return at.ms
}

function allPoints(sources: Sources, instance: string): StoredRecoveryPoint[] {
  const byId = new Map<string, StoredRecoveryPoint>()
  for (const point of sources.repositories.flatMap((source) => pointsOf(source, instance))) if (!byId.has(point.id)) byId.set(point.id, point)
  return [...byId.values()]
}
