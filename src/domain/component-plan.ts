import { PromDrError } from '../errors.ts'
import type { NamedArchive } from './archive.ts'
import type { RestoreMoment } from './restore-plan.ts'

/** A recovery point as far as components are concerned. */
export interface ArchivedMoment {
  id: string
  createdAt: number
  archives: readonly NamedArchive[]
}

/** Where one component comes from. */
export interface ChosenArchive<Point extends ArchivedMoment> {
  component: string
  archive: NamedArchive
  point: Point
  /** Names of the sources that have this recovery point, in the order in which they are asked. */
  sources: string[]
}

/**
 * Chooses, for each component by itself, the newest recovery point made at or before the moment that has it; of a recovery point that is
 * named, what is in it. A component that failed in the newest recovery point comes from the one before.
 */
export function planComponents<Point extends ArchivedMoment>(sources: readonly { name: string; points: readonly Point[] }[], names: readonly string[], at: RestoreMoment): { chosen: ChosenArchive<Point>[]; missing: string[] } {
  const points = pointsUntil(sources, at)
  const chosen: ChosenArchive<Point>[] = []
  const missing: string[] = []
  for (const component of names) {
    const point = points.findLast((candidate) => archiveOf(candidate, component) !== undefined)
    const archive = point && archiveOf(point, component)
    if (point === undefined || archive === undefined) missing.push(component)
    else chosen.push({ component, archive, point, sources: sources.filter((source) => source.points.some(({ id }) => id === point.id)).map(({ name }) => name) })
  }
  return { chosen, missing }
}

/** The components of the newest recovery point at or before the moment that has any, sorted. */
export function componentsAt<Point extends ArchivedMoment>(sources: readonly { name: string; points: readonly Point[] }[], at: RestoreMoment): string[] {
  const point = pointsUntil(sources, at).findLast(({ archives }) => archives.length > 0)
  return (point?.archives ?? []).map(({ component }) => component).sort()
}

/** Oldest first. @throws NO_RECOVERY_POINT for an id that no source has */
function pointsUntil<Point extends ArchivedMoment>(sources: readonly { points: readonly Point[] }[], at: RestoreMoment): Point[] {
  const byId = new Map<string, Point>()
  for (const point of sources.flatMap((source) => source.points)) if (!byId.has(point.id)) byId.set(point.id, point)
  const points = [...byId.values()].sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
  if (at.kind === 'latest') return points
  if (at.kind === 'time') return points.filter((point) => point.createdAt <= at.ms)
  const named = byId.get(at.id)
  if (named === undefined) throw new PromDrError('NO_RECOVERY_POINT', `there is no recovery point ${at.id}`, { hint: 'run "prom-dr list" to see the ids' })
  return [named]
}

function archiveOf(point: ArchivedMoment, component: string): NamedArchive | undefined {
  return point.archives.find((archive) => archive.component === component)
}
