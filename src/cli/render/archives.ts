import type { FailedComponent, ReportedArchive } from '../../operations/components/archives-report.ts'
import type { ShownArchive } from '../../operations/report/show-report.ts'
import type { Style } from '../output.ts'
import { type Cell, paragraphs, table, warnings } from './layout.ts'
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

/** The archives of a recovery point, with their files where these were asked for; undefined where there are none. */
export function renderShownArchives(archives: readonly ShownArchive[], style: Style): string | undefined {
  if (archives.length === 0) return undefined
  const columns = [{ title: 'COMPONENT' }, { title: 'FILES', right: true }, { title: 'CONTENT', right: true }, { title: 'STORED', right: true }, { title: 'NOTES' }]
  const overview = table(columns, archives.map((archive) => [archive.component, String(archive.files), formatByteSize(archive.contentBytes), formatByteSize(archive.bytes), [...(archive.encrypted ? ['encrypted'] : []), ...(archive.leftOut.length > 0 ? [`${counted(archive.leftOut.length, 'path')} left out`] : [])].join(', ')]), style)
  const paths = archives.flatMap(({ component, paths: files = [] }) => files.map(({ path, sizeBytes, mode }) => [mode.toString(8).padStart(4, '0'), formatByteSize(sizeBytes), `${component}/${path}`]))
  const leftOut = archives.some(({ paths: files }) => files !== undefined) && warnings(leftOutOf(archives), style)
  return paragraphs(overview, paths.length > 0 && table([{ title: 'MODE' }, { title: 'SIZE', right: true }, { title: 'FILE' }], paths, style), leftOut)
}

/** What is missing in archives, and why. */
export function leftOutOf(archives: readonly Pick<ReportedArchive, 'component' | 'leftOut'>[]): string[] {
  return archives.flatMap(({ component, leftOut }) => leftOut.map(({ path, reason }) => `${component}: ${path} was left out: ${reason}`))
}
