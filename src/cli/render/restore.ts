import type { RestorePlanReport, RestoreReport } from '../../operations/restore/restore-report.ts'
import type { RestoredComponentReport } from '../../operations/components/restore-components-report.ts'
import type { Style } from '../output.ts'
import { facts, paragraphs, table, unreachableRepositories, warnings } from './layout.ts'
import { renderComponents } from './restored-components.ts'
import { counted, formatByteSize, formatCount, formatElapsed, formatInstant, formatSeconds } from './units.ts'
import { renderAnswers } from './verify.ts'

/** The plan for a dry run, otherwise what was reached and how long it took. */
export function renderRestore(report: RestoreReport & { components?: RestoredComponentReport[] }, style: Style): string {
  const components = report.components !== undefined && renderComponents(report.components, report.dryRun, style)
  const notes = [unreachableRepositories(report.unreachable, style), warnings([...new Set([...report.plan.warnings, ...report.warnings])], style)]
  if (report.dryRun) return paragraphs(renderPlan(report.plan, style), components, ...notes)
  const repaired = report.repaired.map(({ key, from, reason }) => `${style.yellow('repaired:')} ${key} was taken from ${from}: ${reason}`).join('\n')
  return paragraphs(renderOutcome(report, style), report.answers !== null && renderAnswers(report.answers, style), components, repaired, ...notes)
}

function renderOutcome(report: RestoreReport, style: Style): string {
  const { plan } = report
  const resumed = report.resumedBytes > 0 ? `; ${formatByteSize(report.resumedBytes)} were in place from an interrupted run` : ''
  const details = facts(
    [
      ['asked for', formatMoment(report.requestedAt)],
      ['reached', `${formatInstant(report.recoverableAt)} (newest restored sample; ${stopReason(report.stoppedBy)})`],
      ['RPO', report.rpoSeconds === null ? 'not measured: nothing was restored' : `${formatSeconds(report.rpoSeconds)} of samples lost`],
      ['RTO', report.rtoSeconds === null ? `not measured: ${whyNotMeasured(report.answers)}` : `${formatSeconds(report.rtoSeconds)} to the first correct answer`],
      ['content', `${counted(plan.blocks.length, 'block')}, ${formatByteSize(report.bytes)} fetched from ${plan.repository}${resumed}`],
      ['recovery point', plan.recoveryPoint ?? `none: the log of generation ${plan.generation} is all there was`],
      ['moved aside', report.replacedTo === null ? undefined : report.replacedTo],
    ],
    style,
  )
  const totalMs = report.stages.reduce((sum, stage) => sum + stage.durationMs, 0)
  const rows = [...report.stages, { name: 'total', durationMs: totalMs }].map((stage) => [stage.name, formatElapsed(stage.durationMs)])
  return paragraphs(`${style.green('restored')} ${style.bold(plan.instance)} into ${report.target}\n${details}`, table([{ title: 'PHASE' }, { title: 'TIME', right: true }], rows, style))
}

function renderPlan(plan: RestorePlanReport, style: Style): string {
  const details = facts(
    [
      ['asked for', formatMoment(plan.requestedAt)],
      ['would reach', `${formatInstant(plan.recoverableAt)} (newest sample; ${stopReason(plan.stoppedBy)})`],
      ['recovery point', plan.recoveryPoint === null ? `none: the log of generation ${plan.generation} in ${plan.repository} is all there was` : `${plan.recoveryPoint} from ${plan.repository}`],
      ['to fetch', `${counted(plan.objects, 'object')}, ${formatByteSize(plan.bytes)}${plan.estimateSeconds === null ? '' : `; about ${formatSeconds(plan.estimateSeconds)}`}`],
    ],
    style,
  )
  const columns = [{ title: 'BLOCK' }, { title: 'FROM' }, { title: 'TO' }, { title: 'SAMPLES', right: true }, { title: 'SIZE', right: true }, { title: 'NOTES' }]
  const rows = plan.blocks.map((block) => [block.ulid, formatInstant(block.minTime), formatInstant(block.maxTime), formatCount(block.samples), formatByteSize(block.bytes), [block.head && 'head', block.cutAt !== undefined && `cut at ${formatInstant(block.cutAt)}`].filter(Boolean).join(', ')])
  const checks = plan.preflight.map(({ name, ok, detail, advice }) => `${ok ? style.green('ok  ') : style.red('FAIL')}  ${name}: ${detail}${ok || advice === undefined ? '' : `\n      ${advice}`}`)
  const verdict = plan.preflight.every((check) => check.ok) ? 'dry run: nothing was changed' : style.red('dry run: a restore would be refused')
  return paragraphs(`${style.bold(`plan: restore ${plan.instance} into ${plan.target}`)}\n${details}`, table(columns, rows, style), checks.join('\n'), verdict)
}

/** `latest` and ids stay as they were asked for. */
function formatMoment(text: string): string {
  return /^\d{4}-/.test(text) ? formatInstant(text) : text
}

function stopReason(stoppedBy: string): string {
  const reasons: Record<string, string> = {
    'recovery-point': 'the end of the recovery point',
    moment: 'the moment asked for',
    end: 'the end of what was shipped',
    gap: 'the log breaks there',
    nearest: 'the recovery point before the moment asked for',
    damaged: 'what is newer is damaged',
  }
  return reasons[stoppedBy] ?? stoppedBy
}

function whyNotMeasured(answers: RestoreReport['answers']): string {
  if (answers === null) return 'no server was started (--start)'
  return answers.series + answers.queries === 0 ? 'there was no known answer to ask' : 'the server gave no correct answer'
}
