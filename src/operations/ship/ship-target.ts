import { type WalLog, type WalPosition, formatPosition } from '../../domain/wal-stream.ts'
import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import type { MetricsFile } from '../../integrations/node-exporter/metrics-file.ts'
import type { PrometheusApi } from '../../integrations/prometheus/prometheus-api.ts'
import { readOrCreateFormat } from '../../repository/format.ts'
import { claimInstance, readIdentity } from '../../repository/identity.ts'
import { type Lease, acquireLease, leaseRenewalMs } from '../../repository/lease.ts'
import type { Clock } from '../../system/clock.ts'
import type { CpuLimit } from '../../system/cpu-limit.ts'
import type { Logger } from '../../system/logger.ts'
import type { ProcessIdentity } from '../../system/machine.ts'
import type { BackupContext, NamedStore } from '../backup/backup-context.ts'
import type { BackUp } from './gap-closer.ts'
import type { Follower } from './log-keeper.ts'
import type { LogGrowth } from './log-growth.ts'
import type { RepositoryTally } from './ship-metrics.ts'
import { RepositoryShipper, type RepositoryShipperContext } from './repository-shipper.ts'
import type { ShipRequest, ShippedGap, ShippedRepository, SourceDamage, UnknownRecordType } from './ship-report.ts'
import type { SampleDelay } from './sample-delay.ts'
import { shipSource } from './ship-source.ts'
import { checkpointDamageOf } from './source-damage.ts'
import { WakeUp } from './wake-up.ts'

export interface ShipContext {
  instance: string
  prometheus: PrometheusApi
  dataDir?: string | undefined
  repositories: readonly NamedStore[]
  settings: { intervalMs: number; partBytes: number; holdBytes: number; windowMs: number }
  self: ProcessIdentity
  isDead(other: ProcessIdentity): boolean
  /** Of a user and a group; default: nobody knows them. */
  ownerNames?: BackupContext['ownerNames'] | undefined
  /** Undefined where recovery points are the operator's alone. */
  backUp?: BackUp | undefined
  /** Of this process, over all repositories. */
  cpuLimit: CpuLimit
  /** Undefined where nobody wants metrics. */
  metricsFile?: MetricsFile | undefined
  clock: Clock
  logger: Logger
  signal: AbortSignal
}

/** What all repositories share. */
export interface Run {
  request: ShipRequest
  dataDir: string
  growth: Record<WalLog, LogGrowth>
  delay: SampleDelay
  /** Segments that were let go before they were shipped. */
  lost: Record<WalLog, number>
  /** See `KeeperContext`. */
  unheld: Map<WalLog, string>
  /** Ends what sends the tails: later than `ShipContext.signal`, where a last look follows an interrupt. */
  tailSignal: AbortSignal
}

/** One repository that is shipped to, at its own pace. What goes wrong there stays there. */
export class ShipTarget {
  readonly repository: NamedStore
  readonly wakeUp = new WakeUp()
  outcome: ShippedRepository
  readonly tally: RepositoryTally = { passes: 0, failures: new Map(), lastSuccessAtMs: undefined, lastGapFoundAtMs: undefined, sourceDamaged: false }
  /** By message: what was found stays known when the repository fails and everything is read back. */
  readonly #corruption = new Map<string, SourceDamage>()
  readonly #unknownRecords = new Map<number, UnknownRecordType>()
  shipper: RepositoryShipper | undefined
  #lease: Lease | undefined
  #leaseRenewedAtMs = 0
  /** Of the WAL, when it could last be seen. */
  #firstNeeded: number | undefined

  constructor(repository: NamedStore) {
    this.repository = repository
    this.outcome = { name: repository.name, url: repository.store.url, ok: false, generation: null, shippedTo: null, newestSample: null, lagSeconds: null, parts: 0, bytes: 0, gaps: [] }
  }

  /** In Prometheus's own log, found in this run. */
  get corruption(): SourceDamage[] {
    return [...this.#corruption.values()]
  }

  /** The first of each type in this run. */
  get unknownRecords(): UnknownRecordType[] {
    return [...this.#unknownRecords.values()]
  }

  /** As the keeper of the local log sees it. A repository that cannot be reached is where it was last seen to be. */
  follower(): Follower {
    return {
      position: (log) => this.shipper?.positionIn(log) ?? (log === 'wal' ? positionOf(this.outcome.shippedTo) : undefined),
      firstNeeded: (log) => {
        const needed = this.shipper?.firstNeededIn(log)
        if (log === 'wbl') return needed
        return (this.#firstNeeded = needed ?? this.#firstNeeded)
      },
      wake: () => {
        if (this.outcome.ok) this.wakeUp.ring()
      },
      wokenAt: undefined,
    }
  }

  /** One pass. What goes wrong is in `outcome`; the next pass tries again from what the repository says. @throws when it is interrupted */
  async pass(context: ShipContext, run: Run): Promise<void> {
    try {
      const shipper = await this.#open(context, run)
      this.#take(context, await shipper.pass())
    } catch (error) {
      if (context.signal.aborted) throw error
      this.#noteDamage(checkpointDamageOf(error, run.dataDir))
      this.#fail(context, error, 'shipping failed; it is tried again at the next interval')
    }
  }

  /** The tails once more after an interrupt: what was logged since the last pass. */
  async lastLook(context: ShipContext, run: Run): Promise<void> {
    const within = { ...context, signal: run.tailSignal }
    try {
      const shipper = await this.#open(within, run)
      this.#take(within, await shipper.lastLook())
    } catch (error) {
      this.#fail(within, run.tailSignal.aborted ? run.tailSignal.reason : error, 'what was logged last is not shipped')
    }
  }

  async release({ logger }: Pick<ShipContext, 'logger'>): Promise<void> {
    await this.#lease?.release().catch((error: unknown) => logger.warn({ repository: this.repository.name, error: messageOf(error) }, 'the lease could not be given back: it runs out by itself'))
  }

  async #open(context: ShipContext, run: Run): Promise<RepositoryShipper> {
    await this.#keepLease(context, run)
    return (this.shipper ??= await RepositoryShipper.open(this.#shipperContext(context, run), { newGeneration: run.request.newGeneration }))
  }

  #take({ clock }: ShipContext, result: Awaited<ReturnType<RepositoryShipper['pass']>>): void {
    const { error: _, ...before } = this.outcome
    const { tally } = this
    tally.passes += 1
    tally.lastSuccessAtMs = clock.now().getTime()
    tally.sourceDamaged = false
    this.#note()
    this.outcome = { ...before, ...result, ok: true, parts: before.parts + result.parts, bytes: before.bytes + result.bytes }
  }

  #fail({ logger }: ShipContext, error: unknown, message: string): void {
    const code = error instanceof PromDrError ? error.code : 'INTERNAL'
    const hint = error instanceof PromDrError ? error.hint : undefined
    // What a pass stored before it failed is stored.
    const reached = this.shipper && { generation: this.shipper.generation.id, shippedTo: formatPosition(this.shipper.positionIn('wal')) }
    this.outcome = { ...this.outcome, ...reached, ok: false, error: { code, message: messageOf(error), ...(hint !== undefined && { hint }) } }
    this.tally.passes += 1
    this.tally.failures.set(code, (this.tally.failures.get(code) ?? 0) + 1)
    this.#note()
    if (hasCode(error, 'LEASE_LOST')) this.#lease = undefined
    this.shipper = undefined
    logger.error({ repository: this.repository.name, code, error: messageOf(error) }, message)
  }

  /** Keeps what the shipper found. That it found no damage says nothing where it failed. */
  #note(): void {
    if (this.shipper === undefined) return
    for (const damage of this.shipper.corruption) this.#corruption.set(damage.message, damage)
    if (this.shipper.damagedSinceMs !== undefined) this.tally.sourceDamaged = true
    for (const record of this.shipper.unknownRecords) this.#unknownRecords.set(record.type, record)
  }

  #noteDamage(damage: SourceDamage | undefined): void {
    if (damage === undefined) return
    this.#corruption.set(damage.message, damage)
    this.tally.sourceDamaged = true
  }

  async #keepLease(context: ShipContext, { request, dataDir }: Run): Promise<void> {
    const { instance, self, signal, clock, isDead } = context
    const { store } = this.repository
    const nowMs = clock.monotonicMs()
    if (this.#lease === undefined) {
      await readOrCreateFormat(store, clock.now(), { signal })
      await claimInstance(store, instance, { identity: { machineId: self.machineId, hostname: self.hostname, dataDir, externalLabels: (await externalLabels(context)) ?? (await readIdentity(store, instance, { signal }))?.externalLabels ?? {} }, adopt: request.adopt, signal })
      this.#lease = await acquireLease({ store, instance, verb: 'ship', holder: self, isDead, signal })
      this.#leaseRenewedAtMs = nowMs
    } else if (nowMs - this.#leaseRenewedAtMs > leaseRenewalMs) {
      await this.#lease.renew()
      this.#leaseRenewedAtMs = nowMs
    }
  }

  #shipperContext(context: ShipContext, { dataDir, growth, delay, tailSignal }: Run): RepositoryShipperContext {
    const { instance, self, settings, cpuLimit, clock, logger, signal } = context
    const { partBytes, windowMs } = settings
    const onGap = (gap: ShippedGap) => {
      this.outcome = { ...this.outcome, gaps: [...this.outcome.gaps, gap] }
      this.tally.lastGapFoundAtMs = clock.now().getTime()
    }
    return { store: this.repository.store, instance, dataDir, machineId: self.machineId, source: () => shipSource(context, dataDir), longestDelayMs: () => delay.longestMs(context), partBytes, windowMs, growth, onGap, now: () => clock.now(), rest: () => restUnless(signal, cpuLimit), logger, signal, tailSignal }
  }
}

/** Whoever was interrupted has no time to rest. */
async function restUnless(signal: AbortSignal, cpuLimit: CpuLimit): Promise<void> {
  if (signal.aborted) return
  await cpuLimit.rest(signal).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
}

/** A log can be shipped while its server is down: its labels are then those that are known already. */
async function externalLabels(context: ShipContext): Promise<Record<string, string> | undefined> {
  try {
    return (await context.prometheus.config({ signal: context.signal })).externalLabels
  } catch (error) {
    if (!hasCode(error, 'PROMETHEUS_UNREACHABLE', 'PROMETHEUS_NOT_READY')) throw error
    return undefined
  }
}

function positionOf(shippedTo: string | null): WalPosition | undefined {
  const [segment, offset] = (shippedTo ?? '').split(':').map(Number)
  return segment === undefined || offset === undefined ? undefined : { segment, offset }
}
