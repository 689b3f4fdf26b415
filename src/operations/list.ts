import { recoveryPointBytes } from '../domain/recovery-point.ts'
import type { StoredRecoveryPoint } from '../repository/recovery-point-schema.ts'
import type { NamedStore } from './backup.ts'
import type { ListReport, ListRequest, ListedRecoveryPoint } from './list-report.ts'
import { readSources } from './repository-sources.ts'

export interface ReadContext {
  repositories: readonly NamedStore[]
  signal: AbortSignal
}

/** What can be restored, of every instance: newest last. Damaged manifests and repositories out of reach are named. */
export async function list(context: ReadContext, request: ListRequest): Promise<ListReport> {
  const sources = await readSources(context.repositories, { ...request, signal: context.signal })
  const names = [...new Set(sources.repositories.flatMap((source) => source.instances.map((instance) => instance.name)))].sort()
  const report: ListReport = { instances: [], damaged: [], unreachable: sources.unreachable }
  for (const name of names) {
    const listed = new Map<string, ListedRecoveryPoint>()
    for (const source of sources.repositories) {
      const instance = source.instances.find((candidate) => candidate.name === name)
      for (const point of instance?.points ?? []) {
        const known = listed.get(point.id)
        if (known === undefined) listed.set(point.id, describe(point, source.name, instance?.held.has(point.id) === true))
        else {
          known.repositories.push(source.name)
          known.held ||= instance?.held.has(point.id) === true
        }
      }
      report.damaged.push(...(instance?.damaged ?? []).map(({ key, reason }) => ({ repository: source.name, key, reason })))
    }
    const recoveryPoints = [...listed.values()].sort((a, b) => (a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : a.id < b.id ? -1 : 1))
    report.instances.push({ name, recoverable: windows(recoveryPoints), recoveryPoints })
  }
  return report
}

/** Without a WAL stream the recovery points themselves are the moments that can be reached. */
function windows(points: readonly ListedRecoveryPoint[]): { from: string; to: string; exact: boolean }[] {
  const [first, last] = [points[0], points.at(-1)]
  return first === undefined || last === undefined ? [] : [{ from: first.createdAt, to: last.createdAt, exact: false }]
}

function describe(point: StoredRecoveryPoint, repository: string, held: boolean): ListedRecoveryPoint {
  return {
    id: point.id,
    createdAt: new Date(point.createdAt).toISOString(),
    maxTime: point.maxTime === null ? null : new Date(point.maxTime).toISOString(),
    tiers: point.tiers,
    bytes: recoveryPointBytes(point),
    blocks: point.blocks.length + (point.head.kind === 'block' ? 1 : 0),
    headIncluded: point.head.kind !== 'omitted',
    held,
    repositories: [repository],
  }
}
