import type { ExpireReport, RepositoryExpiry } from '../../operations/expire/expire-report.ts'
import type { Style } from '../output.ts'
import { type Cell, facts, paragraphs, table, warnings } from './layout.ts'
import { counted, formatByteSize, formatInstant } from './units.ts'

export function renderExpire(report: ExpireReport, style: Style): string {
  const parts = report.repositories.map((repository) => renderRepository(repository, report, style))
  const dry = !report.applied && 'nothing was changed: "prom-dr expire --apply" does it'
  return paragraphs(...parts, dry, warnings(report.warnings, style))
}

function renderRepository(repository: RepositoryExpiry, report: ExpireReport, style: Style): string {
  const title = style.bold(`repository ${repository.name}`)
  if (repository.error !== undefined) return `${title}: ${style.red(`failed: ${repository.error.message}`)}${repository.error.hint === undefined ? '' : ` (${repository.error.hint})`}`
  const { keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly } = repository.retention
  const rows = [
    ...report.removed.filter((point) => point.repository === repository.name).map((point) => ({ ...point, goes: true })),
    ...report.kept.filter((point) => point.repository === repository.name).map((point) => ({ ...point, goes: false, reason: point.reasons.join('; ') })),
  ].sort((a, b) => (a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : a.id < b.id ? -1 : 1))
  const several = repository.instances.length > 1
  const columns = [{ title: 'RECOVERY POINT' }, ...(several ? [{ title: 'INSTANCE' }] : []), { title: 'TIERS' }, { title: '' }, { title: 'REASON' }]
  const cells = rows.map((row): Cell[] => [row.id, ...(several ? [row.instance] : []), row.tiers.join(',') || '-', row.goes ? { text: 'goes', paint: style.yellow } : { text: 'stays', paint: style.green }, row.reason])
  const would = report.applied ? '' : 'would be '
  const details = facts(
    [
      ['keeps', `last ${keepLast}, hourly ${keepHourly}, daily ${keepDaily}, weekly ${keepWeekly}, monthly ${keepMonthly}, yearly ${keepYearly}`],
      ['recovery points', `${repository.kept} stay, ${repository.removed} ${report.applied ? 'went' : 'would go'}`],
      ['marked', `${counted(repository.markedBlocks, 'block')} and ${counted(repository.markedObjects, 'other object')} ${would}marked for removal`],
      ['removed', `${counted(repository.deletedBlocks, 'block')} and ${counted(repository.deletedObjects, 'other object')} ${would}removed: ${formatByteSize(repository.freedBytes)}`],
      ['waiting', repository.nextRemovalAt === null ? undefined : `${formatByteSize(repository.waitingBytes)} may go from ${formatInstant(repository.nextRemovalAt)} on`],
      ['locked', repository.locked.length === 0 ? undefined : repository.locked.map(({ name, until }) => `${name} until ${formatInstant(until)}`).join(', ')],
      ['moved', repository.movedObjects === 0 ? undefined : `${counted(repository.movedObjects, 'object')}, ${formatByteSize(repository.movedBytes)}, ${would}moved to the class of the tier that they live on for`],
    ],
    style,
  )
  return [title, details, ...(rows.length > 0 ? [table(columns, cells, style)] : [])].join('\n')
}
