import type { ListReport, ListedRecoveryPoint } from '../../operations/report/list-report.ts'
import type { Style } from '../output.ts'
import { damageLine, facts, paragraphs, table, unreachableRepositories } from './layout.ts'
import { counted, formatByteSize, formatInstant } from './units.ts'

export function renderList(report: ListReport, style: Style): string {
  const instances = report.instances.map((instance) => renderInstance(instance, style))
  const none = instances.length === 0 && 'no recovery points yet: "prom-dr backup" makes one'
  const damaged = report.damaged.map((object) => damageLine(object, style)).join('\n')
  return paragraphs(none, ...instances, damaged, unreachableRepositories(report.unreachable, style))
}

const reach = {
  log: 'any moment',
  'later-blocks': 'any moment, with deletions and late samples as of the recovery point after it',
  'recovery-points': 'at its recovery points',
}

function renderInstance(instance: ListReport['instances'][number], style: Style): string {
  const title = `${style.bold(instance.name)}: ${counted(instance.recoveryPoints.length, 'recovery point')}`
  const windows = instance.recoverable.map(
    ({ from, to, by }) => ['recoverable', from === to ? formatInstant(from) : `${formatInstant(from)} to ${formatInstant(to)}, ${reach[by]}`] as const,
  )
  const gaps = instance.gaps.map(({ from, to, reason, repository }) => ['gap', `${from === null ? 'everything' : formatInstant(from)} to ${formatInstant(to)}, in ${repository}: ${reason}`] as const)
  const branches = instance.branches.map(({ generation, repository, from, to }) => ['other history', `${formatInstant(from)} to ${formatInstant(to)}, in ${repository}: --generation ${generation}`] as const)
  const columns = [
    { title: 'RECOVERY POINT' },
    { title: 'NEWEST SAMPLE' },
    { title: 'BLOCKS', right: true },
    { title: 'ARCHIVES', right: true },
    { title: 'SIZE', right: true },
    { title: 'HEAD' },
    { title: 'TIERS' },
    { title: 'REPOSITORIES' },
  ]
  return [title, facts([...windows, ...gaps, ...branches], style), table(columns, instance.recoveryPoints.map(row), style)].filter((part) => part !== '').join('\n')
}

function row(point: ListedRecoveryPoint): string[] {
  return [
    point.id,
    formatInstant(point.maxTime),
    String(point.blocks),
    String(point.archives.length),
    formatByteSize(point.bytes),
    point.head === 'stored' ? 'yes' : point.head === 'wal' ? 'in the WAL' : point.head === 'none' ? 'components alone' : 'no',
    [...point.tiers, ...(point.hold === null ? [] : [`held${point.hold.until === null ? '' : ` until ${formatInstant(point.hold.until)}`}`])].join(',') || '-',
    point.repositories.join(','),
  ]
}
