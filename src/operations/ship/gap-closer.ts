import { type NeedPoint, type RecoveryNeed, damageRepeatMs, recoveryNeed } from '../../domain/recovery-need.ts'
import { holdsTsdb, headPlace } from '../../domain/recovery-point.ts'
import { isLeftBehind, replayBoundMs } from '../../domain/wal-plan.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { listRecoveryPointIds, readRecoveryPoint } from '../../repository/recovery-points.ts'
import { readCheckpoints } from '../../repository/wal-stream.ts'
import type { Clock } from '../../system/clock.ts'
import type { Logger } from '../../system/logger.ts'
import type { BackupReport } from '../backup/backup-report.ts'
import type { NamedStore } from '../backup/backup-context.ts'
import type { RepositoryShipper } from './repository-shipper.ts'
import type { ShippedBackup } from './ship-report.ts'
import { WakeUp } from './wake-up.ts'

/** Makes a recovery point with the head in the named repositories. */
export type BackUp = (request: { repositories: string[]; signal: AbortSignal }) => Promise<BackupReport>

export interface GapCloserContext {
  instance: string
  /** Undefined where the operator makes them: then they are only asked for. */
  backUp: BackUp | undefined
  clock: Clock
  logger: Logger
}

/** A repository that is shipped to, as far as this is about it. */
export interface ClosedTarget {
  repository: NamedStore
  /** Undefined while it cannot be reached. */
  shipper: (Pick<RepositoryShipper, 'generation' | 'damagedSinceMs'> & Partial<Pick<RepositoryShipper, 'lateSinceMs'>>) | undefined
}

interface Watched {
  target: ClosedTarget
  /** What was last looked at: the generation, and whether the log is damaged. */
  looked: string | undefined
  dueAtMs: number
  failures: number
  firstWantedAtMs: number | undefined
  /** What is wanted and not made. */
  wanted: RecoveryNeed | undefined
}

/** After it was found that nothing is needed, or a recovery point was made. */
const restMs = 3_600_000
const firstRetryMs = 60_000
/** So long the operator may take for the first recovery point, whose own backup this one would stand in the way of. */
const operatorsTurnMs = 60_000
/** Older recovery points have older blocks: they reach nothing that these do not. */
const readAtMost = 5

/**
 * Makes a recovery point with the head wherever what is shipped cannot be restored without loss: after a gap, while Prometheus's own log is
 * damaged, where no recovery point has the blocks that the log goes on from. It runs beside the shipping, which never waits for
 * it; what fails is logged and tried again, after longer and longer pauses up to an hour.
 */
export class GapCloser {
  readonly #context: GapCloserContext
  readonly #watched: Watched[]
  readonly #made = new Map<string, ShippedBackup>()
  readonly #wakeUp = new WakeUp()

  constructor(context: GapCloserContext, targets: readonly ClosedTarget[]) {
    this.#context = context
    this.#watched = targets.map((target) => ({ target, looked: undefined, dueAtMs: 0, failures: 0, firstWantedAtMs: undefined, wanted: undefined }))
  }

  /** The last outcome for each repository and reason. */
  get made(): ShippedBackup[] {
    return [...this.#made.values()]
  }

  /** What is wanted of the operator. */
  get warnings(): string[] {
    return this.#watched.flatMap(({ target, wanted }) => (wanted === undefined ? [] : [`${target.repository.name}: ${wanted.reason}: run "prom-dr backup${wanted.kind === 'first' ? '' : ' --head always'}"`]))
  }

  /** To be told after every pass: a new generation or new damage is looked at at once. */
  notice(): void {
    if (this.#watched.some((watched) => this.#isDue(watched))) this.#wakeUp.ring()
  }

  /** Looks once at everything that is due, and makes what is needed. */
  async close(signal: AbortSignal): Promise<void> {
    const wanting: { watched: Watched; need: RecoveryNeed }[] = []
    for (const watched of this.#watched) {
      if (!this.#isDue(watched)) continue
      const need = await this.#needOf(watched, signal)
      if (need !== undefined) wanting.push({ watched, need })
    }
    if (wanting.length > 0) await this.#backUp(wanting, signal)
  }

  /** Goes on until the signal; rejects with its reason. */
  async closeAgainAndAgain(signal: AbortSignal): Promise<never> {
    const { clock } = this.#context
    for (;;) {
      await this.close(signal)
      if (this.#watched.some((watched) => this.#isDue(watched))) continue
      const nextMs = Math.min(...this.#watched.map(({ dueAtMs }) => dueAtMs), clock.monotonicMs() + restMs)
      await this.#wakeUp.wait(Math.max(0, nextMs - clock.monotonicMs()), clock, signal)
    }
  }

  #isDue({ target: { shipper }, looked, dueAtMs }: Watched): boolean {
    return shipper !== undefined && (stateOf(shipper) !== looked || this.#context.clock.monotonicMs() >= dueAtMs)
  }

  async #needOf(watched: Watched, signal: AbortSignal): Promise<RecoveryNeed | undefined> {
    const { clock, logger } = this.#context
    const { repository, shipper } = watched.target
    if (shipper === undefined) return undefined
    const nowMs = clock.monotonicMs()
    watched.looked = stateOf(shipper)
    const pauseMs = shipper.damagedSinceMs === undefined ? restMs : damageRepeatMs
    watched.dueAtMs = nowMs + pauseMs
    try {
      const need = recoveryNeed(await this.#streamOf(repository, shipper, signal), await this.#pointsIn(repository, shipper.generation, signal), clock.now().getTime())
      watched.wanted = need
      if (need?.kind !== 'first') return need
      watched.firstWantedAtMs ??= nowMs
      if (nowMs - watched.firstWantedAtMs >= operatorsTurnMs) return need
      watched.dueAtMs = watched.firstWantedAtMs + operatorsTurnMs
    } catch (error) {
      if (signal.aborted || !(error instanceof PromDrError)) throw error
      watched.dueAtMs = nowMs + firstRetryMs
      logger.warn({ repository: repository.name, code: error.code, error: error.message }, 'whether the shipped log can be restored could not be seen; it is looked at again')
    }
    return undefined
  }

  async #streamOf({ store }: NamedStore, { generation, damagedSinceMs, lateSinceMs }: NonNullable<ClosedTarget['shipper']>, signal: AbortSignal) {
    const { instance } = this.#context
    return { generation, checkpoints: await readCheckpoints(store, instance, { generation: generation.id, signal }), damagedSince: damagedSinceMs, lateSince: lateSinceMs }
  }

  async #pointsIn({ store }: NamedStore, { parent }: NonNullable<ClosedTarget['shipper']>['generation'], signal: AbortSignal): Promise<NeedPoint[]> {
    const { instance } = this.#context
    const points: NeedPoint[] = []
    for (const id of (await listRecoveryPointIds(store, instance, { signal })).ids.reverse()) {
      try {
        const point = await readRecoveryPoint(store, instance, { id, signal })
        if (holdsTsdb(point) && (parent === null || !isLeftBehind(point, parent))) points.push({ createdAt: point.createdAt, headStored: headPlace(point.head) === 'stored', bound: replayBoundMs(point.blocks) })
      } catch (error) {
        // One that is damaged, or has just expired, is none to rely on.
        if (!hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND')) throw error
      }
      if (points.length === readAtMost) break
    }
    return points
  }

  async #backUp(wanting: readonly { watched: Watched; need: RecoveryNeed }[], signal: AbortSignal): Promise<void> {
    const { backUp, clock, logger } = this.#context
    const repositories = wanting.map(({ watched }) => watched.target.repository.name)
    if (backUp === undefined) return logger.warn({ repositories, reason: wanting[0]?.need.reason }, 'what is shipped does not restore everything: a recovery point with the head is needed')
    logger.warn({ repositories, reason: wanting[0]?.need.reason }, 'a recovery point with the head is made, since what is shipped does not restore everything')
    const outcomes = await this.#outcomes(repositories, signal)
    for (const { watched, need } of wanting) {
      const { name } = watched.target.repository
      const { recoveryPoint, error } = outcomes.get(name) ?? { recoveryPoint: null }
      if (error?.code === 'LOCKED') {
        watched.dueAtMs = clock.monotonicMs() + firstRetryMs
        logger.info({ repository: name, ...error }, 'another backup runs: its recovery point may be the one that is needed')
        continue
      }
      this.#made.set(`${name} ${need.kind}`, { repository: name, reason: need.reason, ok: recoveryPoint !== null, recoveryPoint, ...(error !== undefined && { error }) })
      watched.wanted = undefined
      watched.failures = recoveryPoint === null ? watched.failures + 1 : 0
      const pauseMs = recoveryPoint === null ? Math.min(restMs, firstRetryMs * 2 ** (watched.failures - 1)) : need.kind === 'damage' ? damageRepeatMs : restMs
      watched.dueAtMs = clock.monotonicMs() + pauseMs
      if (recoveryPoint === null) logger.error({ repository: name, ...error, againInMs: pauseMs }, 'the recovery point could not be made; it is tried again')
      else logger.info({ repository: name, recoveryPoint }, 'the recovery point is there: from it on everything that is shipped can be restored')
    }
  }

  /** By repository. Whatever goes wrong is one of them: shipping goes on. */
  async #outcomes(repositories: string[], signal: AbortSignal): Promise<Map<string, Pick<ShippedBackup, 'recoveryPoint' | 'error'>>> {
    try {
      const report = await this.#context.backUp?.({ repositories, signal })
      return new Map(report?.repositories.map(({ name, ok, error }) => [name, { recoveryPoint: ok ? report.recoveryPoint.id : null, ...(error !== undefined && { error }) }]))
    } catch (error) {
      if (signal.aborted) throw error
      return new Map(repositories.map((name) => [name, { recoveryPoint: null, error: described(error) }]))
    }
  }
}

function stateOf({ generation, damagedSinceMs, lateSinceMs }: NonNullable<ClosedTarget['shipper']>): string {
  return `${generation.id} ${damagedSinceMs ?? ''} ${lateSinceMs ?? ''}`
}

function described(error: unknown): NonNullable<ShippedBackup['error']> {
  if (!(error instanceof PromDrError)) return { code: 'INTERNAL', message: messageOf(error) }
  return { code: error.code, message: error.message, ...(error.hint !== undefined && { hint: error.hint }) }
}
