import type { CostLine } from '../../domain/storage-cost.ts'

export interface RepositoryCost {
  name: string
  url: string
  objects: number
  bytes: number
  /** In the report's currency; null where a class of storage has no price. */
  monthly: number | null
  /** Each object is counted once. A tier has what would be saved without it and all longer ones. */
  tiers: CostLine[]
  components: CostLine[]
  instances: CostLine[]
  storageClasses: CostLine[]
}

/** What is stored now, and what a month of it costs: storage alone, without requests, traffic and versions that were replaced. */
export interface CostReport {
  currency: string
  monthly: number | null
  repositories: RepositoryCost[]
  /** Classes of storage without a price. */
  unpriced: string[]
}
