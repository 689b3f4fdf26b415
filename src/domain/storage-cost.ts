import type { Keeper } from './tier-storage.ts'
import { tiers } from './tiers.ts'

/** What a gibibyte costs a month, by class of storage. */
export interface Prices {
  currency: string
  perGibMonth: Readonly<Record<string, number>>
}

/** What AWS asks in us-east-1, without requests and traffic; what lies in a directory has been paid for. */
export const defaultPrices: Prices = {
  currency: 'USD',
  perGibMonth: { FILE: 0, STANDARD: 0.023, INTELLIGENT_TIERING: 0.023, STANDARD_IA: 0.0125, ONEZONE_IA: 0.01, GLACIER_IR: 0.004, GLACIER: 0.0036, DEEP_ARCHIVE: 0.00099 },
}

/**
 * What an object is stored for: the shortest tier that keeps a recovery point which names it, so that what a tier has is what would be
 * saved without it and all longer ones. `expiring`: no rule keeps any of them; `unnamed`: there is none; `log` and `records` are named by none.
 */
export type StoredFor = 'last' | (typeof tiers)[number] | 'hold' | 'expiring' | 'unnamed' | 'log' | 'records'

export const storedForOrder: readonly StoredFor[] = ['last', ...tiers, 'hold', 'expiring', 'unnamed', 'log', 'records']

export function storedFor(keepers: ReadonlySet<Keeper>): StoredFor {
  if (keepers.has('last') || keepers.has('newest')) return 'last'
  return tiers.find((tier) => keepers.has(tier)) ?? (keepers.has('hold') ? 'hold' : 'expiring')
}

/** Objects that are alike in everything that is told apart. */
export interface StorageShare {
  tier: StoredFor
  /** `tsdb` (blocks, heads, deletions), `wal`, `records`, or the name of a component. */
  component: string
  /** Null for blocks that no recovery point names, and for what belongs to the repository. */
  instance: string | null
  storageClass: string
  objects: number
  bytes: number
}

export interface CostLine {
  name: string
  objects: number
  bytes: number
  /** Null where a class has no price. */
  monthly: number | null
}

const gibibyte = 2 ** 30

export function monthlyCost(shares: readonly Pick<StorageShare, 'storageClass' | 'bytes'>[], prices: Prices): number | null {
  let sum = 0
  for (const { storageClass, bytes } of shares) {
    const price = prices.perGibMonth[storageClass]
    if (price === undefined) return null
    sum += (bytes / gibibyte) * price
  }
  return sum
}

/** One line for each value of a field, in the given order or by size. */
export function costLines(shares: readonly StorageShare[], field: 'tier' | 'component' | 'instance' | 'storageClass', options: { prices: Prices; order?: readonly string[] }): CostLine[] {
  const groups = new Map<string, StorageShare[]>()
  for (const share of shares) {
    const name = share[field] ?? '(none)'
    groups.set(name, [...(groups.get(name) ?? []), share])
  }
  const lines = [...groups].map(([name, group]) => ({ name, objects: sumOf(group, 'objects'), bytes: sumOf(group, 'bytes'), monthly: monthlyCost(group, options.prices) }))
  const { order } = options
  return lines.sort((a, b) => (order === undefined ? b.bytes - a.bytes : order.indexOf(a.name) - order.indexOf(b.name)) || (a.name < b.name ? -1 : 1))
}

function sumOf(shares: readonly StorageShare[], field: 'objects' | 'bytes'): number {
  return shares.reduce((sum, share) => sum + share[field], 0)
}
