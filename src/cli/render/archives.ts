import type { FailedComponent, ReportedArchive } from '../../operations/archives-report.ts'
import type { Style } from '../output.ts'
import { type Cell, table } from './layout.ts'
import { counted, formatByteSize } from './units.ts'

/** One line for each component, those that failed too; undefined where there are none. */
export function renderArchives(archives: readonly ReportedArchive[], failed: readonly FailedComponent[], style: Style): string | undefined {
  if (archives.length + failed.length === 0) return undefined
  const columns = [{ title: 'COMPONENT' }, { title: 'FILES', right: true }, { title: 'STORED', right: true }, { title: 'RESULT' }]
  const rows: Cell[][] = archives.map((archive) => [archive.component, String(archive.files), formatByteSize(archive.bytes), resultOf(archive)])
  for (const { component, error } of failed) rows.push([component, '', '', { text: `failed: ${error.message}${error.hint === undefined ? '' : ` (${error.hint})`}`, paint: style.red }])
  return table(columns, rows, style)
}

function resultOf({ reused, encrypted, leftOut }: ReportedArchive): string {
  const parts = [reused ? 'unchanged' : 'stored', ...(encrypted ? ['encrypted'] : []), ...(leftOut.length > 0 ? [`${counted(leftOut.length, 'path')} left out`] : [])]
  return parts.join(', ')
}

/** What is missing in archives, and why. */
export function leftOutOf(archives: readonly ReportedArchive[]): string[] {
  return archives.flatMap(({ component, leftOut }) => leftOut.map(({ path, reason }) => `${component}: ${path} was left out: ${reason}`))
}
