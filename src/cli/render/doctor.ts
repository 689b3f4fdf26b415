import type { DoctorCheck, DoctorReport } from '../../operations/doctor/doctor-report.ts'
import type { Style } from '../output.ts'
import { paragraphs } from './layout.ts'

export function renderDoctor(report: DoctorReport, style: Style): string {
  const areas = [...new Set(report.checks.map((check) => check.area))]
  const parts = areas.map((area) => [style.bold(area), ...report.checks.filter((check) => check.area === area).map((check) => renderCheck(check, style))].join('\n'))
  return paragraphs(...parts, verdict(report, style))
}

function renderCheck(check: DoctorCheck, style: Style): string {
  const mark = { ok: style.green('ok  '), warn: style.yellow('warn'), fail: style.red('FAIL') }[check.status]
  return `  ${mark}  ${check.name}: ${check.detail}${check.advice === undefined || check.status === 'ok' ? '' : `\n        ${style.cyan('do:')} ${check.advice}`}`
}

function verdict(report: DoctorReport, style: Style): string {
  const count = (status: DoctorCheck['status']) => report.checks.filter((check) => check.status === status).length
  const summary = `${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} failed`
  return report.ok ? style.green(summary) : style.red(summary)
}
