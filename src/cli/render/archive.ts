import type { ArchiveOutcome, ArchiveReport } from '../../operations/components/archive-report.ts'
import type { Style } from '../output.ts'
import { leftOutOf, renderArchives } from './archives.ts'
import { type Cell, facts, paragraphs, stagesLine, table, warnings } from './layout.ts'
import { formatByteSize, formatElapsed, formatInstant } from './units.ts'

export function renderArchive(report: ArchiveReport, style: Style): string {
  const point = report.recoveryPoint
  const title = `${style.bold(`recovery point ${point.id}`)} of ${point.instance}, components alone`
  const details = facts(
    [
      ['made', formatInstant(point.createdAt)],
      ['tiers', point.tiers.join(', ') || 'none'],
      ['uploaded', `${formatByteSize(report.uploadedBytes)}; ${formatByteSize(report.reusedBytes)} were there already`],
      ['took', `${formatElapsed(report.durationMs)} (${stagesLine(report.stages, formatElapsed)})`],
    ],
    style,
  )
  const columns = [{ title: 'REPOSITORY' }, { title: 'UPLOADED', right: true }, { title: 'RESULT' }]
  const rows = report.repositories.map((outcome) => outcomeRow(outcome, style))
  return paragraphs(`${title}\n${details}`, renderArchives(point.archives, report.failedComponents, style), table(columns, rows, style), warnings([...leftOutOf(point.archives), ...report.warnings], style))
}

function outcomeRow({ name, ok, uploadedBytes, error }: ArchiveOutcome, style: Style): Cell[] {
  const result = ok ? { text: 'ok', paint: style.green } : { text: `failed: ${error?.message ?? 'unknown'}${error?.hint === undefined ? '' : ` (${error.hint})`}`, paint: style.red }
  return [name, formatByteSize(uploadedBytes), result]
}
