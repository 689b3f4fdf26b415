import type { PrometheusApi } from '../integrations/prometheus/prometheus-api.ts'
import { PromDrError, hasCode, messageOf } from '../errors.ts'
import { readOrCreateFormat } from '../repository/format.ts'
import { claimInstance, readIdentity } from '../repository/identity.ts'
import { type Lease, acquireLease, leaseRenewalMs } from '../repository/lease.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { ProcessIdentity } from '../system/machine.ts'
import { holdSegments, releaseSegments } from '../tsdb/wal-source.ts'
import type { NamedStore } from './backup.ts'
import { chooseRepositories } from './backup.ts'
import { RepositoryShipper } from './repository-shipper.ts'
import type { ShipReport, ShipRequest, ShippedRepository } from './ship-report.ts'

export interface ShipContext {
  instance: string
  prometheus: PrometheusApi
  dataDir?: string | undefined
  repositories: readonly NamedStore[]
  settings: { intervalMs: number; partBytes: number; holdBytes: number }
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
}

/**
 * Ships the WAL to every repository, each at its own pace: new bytes first, then checkpoints and deletions, then a sign of life.
 * Everything that matters is read back from the repository, so that it may be killed at any line. Without `once` it goes on until it is
 * interrupted, through outages of repositories and restarts of the server.
 * @throws INSTANCE_TAKEN, LOCKED, SUPERSEDED when every repository refuses; DATA_DIR_*
 */
export async function ship(context: ShipContext, request: ShipRequest): Promise<ShipReport> {
  const { clock, signal } = context
  const dataDir = context.dataDir ?? (await context.prometheus.dataDirectory({ signal }))
  const targets = chooseRepositories(context.repositories, request.repositories).map((repository): Target => ({ repository, lease: undefined, leaseRenewedAtMs: 0, shipper: undefined, outcome: blank(repository) }))
  try {
    for (;;) {
      const startedMs = clock.monotonicMs()
      await Promise.all(targets.map((target) => pass(context, { target, request, dataDir })))
      await hold(context, targets, dataDir)
      refuseAll(targets)
      if (request.once) return report(context, targets)
      await clock.sleep(Math.max(0, context.settings.intervalMs - (clock.monotonicMs() - startedMs)), signal)
    }
  } catch (error) {
    if (!request.once && signal.aborted) return report(context, targets)
    throw error
  } finally {
    for (const { lease, repository } of targets) {
      await lease?.release().catch((error: unknown) => context.logger.warn({ repository: repository.name, error: messageOf(error) }, 'the lease could not be given back: it runs out by itself'))
    }
  }
}

/** One pass over one repository. What goes wrong there stays there; the next pass tries again from what the repository says. */
async function pass(context: ShipContext, run: { target: Target; request: ShipRequest; dataDir: string }): Promise<void> {
  const { target } = run
  try {
    await keepLease(context, run)
    target.shipper ??= await RepositoryShipper.open(shipperContext(context, run), { newGeneration: run.request.newGeneration })
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

async function keepLease(context: ShipContext, { target, request, dataDir }: { target: Target; request: ShipRequest; dataDir: string }): Promise<void> {
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

function shipperContext(context: ShipContext, { target, dataDir }: { target: Target; dataDir: string }) {
  return {
    store: target.repository.store, instance: context.instance, dataDir, machineId: context.self.machineId, partBytes: context.settings.partBytes,
    now: () => context.clock.now(), logger: context.logger, signal: context.signal,
  }
}

/** While a repository is behind, the segments that it lacks are kept from vanishing; when all have them they are let go. */
async function hold(context: ShipContext, targets: readonly Target[], dataDir: string): Promise<void> {
  const positions = targets.map((target) => target.shipper?.segment)
  const behind = targets.some((target) => !target.outcome.ok)
  const known = positions.filter((segment) => segment !== undefined)
  if (!behind && known.length === targets.length) return releaseSegments(dataDir, 'wal', Math.min(...known))
  const from = Math.min(...targets.map((target) => target.shipper?.segment ?? segmentOf(target.outcome.shippedTo)))
  const lost = await holdSegments(dataDir, 'wal', { from, limitBytes: context.settings.holdBytes })
  if (lost.length > 0) context.logger.error({ segments: lost }, 'segments that were not shipped had to be let go: there will be a gap')
}

function segmentOf(shippedTo: string | null): number {
  return shippedTo === null ? 0 : Number(shippedTo.split(':')[0])
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
