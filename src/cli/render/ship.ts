import type { ShipReport, ShippedBackup, ShippedRepository } from '../../operations/ship/ship-report.ts'
import type { Style } from '../output.ts'
import { type Cell, facts, paragraphs, table } from './layout.ts'
import { counted, formatByteSize, formatElapsed, formatInstant } from './units.ts'

export function renderShip(report: ShipReport, style: Style): string {
  const title = `${style.bold(`WAL of ${report.instance}`)} shipped to ${report.shippedTo ?? 'nowhere yet'}`
  const details = facts(
    [
      ['newest sample', formatInstant(report.newestSample)],
      ['lag', report.lagSeconds === null ? 'not known: no sample was shipped' : formatElapsed(report.lagSeconds * 1000)],
      ['sent', `${counted(report.parts, 'part')}, ${formatByteSize(report.bytes)}`],
    ],
    style,
  )
  const columns = [{ title: 'REPOSITORY' }, { title: 'SHIPPED TO' }, { title: 'SENT', right: true }, { title: 'RESULT' }]
  const gaps = report.repositories.flatMap(({ name, gaps: found }) => found.map((gap) => style.yellow(`gap in ${name}: ${gap.from === null ? 'everything' : formatInstant(gap.from)} to ${formatInstant(gap.to)}: ${gap.reason}`)))
  const corruption = report.corruption.map(({ message }) => style.red(message))
  const backups = report.backups.map((backup) => backedUp(backup, style))
  const unknown = report.unknownRecords.map(({ type, path, offset }) => `records of type ${type} are not known to this version, and shipped all the same (the first at byte ${offset} of ${path})`)
  const warnings = [...unknown, ...report.warnings].map((warning) => style.yellow(warning))
  return paragraphs(`${title}\n${details}`, table(columns, report.repositories.map((outcome) => row(outcome, style)), style), [...gaps, ...corruption, ...backups, ...warnings].join('\n'))
}

function backedUp({ repository, reason, recoveryPoint, error }: ShippedBackup, style: Style): string {
  if (recoveryPoint !== null) return `recovery point ${recoveryPoint} was made in ${repository}: ${reason}`
  return style.red(`no recovery point could be made in ${repository}, although ${reason}: ${error?.message ?? 'unknown'}${error?.hint === undefined ? '' : ` (${error.hint})`}`)
}

function row(outcome: ShippedRepository, style: Style): Cell[] {
  const { error } = outcome
  const result = outcome.ok ? { text: 'ok', paint: style.green } : { text: `failed: ${error?.message ?? 'unknown'}${error?.hint === undefined ? '' : ` (${error.hint})`}`, paint: style.red }
  return [outcome.name, outcome.shippedTo ?? '', formatByteSize(outcome.bytes), result]
}
