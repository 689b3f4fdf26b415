import type { BackupReport, RepositoryOutcome } from '../../operations/backup/backup-report.ts'
import type { Style } from '../output.ts'
import { leftOutOf, renderArchives } from './archives.ts'
import { type Cell, facts, paragraphs, stagesLine, table, warnings } from './layout.ts'
import { counted, formatByteSize, formatElapsed, formatInstant } from './units.ts'

export function renderBackup(report: BackupReport, style: Style): string {
  const point = report.recoveryPoint
  const known = point.knownAnswers
  const title = `${style.bold(`recovery point ${point.id}`)} of ${point.instance}`
  const details = facts(
    [
      ['made', formatInstant(point.createdAt)],
      ['newest sample', formatInstant(point.maxTime)],
      ['tiers', point.tiers.join(', ') || 'none'],
      ['content', `${counted(point.blocks, 'block')}, ${point.head === 'stored' ? 'with the head' : point.head === 'wal' ? 'with the head in the shipped WAL' : 'without the head'}; ${counted(point.samples, 'sample')}; ${formatByteSize(point.bytes)}`],
      ['known answers', `${known.series} series, ${counted(known.samples, 'sample')}, ${counted(known.queries, 'query', 'queries')}${known.dropped > 0 ? `; ${known.dropped} dropped: they changed while they were read` : ''}`],
      ['uploaded', `${formatByteSize(report.uploadedBytes)}; ${formatByteSize(report.reusedBytes)} were there already`],
      ['took', `${formatElapsed(report.durationMs)} (${stagesLine(report.stages, formatElapsed)})`],
    ],
    style,
  )
  const columns = [{ title: 'REPOSITORY' }, { title: 'UPLOADED', right: true }, { title: 'BLOCKS' }, { title: 'RESULT' }]
  const damage = report.damagedAtSource.map(({ ulid, reason }) => style.red(`block ${ulid} is damaged on the server's own disk: ${reason}`))
  return paragraphs(`${title}\n${details}`, renderArchives(point.archives, report.failedComponents, style), table(columns, report.repositories.map((outcome) => outcomeRow(outcome, style)), style), damage.join('\n'), warnings([...leftOutOf(point.archives), ...report.warnings], style))
}

function outcomeRow(outcome: RepositoryOutcome, style: Style): Cell[] {
  const blocks = `${outcome.uploadedBlocks} new, ${outcome.reusedBlocks} there already, ${outcome.coveredBlocks} covered by others`
  const { error } = outcome
  const result = outcome.ok ? { text: 'ok', paint: style.green } : { text: `failed: ${error?.message ?? 'unknown'}${error?.hint === undefined ? '' : ` (${error.hint})`}`, paint: style.red }
  return [outcome.name, formatByteSize(outcome.uploadedBytes), outcome.ok ? blocks : '', result]
}
