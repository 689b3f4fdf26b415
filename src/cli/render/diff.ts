import type { ArchivedFileChange, DiffReport } from '../../operations/components/show-archives-report.ts'
import type { Style } from '../output.ts'
import { paragraphs } from './layout.ts'
import { formatByteSize, formatInstant } from './units.ts'

/** As `diff -u` has it, a heading for each component. */
export function renderDiff(report: DiffReport, style: Style): string {
  const { from, to, components } = report
  const title = `${style.bold(from.id)}, made ${formatInstant(from.createdAt)} → ${style.bold(to.id)}, made ${formatInstant(to.createdAt)}`
  const same = components.filter(({ change }) => change === 'same').map(({ component }) => component)
  const changed = components.filter(({ change }) => change !== 'same').map(({ component, change, files }) => paragraphs(style.bold(`${component}: ${change}`), ...files.map((file) => renderChange(file, style))))
  return paragraphs(title, ...changed, same.length > 0 && `unchanged: ${same.join(', ')}`, components.length === 0 && 'neither has archives')
}

function renderChange({ path, change, before, after, diff }: ArchivedFileChange, style: Style): string {
  const modes = before !== null && after !== null && before.mode !== after.mode ? `mode ${before.mode.toString(8)} → ${after.mode.toString(8)}` : undefined
  if (change === 'mode') return `${path}: ${modes}`
  if (diff === null) {
    const sides = [before, after].map((side) => (side === null ? 'nothing' : `${formatByteSize(side.sizeBytes)} (sha256 ${side.sha256.slice(0, 12)}…)`))
    return `${path}: ${change}, no text to compare: ${sides.join(' → ')}`
  }
  const lines = diff.map((line) => (/^(---|\+\+\+) /.test(line) ? style.bold(line) : line.startsWith('+') ? style.green(line) : line.startsWith('-') ? style.red(line) : line.startsWith('@@') ? style.cyan(line) : line))
  return [...(modes === undefined ? [] : [`${path}: ${modes}`]), ...lines].join('\n')
}
