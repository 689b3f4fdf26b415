import { allBlocks } from '../../domain/recovery-point.ts'
import { loggedUntil, piecesUntil } from '../../domain/wal-plan.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { blockPrefix, headPrefix } from '../../repository/layout.ts'
import { checkpointFileKey } from '../../repository/wal-stream.ts'
import type { Logger } from '../../system/logger.ts'
import { stagingPath } from '../../tsdb/restore-directory.ts'
import type { NamedStore } from '../backup/backup.ts'
import { type Sources, outOfReach } from '../repository-sources.ts'
import type { RestoreDecision } from './restore-decision.ts'
import { type StreamChoice, slackMs } from './restore-stream.ts'

/** What a restore would bring, and the repositories that it was planned from. */
export interface Planned {
  decision: RestoreDecision
  sources: Sources
}

export interface KeyRequest {
  instance: string
  /** Plans anew from some of the repositories. */
  decide(sources: Sources): Promise<RestoreDecision>
  logger: Logger
  signal: AbortSignal
}

/**
 * Tries the keys of this host before anything is written: by one small read each of the oldest and the newest of what the plan needs of blocks and
 * of the log, since whom new objects are sealed for changes with time. A log without a key is passed over as `takeAnotherLog` does.
 * @returns with `missing`, where the restore cannot be done with the keys that are here. What else is wrong with an object comes to light when it is fetched
 */
export async function tryKeys(planned: Planned, request: KeyRequest): Promise<Planned & { missing: PromDrError | undefined }> {
  let current = planned
  for (;;) {
    const { stream } = current.decision
    const error = stream === undefined ? undefined : await firstWithoutKey(keysOfLog(current.decision, stream, request.instance), [{ name: stream.stream.repository, store: stream.stream.store }], request.signal)
    if (stream === undefined || error === undefined) break
    try {
      current = await takeAnotherLog({ stream, sources: current.sources }, error, request)
    } catch (failure) {
      if (failure !== error) throw failure
      return { ...planned, missing: refused(error) }
    }
  }
  const { decision } = current
  const error = await firstWithoutKey(keysOfBlocks(decision, request.instance), decision.choice.sources, request.signal, decision.choice.lost)
  return { ...current, missing: error && refused(error) }
}

/** Of two repositories that are shipped to in turn one is always a little behind. */
const asFarMs = 60_000

/**
 * A log that cannot be opened here is whole, and its key may be found: only another repository's that reaches as far takes its place.
 * @throws the error where there is none
 */
export async function takeAnotherLog(sealed: { stream: StreamChoice; sources: Sources }, error: PromDrError, request: Pick<KeyRequest, 'decide' | 'logger'>): Promise<Planned> {
  const { stream } = sealed
  const { repository } = stream.replay
  const others = sealed.sources.repositories.filter(({ name }) => name !== repository)
  if (others.length === 0) throw error
  const sources: Sources = { repositories: others, unreachable: [...sealed.sources.unreachable, { repository, url: stream.stream.store.url, code: error.code, message: error.message }] }
  const decision = await request.decide(sources).catch((failure: unknown) => {
    throw hasCode(failure, 'MOMENT_UNREACHABLE', 'NO_RECOVERY_POINT', 'DAMAGED') ? error : failure
  })
  if (decision.stream === undefined || (stream.atMs === undefined && loggedUntil(decision.stream.replay) < loggedUntil(stream.replay) - asFarMs)) throw error
  request.logger.warn({ repository, error: messageOf(error) }, 'the log of a repository cannot be opened here: that of another one is taken')
  return { decision, sources }
}

/** The error of a restore that went on for a while and then met an object that no key here opens: some of it has arrived by then. */
export function withWhatIsLeft(error: unknown, target: string): unknown {
  if (!hasCode(error, 'KEY_MISSING')) return error
  return new PromDrError('KEYS_INCOMPLETE', `the restore stopped: ${error.message}; what has arrived waits in ${stagingPath(target)}, and nothing else in ${target} was touched`, {
    hint: `${error.hint === undefined ? '' : `${error.hint}; `}then run the same command again: it goes on with what is there`, cause: error, details: { ...error.details, target },
  })
}

function refused(error: PromDrError): PromDrError {
  return new PromDrError('KEY_MISSING', `the restore was refused, nothing was changed: ${error.message}`, { ...(error.hint !== undefined && { hint: error.hint }), cause: error, details: { ...error.details } })
}

/** Oldest and newest; of the log of out-of-order samples the newest, which goes on for as long as the log. */
function keysOfLog({ plan }: RestoreDecision, { replay, stream, atMs }: StreamChoice, instance: string): string[] {
  const untilMs = atMs === undefined ? Number.POSITIVE_INFINITY : atMs + slackMs(plan.point, stream)
  const { checkpoint, generation } = replay
  const [file] = checkpoint?.files ?? []
  const first = checkpoint === undefined || file === undefined ? undefined : checkpointFileKey(instance, generation, { segment: checkpoint.segment, file })
  const [pieces, late] = [piecesUntil(replay.pieces, untilMs), piecesUntil(replay.wbl, untilMs)]
  return distinct([first, pieces[0]?.key, pieces.at(-1)?.key, late.at(-1)?.key])
}

function keysOfBlocks({ plan }: RestoreDecision, instance: string): string[] {
  const head = plan.point.head.kind === 'block' ? plan.point.head.block.ulid : undefined
  const needed = new Set(plan.blocks.map(({ ulid }) => ulid))
  const ulids = allBlocks(plan.point).map(({ ulid }) => ulid).filter((ulid) => needed.has(ulid)).sort()
  return distinct([ulids[0], ulids.at(-1)].map((ulid) => ulid && `${ulid === head ? headPrefix(instance, ulid) : blockPrefix(ulid)}index`))
}

function distinct(keys: readonly (string | undefined)[]): string[] {
  return [...new Set(keys)].filter((key) => key !== undefined)
}

/** The first error of an object that no source has a key for, and none has in the clear. */
async function firstWithoutKey(keys: readonly string[], sources: readonly NamedStore[], signal: AbortSignal, lost?: ReadonlyMap<string, ReadonlyMap<string, string>>): Promise<PromDrError | undefined> {
  const tried = await Promise.all(keys.map(async (key) => {
    let missing: PromDrError | undefined
    for (const { name, store } of sources) {
      if (lost?.get(name)?.has(key) === true) continue
      const error = await errorOf(store, key, signal)
      if (error === undefined) return undefined
      if (error.code === 'KEY_MISSING') missing ??= error
    }
    return missing
  }))
  return tried.find((error) => error !== undefined)
}

async function errorOf(store: NamedStore['store'], key: string, signal: AbortSignal): Promise<PromDrError | undefined> {
  try {
    const { body } = await store.get(key, { range: { start: 0, end: 1 }, signal })
    for await (const _piece of body);
    return undefined
  } catch (error) {
    if (!hasCode(error, 'KEY_MISSING', ...outOfReach)) throw error
    return error
  }
}
