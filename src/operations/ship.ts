import type { PrometheusApi } from '../integrations/prometheus/prometheus-api.ts'
import { PromDrError, hasCode, messageOf } from '../errors.ts'
import { readOrCreateFormat } from '../repository/format.ts'
import { claimInstance, readIdentity } from '../repository/identity.ts'
import { type Lease, acquireLease, leaseRenewalMs } from '../repository/lease.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { ProcessIdentity } from '../system/machine.ts'
import type { WalLog, WalPosition } from '../domain/wal-stream.ts'
import type { NamedStore } from './backup.ts'
import { chooseRepositories } from './backup.ts'
import { type Follower, type KeeperContext, keepLog, lookAfter } from './log-keeper.ts'
import { LogGrowth } from './log-growth.ts'
import { RepositoryShipper, type RepositoryShipperContext } from './repository-shipper.ts'
import type { ShipReport, ShipRequest, ShippedRepository } from './ship-report.ts'
import { WakeUp } from './wake-up.ts'

export interface ShipContext {
  instance: string
  prometheus: PrometheusApi
  dataDir?: string | undefined
  repositories: readonly NamedStore[]
  settings: { intervalMs: number; partBytes: number; holdBytes: number; windowMs: number }
  self: ProcessIdentity
  isDead(other: ProcessIdentity): boolean
  clock: Clock
  logger: Logger
  signal: AbortSignal
}

interface Target {
  repository: NamedStore
  lease: Lease | undefined
  leaseRenewedAtMs: number
  shipper: RepositoryShipper | undefined
  outcome: ShippedRepository
  wakeUp: WakeUp
}

/** What all repositories share. */
interface Run {
  request: ShipRequest
  dataDir: string
  growth: Record<WalLog, LogGrowth>
}

/**
 * Ships the WAL to every repository, each at its own pace: new bytes first, then checkpoints and deletions, then a sign of life.
 * Everything that matters is read back from the repository, so that it may be killed at any line. Without `once` it goes on until it is
 * interrupted, through outages of repositories and restarts of the server.
 * @throws INSTANCE_TAKEN, LOCKED, SUPERSEDED when every repository refuses; DATA_DIR_*
 */
export async function ship(context: ShipContext, request: ShipRequest): Promise<ShipReport> {
  const dataDir = context.dataDir ?? (await context.prometheus.dataDirectory({ signal: context.signal }))
  const run: Run = { request, dataDir, growth: { wal: new LogGrowth(), wbl: new LogGrowth() } }
  const targets = chooseRepositories(context.repositories, request.repositories).map((repository): Target => ({ repository, lease: undefined, leaseRenewedAtMs: 0, shipper: undefined, outcome: blank(repository), wakeUp: new WakeUp() }))
  try {
    if (request.once) {
      await Promise.all(targets.map((target) => pass(context, run, target)))
      refuseAll(targets)
    } else await shipUntilInterrupted(context, run, targets)
    await lookAfter(keeper(context, run), targets.map(follower), { ending: true })
    return report(context, targets)
  } finally {
    for (const { lease, repository } of targets) {
      await lease?.release().catch((error: unknown) => context.logger.warn({ repository: repository.name, error: messageOf(error) }, 'the lease could not be given back: it runs out by itself'))
    }
  }
}

/** Every repository and the local log for itself, so that none waits for another. The first failure for good ends all of them. */
async function shipUntilInterrupted(context: ShipContext, run: Run, targets: readonly Target[]): Promise<void> {
  const failed = new AbortController()
  const signal = AbortSignal.any([context.signal, failed.signal])
  const within = { ...context, signal }
  const followers = targets.map(follower)
  const ended = await Promise.allSettled([...targets.map((target) => passAgainAndAgain(within, run, { target, targets })), keepLog(keeper(context, run), followers, signal)].map(async (loop) => {
    try {
      await loop
    } catch (error) {
      if (!signal.aborted) failed.abort(error)
      throw error
    }
  }))
  if (context.signal.aborted && !failed.signal.aborted) return
  for (const end of ended) if (end.status === 'rejected') throw failed.signal.aborted ? failed.signal.reason : end.reason
}

async function passAgainAndAgain(context: ShipContext, run: Run, { target, targets }: { target: Target; targets: readonly Target[] }): Promise<void> {
  const { clock, settings, signal } = context
  for (;;) {
    const startedMs = clock.monotonicMs()
    await pass(context, run, target)
    refuseAll(targets)
    await target.wakeUp.wait(Math.max(0, settings.intervalMs - (clock.monotonicMs() - startedMs)), clock, signal)
  }
}

function keeper({ settings, clock, logger }: ShipContext, { dataDir, growth }: Run): KeeperContext {
  return { dataDir, growth, clock, logger, ...settings }
}

/** A repository that cannot be reached is where it was last seen to be. */
function follower(target: Target): Follower {
  return {
    position: (log) => target.shipper?.positionIn(log) ?? (log === 'wal' ? positionOf(target.outcome.shippedTo) : undefined),
    wake: () => {
      if (target.outcome.ok) target.wakeUp.ring()
    },
    wokenAt: undefined,
  }
}

/** One pass over one repository. What goes wrong there stays there; the next pass tries again from what the repository says. */
async function pass(context: ShipContext, run: Run, target: Target): Promise<void> {
  try {
    await keepLease(context, run, target)
    target.shipper ??= await RepositoryShipper.open(shipperContext(context, run, target), { newGeneration: run.request.newGeneration })
    const result = await target.shipper.pass()
    const { error: _, ...before } = target.outcome
    target.outcome = { ...before, ...result, ok: true, parts: before.parts + result.parts, bytes: before.bytes + result.bytes, gaps: [...before.gaps, ...result.gaps] }
  } catch (error) {
    if (context.signal.aborted) throw error
    const code = error instanceof PromDrError ? error.code : 'INTERNAL'
    const hint = error instanceof PromDrError ? error.hint : undefined
    target.outcome = { ...target.outcome, ok: false, error: { code, message: messageOf(error), ...(hint !== undefined && { hint }) } }
    if (hasCode(error, 'LEASE_LOST')) target.lease = undefined
    target.shipper = undefined
    context.logger.error({ repository: target.repository.name, code, error: messageOf(error) }, 'shipping failed; it is tried again at the next interval')
  }
}

async function keepLease(context: ShipContext, { request, dataDir }: Run, target: Target): Promise<void> {
  const { instance, self, signal, clock, isDead } = context
  const { store } = target.repository
  const nowMs = clock.monotonicMs()
  if (target.lease === undefined) {
    await readOrCreateFormat(store, clock.now(), { signal })
    await claimInstance(store, instance, { identity: { machineId: self.machineId, hostname: self.hostname, dataDir, externalLabels: (await externalLabels(context)) ?? (await readIdentity(store, instance, { signal }))?.externalLabels ?? {} }, adopt: request.adopt, signal })
    target.lease = await acquireLease({ store, instance, verb: 'ship', holder: self, isDead, signal })
    target.leaseRenewedAtMs = nowMs
  } else if (nowMs - target.leaseRenewedAtMs > leaseRenewalMs) {
    await target.lease.renew()
    target.leaseRenewedAtMs = nowMs
  }
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

function shipperContext(context: ShipContext, { dataDir, growth }: Run, target: Target): RepositoryShipperContext {
  return {
    store: target.repository.store, instance: context.instance, dataDir, machineId: context.self.machineId, partBytes: context.settings.partBytes,
    windowMs: context.settings.windowMs, growth,
    now: () => context.clock.now(), logger: context.logger, signal: context.signal,
  }
}

function positionOf(shippedTo: string | null): WalPosition | undefined {
  const [segment, offset] = (shippedTo ?? '').split(':').map(Number)
  return segment === undefined || offset === undefined ? undefined : { segment, offset }
}

/** A refusal in every repository is for the caller at once: waiting does not change it. */
function refuseAll(targets: readonly Target[]): void {
  const refusals = ['INSTANCE_TAKEN', 'LOCKED', 'SUPERSEDED', 'REPOSITORY_TOO_NEW']
  const errors = targets.map((target) => target.outcome.error)
  const [first] = errors
  if (first === undefined || !errors.every((error) => error !== undefined && refusals.includes(error.code))) return
  throw new PromDrError(first.code as PromDrError['code'], first.message, first.hint === undefined ? {} : { hint: first.hint })
}

function blank({ name, store }: NamedStore): ShippedRepository {
  return { name, url: store.url, ok: false, generation: null, shippedTo: null, newestSample: null, lagSeconds: null, parts: 0, bytes: 0, gaps: [] }
}

function report(context: ShipContext, targets: readonly Target[]): ShipReport {
  const repositories = targets.map((target) => target.outcome)
  const best = repositories.find((repository) => repository.ok) ?? repositories[0]
  const corruption = targets.flatMap((target) => target.shipper?.corruption ?? [])
  return {
    instance: context.instance,
    shippedTo: best?.shippedTo ?? null,
    newestSample: best?.newestSample ?? null,
    lagSeconds: best?.lagSeconds ?? null,
    generation: best?.generation ?? null,
    parts: best?.parts ?? 0,
    bytes: best?.bytes ?? 0,
    repositories,
    corruption: [...new Map(corruption.map((damage) => [damage.message, damage])).values()],
  }
}
