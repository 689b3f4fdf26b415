import { type Prices, type StorageShare, type StoredFor, costLines, monthlyCost, storedFor, storedForOrder } from '../../domain/storage-cost.ts'
import { type Retention, planRetention } from '../../domain/retention.ts'
import type { Keeper } from '../../domain/tier-storage.ts'
import { blocksPrefix, instancesPrefix, isMarkKey } from '../../repository/layout.ts'
import { type NamedPoint, namesOf } from '../../repository/named-objects.ts'
import type { ObjectStore, ObjectTiering } from '../../stores/object-store.ts'
import type { NamedStore } from '../backup/backup-context.ts'
import type { CostReport, RepositoryCost } from './cost-report.ts'
import type { RepositorySource } from '../repository-sources.ts'

export interface CostContext {
  /** In the order of the configuration. */
  retentions: ReadonlyMap<string, Retention>
  tierings: ReadonlyMap<string, ObjectTiering>
  timezone: string
  prices: Prices
  signal: AbortSignal
}

/** What is stored in each repository, of all instances: by a listing of everything, once. */
export async function costs(sources: readonly RepositorySource[], context: CostContext): Promise<CostReport> {
  const { prices } = context
  const measured = await Promise.all(sources.map(async (source) => ({ source, shares: await sharesOf(source, context) })))
  const all = measured.flatMap(({ shares }) => shares)
  return {
    currency: prices.currency,
    monthly: monthlyCost(all, prices),
    repositories: measured.map(({ source, shares }) => describe(source, shares, prices)),
    unpriced: [...new Set(all.map(({ storageClass }) => storageClass))].filter((name) => prices.perGibMonth[name] === undefined).sort(),
  }
}

function describe({ name, store }: NamedStore, shares: readonly StorageShare[], prices: Prices): RepositoryCost {
  const [total] = costLines(shares.map((share) => ({ ...share, tier: 'records' as const })), 'tier', { prices })
  return {
    name, url: store.url, objects: total?.objects ?? 0, bytes: total?.bytes ?? 0, monthly: monthlyCost(shares, prices),
    tiers: costLines(shares, 'tier', { prices, order: storedForOrder }),
    components: costLines(shares, 'component', { prices }),
    instances: costLines(shares, 'instance', { prices }),
    storageClasses: costLines(shares, 'storageClass', { prices }),
  }
}

interface Owner {
  instance: string
  keepers: Set<Keeper>
}

async function sharesOf(source: RepositorySource, context: CostContext): Promise<StorageShare[]> {
  const owners = await ownersOf(source, context)
  const shares = new Map<string, StorageShare>()
  for await (const { key, sizeBytes, storageClass } of objectsOf(source.store, context.tierings.get(source.name), context.signal)) {
    const of = placeOf(key, owners)
    const id = JSON.stringify([of, storageClass])
    const share = shares.get(id) ?? { ...of, storageClass, objects: 0, bytes: 0 }
    share.objects += 1
    share.bytes += sizeBytes
    shares.set(id, share)
  }
  return [...shares.values()]
}

/** What names each prefix and key: whose it is, and by which rules it is kept. */
async function ownersOf({ name, store, instances }: RepositorySource, { retentions, timezone, signal }: CostContext): Promise<Map<string, Owner>> {
  const owners = new Map<string, Owner>()
  const retention = retentions.get(name)
  if (retention === undefined) return owners
  const nowMs = (await store.now({ signal })).getTime()
  for (const instance of instances) {
    const points = instance.points.map(namesOf)
    for (const tsdb of [true, false]) {
      const decisions = new Map(planRetention(points.filter((point) => point.tsdb === tsdb), { retention, holds: instance.holds, nowMs, timezone }).map((decision) => [decision.id, decision]))
      for (const point of points) if (point.tsdb === tsdb) claim(owners, point, decisions.get(point.id)?.keepers ?? [])
    }
  }
  return owners
}

function claim(owners: Map<string, Owner>, { instance, names }: NamedPoint, keepers: readonly Keeper[]): void {
  for (const name of names) {
    const owner = owners.get(name) ?? { instance, keepers: new Set<Keeper>() }
    owners.set(name, owner)
    for (const keeper of keepers) owner.keepers.add(keeper)
  }
}

async function* objectsOf(store: ObjectStore, tiering: ObjectTiering | undefined, signal: AbortSignal): AsyncGenerator<{ key: string; sizeBytes: number; storageClass: string }, void, undefined> {
  if (tiering !== undefined) yield* tiering.listClasses('', { signal })
  else for await (const { key, sizeBytes } of store.list('', { signal })) yield { key, sizeBytes, storageClass: 'FILE' }
}

function placeOf(key: string, owners: ReadonlyMap<string, Owner>): Pick<StorageShare, 'tier' | 'component' | 'instance'> {
  if (key.startsWith(blocksPrefix)) {
    const owner = owners.get(key.split('/', 2).concat('').join('/'))
    return { tier: tierOf(owner), component: 'tsdb', instance: owner?.instance ?? null }
  }
  const [folder = '', instance = '', kind = '', first = '', second = '', third = ''] = key.split('/')
  if (`${folder}/` !== instancesPrefix) return { tier: 'records', component: 'records', instance: null }
  const base = `${folder}/${instance}/${kind}/`
  if (kind === 'wal') return { tier: 'log', component: 'wal', instance }
  if (kind === 'heads') return { tier: tierOf(owners.get(`${base}${first}/`)), component: 'tsdb', instance }
  // Data may be stored sealed, under the same name with `.age`.
  if (kind === 'tombstones') return { tier: tierOf(owners.get(key.replace(/\.age$/, ''))), component: 'tsdb', instance }
  if (kind !== 'archives' || isMarkKey(key)) return { tier: 'records', component: 'records', instance }
  return { tier: tierOf(owners.get(second === 'external' ? `${base}${first}/external/${third}/` : key)), component: first, instance }
}

function tierOf(owner: Owner | undefined): StoredFor {
  return owner === undefined ? 'unnamed' : storedFor(owner.keepers)
}
