import type { InitReport } from '../../operations/init-report.ts'
import type { Style } from '../output.ts'
import { facts, paragraphs, warnings } from './layout.ts'

export function renderInit(report: InitReport, style: Style): string {
  return paragraphs(
    facts(report.discovered.map(({ name, value }) => [name, value] as const), style),
    warnings(report.warnings, style),
    report.path !== null && `${style.green('wrote')} ${report.path}\nnext: read it, then run "prom-dr doctor" and "prom-dr backup"`,
  )
}
