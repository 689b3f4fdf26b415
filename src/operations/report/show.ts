import type { NamedArchive } from '../../domain/archive.ts'
import { allBlocks, blockBytes, headPlace } from '../../domain/recovery-point.ts'
import { formatDuration } from '../../domain/duration.ts'
import { countAnswers } from '../../repository/sealed-answers.ts'
import type { ReadContext } from './list.ts'
import { holdOn, newestPoint, readSources, requireInstance } from '../repository-sources.ts'
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
  const { point, repository } = newestPoint(sources, latest ? (point) => point.instance === instance : (point) => point.id === request.id, request.id)
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
    damagedAtSource: point.damagedAtSource ?? [],
    cost: point.cost,
  }
}

function shownArchive(archive: NamedArchive, withFiles: boolean): ShownArchive {
  const { reused: _, ...shown } = reportedArchive(archive, { reused: false })
  return { ...shown, ...(withFiles && { paths: archive.files.map(({ path, sizeBytes, mode, sha256 }) => ({ path, sizeBytes, mode, sha256 })) }) }
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
