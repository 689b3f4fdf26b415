import { holdsTsdb } from '../domain/recovery-point.ts'
import { type ErrorCode, PromDrError, hasCode, messageOf } from '../errors.ts'
import { type Hold, isInForce } from '../domain/retention.ts'
import { readFormat } from '../repository/format.ts'
import { readHolds } from '../repository/holds.ts'
import { formatKey, isInstanceName, recoveryPointKey } from '../repository/layout.ts'
import { listInstances, readRecoveryPoints } from '../repository/recovery-points.ts'
import type { StoredRecoveryPoint } from '../repository/recovery-point-schema.ts'
import { type NamedStore, chooseRepositories } from './backup/backup.ts'

export interface SourceInstance {
  name: string
  /** Oldest first. */
  points: StoredRecoveryPoint[]
  /** Those in force, by recovery point. */
  holds: Map<string, Hold>
  damaged: { key: string; reason: string }[]
}

/** What was read of one configured repository. */
export interface RepositorySource extends NamedStore {
  instances: SourceInstance[]
  /** `prom-dr.json` where it is damaged or missing, and was done without. */
  damaged: { key: string; reason: string }[]
}

export interface Sources {
  repositories: RepositorySource[]
  unreachable: UnreadRepository[]
}

/** A configured repository that could not be read, and why. */
export interface UnreadRepository {
  repository: string
  url: string
  code: ErrorCode
  message: string
  /** The damaged object, where it is damage that stands in the way. */
  key?: string
}

/** A repository that fails like this does not stop the others. */
export const outOfReach = ['STORE_UNREACHABLE', 'STORE_DENIED', 'STORE_BAD_RESPONSE', 'STORE_REJECTED', 'REPOSITORY_NOT_FOUND', 'OBJECT_NOT_FOUND', 'REPOSITORY_TOO_NEW', 'DAMAGED'] as const

/**
 * Reads the manifests of the chosen repositories, of one instance or of all. Where nothing else is left, a repository is read
 * without its `prom-dr.json`: it names the format, as every manifest does, and one flipped bit must not cost all history.
 * @throws the first repository's error when none can be read, USAGE for a name that no instance can have
 */
export async function readSources(configured: readonly NamedStore[], request: { repositories: readonly string[]; instance?: string | undefined; signal?: AbortSignal | undefined }): Promise<Sources> {
  if (request.instance !== undefined && !isInstanceName(request.instance)) {
    throw new PromDrError('USAGE', `${JSON.stringify(request.instance.slice(0, 100))} is no instance name`, { hint: 'letters, digits, ".", "_" and "-", at most 63; "prom-dr list" shows those that there are' })
  }
  const sources: Sources = { repositories: [], unreachable: [] }
  const failures: unknown[] = []
  const chosen = chooseRepositories(configured, request.repositories)
  const read = await Promise.all(chosen.map(async ({ name, store }) => {
    try {
      await readFormat(store, request)
      return await readInstances({ name, store }, request)
    } catch (error) {
      if (!hasCode(error, ...outOfReach)) throw error
      failures.push(error)
      const key = error.details?.['key']
      sources.unreachable.push({ repository: name, url: store.url, code: error.code, message: messageOf(error), ...(typeof key === 'string' && { key }) })
      return undefined
    }
  }))
  sources.repositories = read.filter((repository) => repository !== undefined)
  if (sources.repositories.length > 0) return sources
  const headless = chosen.filter(({ name }) => sources.unreachable.some(({ repository, code, key }) => repository === name && code === 'DAMAGED' && key === formatKey))
  if (headless.length === 0) throw failures[0]
  for (const { name, store } of headless) {
    const [lost] = sources.unreachable.splice(sources.unreachable.findIndex(({ repository }) => repository === name), 1)
    sources.repositories.push({ ...(await readInstances({ name, store }, request)), damaged: [{ key: formatKey, reason: lost?.message ?? '' }] })
  }
  return sources
}

async function readInstances({ name, store }: NamedStore, request: { instance?: string | undefined; signal?: AbortSignal | undefined }): Promise<RepositorySource> {
  const names = request.instance === undefined ? await listInstances(store, request) : [request.instance]
  const instances = await Promise.all(names.map(async (instance) => ({ name: instance, ...(await readRecoveryPoints(store, instance, request)), holds: await holdsInForce(store, instance, request) })))
  return { name, store, instances, damaged: [] }
}

async function holdsInForce(store: NamedStore['store'], instance: string, request: { signal?: AbortSignal | undefined }): Promise<Map<string, Hold>> {
  const holds = await readHolds(store, instance, request)
  if (holds.size === 0) return holds
  const nowMs = (await store.now(request.signal === undefined ? {} : { signal: request.signal })).getTime()
  return new Map([...holds].filter(([, hold]) => isInForce(hold, nowMs)))
}

/** Everything of a repository that could not be read, of all instances. */
export function damageOf(source: RepositorySource): { repository: string; key: string; reason: string }[] {
  return [...source.damaged, ...source.instances.flatMap((instance) => instance.damaged)].map(({ key, reason }) => ({ repository: source.name, key, reason }))
}

/**
 * The instance to work on: the one asked for, or the configured one; a repository that has others but not this one is
 * a wrong name or prefix, never an empty history.
 * @throws INSTANCE_NOT_FOUND naming those that are there
 */
export async function requireInstance(sources: Sources, instance: string, signal?: AbortSignal): Promise<void> {
  const held = (source: RepositorySource) => source.instances.some(({ name, points, damaged }) => name === instance && points.length + damaged.length > 0)
  if (sources.repositories.some(held)) return
  const listed = await Promise.all(sources.repositories.map(({ store }) => listInstances(store, { signal })))
  const others = [...new Set(listed.flat())].filter((name) => name !== instance).sort()
  throw new PromDrError('INSTANCE_NOT_FOUND', `no recovery point of instance ${instance} is in ${sources.repositories.map(({ store }) => store.url).join(', ')}`, {
    hint: others.length === 0 ? 'run "prom-dr backup" on the server first (a shipped WAL is restored alone only where it has all that its server ever logged), or check the repository\'s url' : `it has: ${others.join(', ')}; choose with --instance`,
    details: { others },
  })
}

/**
 * One that only ships has no recovery point, and is there all the same; what is out of reach may have any.
 * @throws INSTANCE_NOT_FOUND
 */
export async function requireListed(sources: Sources, instance: string, signal: AbortSignal): Promise<void> {
  if (sources.unreachable.length > 0) return
  const listed = await Promise.all(sources.repositories.map(({ store }) => listInstances(store, { signal })))
  if (!listed.flat().includes(instance)) await requireInstance(sources, instance, signal)
}

/** What keeps a recovery point from expiry, in any of the repositories: the hold that ends last. `until` is null for one that cannot be read. */
export function holdOn(sources: Pick<Sources, 'repositories'>, point: { instance: string; id: string }): { until: string | null; reason: string } | null {
  const holds = sources.repositories.flatMap(({ instances }) => instances.flatMap(({ name, holds: of }) => (name === point.instance ? (of.get(point.id) ?? []) : [])))
  const [last] = holds.sort((a, b) => (b.until ?? Number.MAX_VALUE) - (a.until ?? Number.MAX_VALUE))
  return last === undefined ? null : { until: last.until === null ? null : new Date(last.until).toISOString(), reason: last.reason }
}

/** The newest that fits, in the first repository that has it. @throws DAMAGED where the one asked for is there and cannot be read, NO_RECOVERY_POINT */
export function newestPoint(sources: Sources, fits: (point: StoredRecoveryPoint) => boolean, asked: string): { point: StoredRecoveryPoint; repository: string } {
  let found: { point: StoredRecoveryPoint; repository: string } | undefined
  for (const source of sources.repositories) {
    for (const point of source.instances.flatMap((instance) => allPointsOf(source, instance.name))) {
      if (fits(point) && (found === undefined || point.createdAt > found.point.createdAt)) found = { point, repository: source.name }
    }
  }
  if (found !== undefined) return found
  for (const { store, instances } of sources.repositories) {
    const lost = instances.flatMap(({ name, damaged }) => damaged.filter(({ key }) => key === recoveryPointKey(name, asked)))[0]
    if (lost !== undefined) throw new PromDrError('DAMAGED', `recovery point ${asked} in ${store.url} cannot be read: ${lost.reason}`, { hint: 'bring the object back from a replica or another repository (runbooks/repository-damage.md); "prom-dr verify" shows what else is damaged', details: { key: lost.key } })
  }
  throw new PromDrError('NO_RECOVERY_POINT', `there is no recovery point ${asked}`, { hint: 'run "prom-dr list" to see the ids' })
}

/** Recovery points that a TSDB can be restored from. */
export function pointsOf(source: RepositorySource, instance: string): StoredRecoveryPoint[] {
  return allPointsOf(source, instance).filter(holdsTsdb)
}

/** With those of components alone, oldest first. */
export function allPointsOf(source: RepositorySource, instance: string): StoredRecoveryPoint[] {
  return source.instances.find(({ name }) => name === instance)?.points ?? []
}
