import type { HoldReport } from '../../operations/expire/hold-report.ts'
import type { Style } from '../output.ts'
import { paragraphs, table } from './layout.ts'
import { formatInstant } from './units.ts'

export function renderHold(report: HoldReport, style: Style): string {
  const what = report.until === null ? 'is no longer held: the retention decides' : `is held until ${formatInstant(report.until)}: ${report.reason}`
  const rows = report.repositories.map(({ name, result, error }) => [
    name,
    result === 'failed' ? { text: `failed: ${error?.message ?? 'unknown'}`, paint: style.red } : result === 'absent' ? 'does not have it' : result,
  ])
  return paragraphs(`${style.bold(`recovery point ${report.id}`)} of ${report.instance} ${what}`, table([{ title: 'REPOSITORY' }, { title: 'RESULT' }], rows, style))
}
