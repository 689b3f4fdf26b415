import { type Tier, tiers } from './tiers.ts'

/** How what a tier keeps is stored. */
export interface TierStorage {
  /** As S3 names it: `STANDARD_IA`, `GLACIER_IR`… */
  storageClass?: string
  /** Nobody may remove it for so long after it was made: `GOVERNANCE` but those with a right of their own, `COMPLIANCE` not even they. */
  lock?: { mode: LockMode; days: number }
}

export const lockModes = ['GOVERNANCE', 'COMPLIANCE'] as const
export type LockMode = (typeof lockModes)[number]

export type TierStorages = Partial<Record<Tier, TierStorage>>

/** Warmest first. Those that are asked for hours before they can be read are not among them: a restore cannot wait for them. */
export const storageClasses = ['STANDARD', 'INTELLIGENT_TIERING', 'STANDARD_IA', 'ONEZONE_IA', 'GLACIER_IR'] as const
export const unreadableClasses = ['GLACIER', 'DEEP_ARCHIVE'] as const

/** The class of a tier: its own, or that of the next shorter tier that has one. Undefined: as the store has it. */
export function classOf(tier: Tier, storages: TierStorages): string | undefined {
  for (let at = tiers.indexOf(tier); at >= 0; at -= 1) {
    const own = storages[tiers[at] as Tier]?.storageClass
    if (own !== undefined) return own
  }
  return undefined
}

/** The longest lock of the tiers that a recovery point stands for; the stricter of two as long. */
export function lockOf(of: readonly Tier[], storages: TierStorages): { mode: LockMode; days: number } | undefined {
  const locks = of.flatMap((tier) => storages[tier]?.lock ?? [])
  return locks.sort((a, b) => b.days - a.days || (a.mode === 'COMPLIANCE' ? -1 : 1))[0]
}

/**
 * What keeps a recovery point. The shortest of these decides where it is stored: what is among the last ones or stands for an hour that
 * is kept is wanted first after a disaster.
 */
export type Keeper = 'last' | 'newest' | 'hold' | Tier

/** The class that something is moved to which these keep alive; undefined: it stays where it is. */
export function classKeptIn(keepers: Iterable<Keeper>, storages: TierStorages): string | undefined {
  const all = new Set(keepers)
  if (all.has('last') || all.has('newest')) return classOf('hourly', storages)
  const shortest = tiers.find((tier) => all.has(tier))
  return shortest === undefined ? undefined : classOf(shortest, storages)
}

/** Whether something in one class is to be copied to the other: only ever to a colder one, since warming it up would cost what cooling saved. */
export function isColder(storageClass: string, than: string): boolean {
  const rank = (name: string) => (storageClasses as readonly string[]).indexOf(name)
  return rank(storageClass) > rank(than)
}
