import { PromDrError } from '../../errors.ts'
import { chooseRepositories } from '../backup/backup-context.ts'
import { GapCloser } from './gap-closer.ts'
import { type KeeperContext, keepLog, lookAfter } from './log-keeper.ts'
import { LogGrowth } from './log-growth.ts'
import { MetricsWriter } from './metrics-writer.ts'
import { SampleDelay } from './sample-delay.ts'
import { shipMetrics } from './ship-metrics.ts'
import type { ShipReport, ShipRequest } from './ship-report.ts'
import { type Run, type ShipContext, ShipTarget } from './ship-target.ts'

export type { ShipContext } from './ship-target.ts'

/** How long a last look may take, of all repositories at the same time: whoever shuts a host down does not wait long. */
const lastLookMs = 5000

/**
 * Ships the WAL to every repository, each at its own pace: new bytes first, then checkpoints and deletions, then a sign of life.
 * Everything that matters is read back from the repository, so that it may be killed at any line. Without `once` it goes on until it is
 * interrupted, through outages of repositories and restarts of the server; then it sends what was logged since the last pass.
 * @throws INSTANCE_TAKEN, LOCKED, SUPERSEDED when every repository refuses; DATA_DIR_*
 */
export async function ship(context: ShipContext, request: ShipRequest): Promise<ShipReport> {
  const dataDir = context.dataDir ?? (await context.prometheus.dataDirectory({ signal: context.signal }))
  const run: Run = { request, dataDir, growth: { wal: new LogGrowth(), wbl: new LogGrowth() }, delay: new SampleDelay(), lost: { wal: 0, wbl: 0 }, unheld: new Map(), tailSignal: context.signal }
  const targets = chooseRepositories(context.repositories, request.repositories).map((repository) => new ShipTarget(repository))
  const closer = new GapCloser({ ...context, backUp: context.backUp }, targets)
  const startedAtMs = context.clock.now().getTime()
  const metrics = new MetricsWriter(context, () => (isOurs(targets) ? shipMetrics({ report: report(context, run, { targets, closer }), tallies: new Map(targets.map(({ repository, tally }) => [repository.name, tally])), lost: run.lost, startedAtMs }) : undefined))
  try {
    if (request.once) {
      await Promise.all(targets.map(async (target) => {
        await target.pass(context, run)
        metrics.notice()
      }))
      refuseAll(targets)
      await closer.close(context.signal)
    } else await shipUntilInterrupted(context, run, { targets, closer, metrics })
    await lookAfter(keeper(context, run), targets.map((target) => target.follower()), { ending: true })
    return report(context, run, { targets, closer })
  } finally {
    await Promise.all(targets.map((target) => target.release(context)))
    await metrics.close()
  }
}

interface Shared {
  targets: readonly ShipTarget[]
  closer: GapCloser
  metrics: MetricsWriter
}

/** Every repository and the local log for itself, so that none waits for another. The first failure for good ends all of them. */
async function shipUntilInterrupted(context: ShipContext, beginning: Run, { targets, closer, metrics }: Shared): Promise<void> {
  const failed = new AbortController()
  const signal = AbortSignal.any([context.signal, failed.signal])
  const within = { ...context, signal }
  const patience = lastingBeyond(context.signal, context.clock)
  const run = { ...beginning, tailSignal: AbortSignal.any([patience.signal, failed.signal]) }
  const followers = targets.map((target) => target.follower())
  const loops = [...targets.map((target) => passAgainAndAgain(within, run, { target, targets, closer, metrics })), keepLog(keeper(context, run), followers, signal), closer.closeAgainAndAgain(signal), metrics.writeAgainAndAgain(context.settings.intervalMs, signal)]
  const ended = await Promise.allSettled(loops.map(async (loop) => {
    try {
      await loop
    } catch (error) {
      if (!signal.aborted) failed.abort(error)
      throw error
    }
  }))
  patience.end()
  if (context.signal.aborted && !failed.signal.aborted) return
  for (const end of ended) if (end.status === 'rejected') throw failed.signal.aborted ? failed.signal.reason : end.reason
}

/** Until the signal, and then once more the tails alone. */
async function passAgainAndAgain(context: ShipContext, run: Run, { target, targets, closer, metrics }: Shared & { target: ShipTarget }): Promise<void> {
  const { clock, settings, signal } = context
  try {
    for (;;) {
      const startedMs = clock.monotonicMs()
      await target.pass(context, run)
      metrics.notice()
      refuseAll(targets)
      closer.notice()
      await target.wakeUp.wait(Math.max(0, settings.intervalMs - (clock.monotonicMs() - startedMs)), clock, signal)
    }
  } catch (error) {
    if (!signal.aborted || run.tailSignal.aborted) throw error
    await target.lastLook(context, run)
  }
}

/** A signal that fires `lastLookMs` after another. */
function lastingBeyond(signal: AbortSignal, clock: ShipContext['clock']): { signal: AbortSignal; end(): void } {
  const late = new AbortController()
  const over = new AbortController()
  const begin = async () => {
    await clock.sleep(lastLookMs, over.signal)
    late.abort(new PromDrError('INTERRUPTED', `what was logged last could not be sent within ${lastLookMs / 1000} s`, { hint: 'what was committed before is intact; the next "prom-dr ship" goes on from there' }))
  }
  // It rejects only when it is over.
  const onAbort = () => void begin().catch(() => undefined)
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  return {
    signal: late.signal,
    end() {
      over.abort()
      signal.removeEventListener('abort', onAbort)
    },
  }
}

function keeper({ settings, clock, logger }: ShipContext, { dataDir, growth, lost, unheld }: Run): KeeperContext {
  return { dataDir, growth, lost, unheld, clock, logger, ...settings }
}

/** Who ships nothing because another does leaves the file to that one. */
function isOurs(targets: readonly ShipTarget[]): boolean {
  return targets.some(({ tally, outcome }) => tally.passes > 0 && outcome.error?.code !== 'LOCKED')
}

/** A refusal in every repository is for the caller at once: waiting does not change it. */
function refuseAll(targets: readonly ShipTarget[]): void {
  const refusals = ['INSTANCE_TAKEN', 'LOCKED', 'SUPERSEDED', 'REPOSITORY_TOO_NEW']
  const errors = targets.map((target) => target.outcome.error)
  const [first] = errors
  if (first === undefined || !errors.every((error) => error !== undefined && refusals.includes(error.code))) return
  throw new PromDrError(first.code as PromDrError['code'], first.message, first.hint === undefined ? {} : { hint: first.hint })
}

function report(context: ShipContext, { unheld }: Run, { targets, closer }: Pick<Shared, 'targets' | 'closer'>): ShipReport {
  const repositories = targets.map((target) => target.outcome)
  const best = repositories.find((repository) => repository.ok) ?? repositories[0]
  const corruption = targets.flatMap((target) => target.corruption)
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
    unknownRecords: [...new Map(targets.flatMap((target) => target.unknownRecords).map((record) => [record.type, record])).values()],
    backups: closer.made,
    warnings: [...closer.warnings, ...[...unheld].map(([log, reason]) => `segments of the ${log} cannot be held, and are lost if Prometheus removes them before they are shipped: ${reason}`)],
  }
}
