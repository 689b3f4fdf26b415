import type { NamedArchive } from '../../domain/archive.ts'
import { allBlocks, blockBytes, headPlace } from '../../domain/recovery-point.ts'
import { formatDuration } from '../../domain/duration.ts'
import { PromDrError } from '../../errors.ts'
import { countAnswers } from '../../repository/sealed-answers.ts'
import type { StoredRecoveryPoint } from '../../repository/recovery-point-schema.ts'
import type { ReadContext } from './list.ts'
import { type Sources, allPointsOf, holdOn, readSources, requireInstance } from '../repository-sources.ts'
import type { ShowReport, ShowRequest, ShownArchive } from './show-report.ts'
import { reportedArchive } from '../components/store-archives.ts'

export interface ShowContext extends ReadContext {
  /** As configured: whose latest. */
  instance: string
}

/** One recovery point in full. @throws NO_RECOVERY_POINT, INSTANCE_NOT_FOUND */
export async function show(context: ShowContext, request: ShowRequest): Promise<ShowReport> {
  const latest = request.id === 'latest'
  const instance = request.instance ?? (latest ? context.instance : undefined)
  const sources = await readSources(context.repositories, { repositories: request.repositories, instance, signal: context.signal })
  if (latest) await requireInstance(sources, instance as string, context.signal)
  const { point, repository } = findPoint(sources, latest ? (point) => point.instance === instance : (point) => point.id === request.id, request.id)
  const { source } = point
  const head = point.head.kind === 'block' ? point.head.block.ulid : undefined
  const blocks = allBlocks(point)
  return {
    id: point.id,
    instance: point.instance,
    repository,
    createdAt: new Date(point.createdAt).toISOString(),
    minTime: isoOrNull(point.minTime),
    maxTime: isoOrNull(point.maxTime),
    tiers: point.tiers,
    held: holdOn(sources, point) !== null,
    hold: holdOn(sources, point),
    headIncluded: headPlace(point.head) === 'stored',
    head: headPlace(point.head),
    source: {
      prometheusVersion: source.prometheusVersion,
      dataDir: source.dataDir,
      hostname: source.hostname,
      externalLabels: source.externalLabels,
      retention: [source.retention.timeMs === null ? '' : formatDuration(source.retention.timeMs), source.retention.sizeBytes === null ? '' : `${source.retention.sizeBytes} B`].filter((part) => part !== '').join(' or ') || 'none',
    },
    blocks: blocks.map((block) => ({
      ulid: block.ulid,
      minTime: new Date(block.minTime).toISOString(),
      maxTime: new Date(block.maxTime).toISOString(),
      level: block.level,
      outOfOrder: !block.inOrder,
      series: block.numSeries,
      samples: block.numSamples,
      bytes: blockBytes(block),
      tombstones: block.tombstones !== undefined,
      head: block.ulid === head,
    })),
    totals: {
      blocks: blocks.length,
      series: Math.max(0, ...blocks.map((block) => block.numSeries)),
      samples: blocks.reduce((sum, block) => sum + block.numSamples, 0),
      bytes: blocks.reduce((sum, block) => sum + blockBytes(block), 0),
    },
    archives: point.archives.map((archive) => shownArchive(archive, request.files === true)),
    knownAnswers: {
      ...countAnswers(point.knownAnswers),
      queries: point.knownAnswers.queries.map(({ query }) => query),
    },
    cost: point.cost,
  }
}

function shownArchive(archive: NamedArchive, withFiles: boolean): ShownArchive {
  const { reused: _, ...shown } = reportedArchive(archive, { reused: false })
  return { ...shown, ...(withFiles && { paths: archive.files.map(({ path, sizeBytes, mode, sha256 }) => ({ path, sizeBytes, mode, sha256 })) }) }
}

/** The newest that fits, in the first repository that has it. */
export function findPoint(sources: Sources, fits: (point: StoredRecoveryPoint) => boolean, asked: string): { point: StoredRecoveryPoint; repository: string } {
  let found: { point: StoredRecoveryPoint; repository: string } | undefined
  for (const source of sources.repositories) {
    for (const point of source.instances.flatMap((instance) => allPointsOf(source, instance.name))) {
      if (fits(point) && (found === undefined || point.createdAt > found.point.createdAt)) found = { point, repository: source.name }
    }
  }
  if (found !== undefined) return found
  throw new PromDrError('NO_RECOVERY_POINT', `there is no recovery point ${asked}`, { hint: 'run "prom-dr list" to see the ids' })
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
