import { PromDrError, hasCode, messageOf } from '../../errors.ts'
import { readFormat } from '../../repository/format.ts'
import { removeHold, writeHold } from '../../repository/holds.ts'
import { isInstanceName, recoveryPointKey } from '../../repository/layout.ts'
import { liveLeases } from '../../repository/lease.ts'
import { listInstances } from '../../repository/recovery-points.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import type { Clock } from '../../system/clock.ts'
import { chooseRepositories } from '../backup/backup-context.ts'
import type { HoldReport, HoldRequest } from './hold-report.ts'
import type { ReadContext } from '../report/list.ts'
import { newestPoint, outOfReach, readSources, requireInstance } from '../repository-sources.ts'

export interface HoldContext extends ReadContext {
  /** As configured: whose latest. */
  instance: string
  clock: Clock
}

/** By then a removal that had looked for holds before this one was written has happened. */
const removalMs = 5_000

/**
 * Keeps a recovery point from expiry, in every repository that has it, or lets it go again. Beside a running `expire` it is looked
 * whether the recovery point outlived that.
 * @throws NO_RECOVERY_POINT when no repository has it, the first repository's error when none can be asked
 */
export async function hold(context: HoldContext, request: HoldRequest): Promise<HoldReport> {
  if (request.instance !== undefined && !isInstanceName(request.instance)) {
    throw new PromDrError('USAGE', `${JSON.stringify(request.instance.slice(0, 100))} is no instance name`, { hint: '"prom-dr list" shows those that there are' })
  }
  const id = request.id === 'latest' ? await newestId(context, request) : request.id
  const wanted = request.id === 'latest' ? { ...request, id, instance: request.instance ?? context.instance } : request
  let instance: string | undefined
  const failures: unknown[] = []
  const repositories: HoldReport['repositories'] = []
  for (const { name, store } of chooseRepositories(context.repositories, request.repositories)) {
    const { url } = store
    try {
      await readFormat(store, context)
      const found = await ownerOf(store, wanted, context.signal)
      if (found === undefined) repositories.push({ name, url, result: 'absent' })
      else {
        instance = found
        repositories.push({ name, url, result: await apply(store, found, { context, request: wanted }) })
      }
    } catch (error) {
      if (!hasCode(error, ...outOfReach, 'NO_RECOVERY_POINT')) throw error
      failures.push(error)
      repositories.push({ name, url, result: 'failed', error: { code: error.code, message: messageOf(error), ...(error.hint !== undefined && { hint: error.hint }) } })
    }
  }
  if (repositories.every(({ result }) => result === 'failed')) throw failures[0]
  if (instance === undefined) throw new PromDrError('NO_RECOVERY_POINT', `there is no recovery point ${id}`, { hint: 'run "prom-dr list" to see the ids' })
  return { id, instance, until: request.hold?.until.toISOString() ?? null, reason: request.hold?.reason ?? null, repositories }
}

/** @throws INSTANCE_NOT_FOUND, NO_RECOVERY_POINT, the first repository's error when none can be asked */
async function newestId(context: HoldContext, request: HoldRequest): Promise<string> {
  const { repositories, signal } = context
  const instance = request.instance ?? context.instance
  const sources = await readSources(repositories, { repositories: request.repositories, instance, signal })
  await requireInstance(sources, instance, signal)
  return newestPoint(sources, (point) => point.instance === instance, 'latest').point.id
}

async function ownerOf(store: ObjectStore, request: HoldRequest, signal: AbortSignal): Promise<string | undefined> {
  const candidates = request.instance === undefined ? await listInstances(store, { signal }) : [request.instance]
  for (const instance of candidates) if ((await store.head(recoveryPointKey(instance, request.id), { signal })) !== undefined) return instance
  return undefined
}

async function apply(store: ObjectStore, instance: string, { context, request }: { context: HoldContext; request: HoldRequest }): Promise<'held' | 'released'> {
  const { signal, clock } = context
  const { id } = request
  if (request.hold === undefined) {
    await removeHold(store, instance, { id, signal })
    return 'released'
  }
  await writeHold(store, instance, { id, ...request.hold, createdAt: clock.now(), signal })
  if ((await liveLeases(store, instance, { verb: 'expire', signal })) > 0) await clock.sleep(removalMs, signal)
  if ((await store.head(recoveryPointKey(instance, id), { signal })) !== undefined) return 'held'
  await removeHold(store, instance, { id, signal })
  throw new PromDrError('NO_RECOVERY_POINT', `recovery point ${id} was expired in ${store.url} before it could be held`, { hint: 'its blocks are there for two more days: see runbooks/expire.md for what can still be done; "prom-dr list" shows what is left' })
}
