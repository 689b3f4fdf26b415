import { PromDrError } from '../errors.ts'

/** Which part of the data is read by a verification. */
export type ReadSubset =
  /** The n-th of t groups, 1-based. */
  | { kind: 'group'; group: number; groups: number }
  /** About this share, in per cent; runs take turns, so that together they read everything. */
  | { kind: 'percent'; percent: number }

/** `n/t` or `x%`. @throws USAGE */
export function parseReadSubset(text: string): ReadSubset {
  const group = /^(\d{1,4})\/(\d{1,4})$/.exec(text)
  if (group !== null) {
    const [n, t] = [Number(group[1]), Number(group[2])]
    if (n >= 1 && n <= t) return { kind: 'group', group: n, groups: t }
  }
  const percent = /^(\d{1,3}(?:\.\d+)?)%$/.exec(text)
  if (percent !== null && Number(percent[1]) > 0 && Number(percent[1]) <= 100) return { kind: 'percent', percent: Number(percent[1]) }
  throw new PromDrError('USAGE', `${JSON.stringify(text)} is no part of the data`, { hint: 'write n/t with 1 ≤ n ≤ t (2/7: the second seventh), or x% with 0 < x ≤ 100 (10%: another tenth at each run)' })
}

/** What an earlier verification read. */
export interface EarlierRead {
  finishedAt: string
  readData: boolean
  group: number
  groups: number
}

/**
 * The group to read now. A percentage means as many equal groups as it takes, and the one that was read longest ago (or
 * never) has its turn: scheduled runs cover everything in turn. `earlier` in any order.
 */
export function chooseGroup(subset: ReadSubset, earlier: readonly EarlierRead[]): { group: number; groups: number } {
  if (subset.kind === 'group') return { group: subset.group, groups: subset.groups }
  const groups = Math.ceil(100 / subset.percent)
  let chosen = { group: 1, at: '~' }
  for (let group = 1; group <= groups; group += 1) {
    const reads = earlier.filter((read) => read.readData && ((read.groups === groups && read.group === group) || read.groups === 1))
    const at = reads.map((read) => read.finishedAt).sort().at(-1) ?? ''
    if (at < chosen.at) chosen = { group, at }
  }
  return { group: chosen.group, groups }
}

/** The group, 1-based, of an object whose name ends in random characters (a ULID, a digest): the same in every run. */
export function groupOf(name: string, groups: number): number {
  let hash = 0
  for (const character of name.slice(-12)) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) >>> 0
  return (hash % groups) + 1
}
