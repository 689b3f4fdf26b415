import type { ComponentsOnlyReport, RestoredComponentReport } from '../../operations/components/restore-components-report.ts'
import type { Style } from '../output.ts'
import { facts, paragraphs, stagesLine, unreachableRepositories, warnings } from './layout.ts'
import { counted, formatByteSize, formatElapsed, formatInstant } from './units.ts'

/** A restore of components without the TSDB. */
export function renderComponentsOnly(report: ComponentsOnlyReport, style: Style): string {
  const failed = report.components.filter(({ ok }) => !ok).length
  const count = counted(report.components.length, 'component')
  const title = report.dryRun ? style.bold(`plan: restore ${count}`) : failed > 0 ? style.red(`${failed} of ${count} were not restored`) : `${style.green('restored')} ${style.bold(count)}`
  const details = facts([['asked for', /^\d{4}-/.test(report.requestedAt) ? formatInstant(report.requestedAt) : report.requestedAt], ['fetched', formatByteSize(report.bytes)], ['took', stagesLine(report.stages, formatElapsed)]], style)
  const verdict = report.dryRun && (failed > 0 ? style.red('dry run: a restore would be refused') : 'dry run: nothing was changed')
  const repaired = report.repaired.map(({ key, from, reason }) => `${style.yellow('repaired:')} ${key} was taken from ${from}: ${reason}`).join('\n')
  return paragraphs(`${title}\n${details}`, renderComponents(report.components, report.dryRun, style), verdict, repaired, unreachableRepositories(report.unreachable, style), warnings(report.warnings, style))
}

/** What became of each component, or would. */
export function renderComponents(components: readonly RestoredComponentReport[], dryRun: boolean, style: Style): string {
  return components.map((component) => renderComponent(component, dryRun, style)).join('\n\n')
}

function renderComponent(report: RestoredComponentReport, dryRun: boolean, style: Style): string {
  const { component, files, recoveryPoint, createdAt, repository, error } = report
  const lines = [`${style.bold(component)}: ${counted(files, 'file')} of ${recoveryPoint}, made ${formatInstant(createdAt)}, from ${repository}`]
  // What made it fail is told once, as that.
  lines.push(...report.findings.filter(({ detail }) => error?.message.includes(detail) !== true).map(({ level, detail, advice }) => `  ${level === 'fail' ? style.red('FAIL') : style.yellow('warn')}  ${detail}${advice === undefined ? '' : ` (${advice})`}`))
  lines.push(...report.actions.map((action) => `  ${action}`))
  if (error === undefined && report.actions.length === 0) lines.push('  nothing to do: everything is as it was archived')
  lines.push(...report.movedAside.map(({ from, to }) => `  ${dryRun ? 'would move aside:' : 'moved aside:'} ${from} ${dryRun ? 'to' : 'is now'} ${to}`))
  lines.push(...report.toReenter.map((what) => `  ${style.yellow('to be entered again:')} ${what}`))
  lines.push(...report.leftOut.map(({ path, reason }) => `  ${style.yellow('not in the archive:')} ${path}: ${reason}`))
  lines.push(...report.warnings.map((text) => `  ${style.yellow('warning:')} ${text}`))
  if (error !== undefined) lines.push(`  ${style.red('failed:')} ${error.message}${error.hint === undefined ? '' : ` (${error.hint})`}`)
  return lines.join('\n')
}
