import type { InstanceStatus, StatusReport } from '../../operations/report/status-report.ts'
import type { Style } from '../output.ts'
import { renderCost } from './cost.ts'
import { damageLine, facts, paragraphs, table, unreachableRepositories } from './layout.ts'
import { formatInstant, formatSeconds } from './units.ts'

export function renderStatus(report: StatusReport, style: Style): string {
  const none = report.instances.length === 0 && 'nothing is backed up yet: "prom-dr backup" makes a recovery point, "prom-dr ship" ships the WAL'
  const damaged = report.damaged.map((object) => damageLine(object, style)).join('\n')
  return paragraphs(none, ...report.instances.map((instance) => renderInstance(instance, style)), report.cost && renderCost(report.cost, style), damaged, unreachableRepositories(report.unreachable, style))
}

function renderInstance(instance: InstanceStatus, style: Style): string {
  const { health } = instance
  const paint = health === 'ok' ? style.green : health === 'idle' ? style.yellow : style.red
  const details = facts(
    [
      ['would lose', instance.rpoSeconds === null ? (instance.lastRecoveryPointAt === null ? 'everything: there is no recovery point to restore' : 'everything since the last recovery point') : formatSeconds(instance.rpoSeconds)],
      ['newest sample', formatInstant(instance.newestSample)],
      ['sign of life', formatInstant(instance.heartbeatAt)],
      ['recovery point', formatInstant(instance.lastRecoveryPointAt)],
      ['verified', instance.lastVerifiedAt === null ? 'never' : formatInstant(instance.lastVerifiedAt)],
    ],
    style,
  )
  const columns = [{ title: 'REPOSITORY' }, { title: 'WOULD LOSE', right: true }, { title: 'SHIPPED TO' }, { title: 'SIGN OF LIFE' }, { title: 'RECOVERY POINT' }]
  const rows = instance.repositories.map((repository) => [
    repository.name,
    repository.rpoSeconds === null ? '-' : formatSeconds(repository.rpoSeconds),
    repository.shippedTo ?? '-',
    formatInstant(repository.heartbeatAt),
    formatInstant(repository.lastRecoveryPointAt),
  ])
  return [`${style.bold(instance.name)}: ${paint(health)}: ${instance.reason}`, details, table(columns, rows, style)].join('\n')
}
