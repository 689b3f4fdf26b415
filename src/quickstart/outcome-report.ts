import { formatTime } from '../domain/moment.ts'
import { type Colors, count, seconds } from './narrator.ts'
import type { Outcome } from './scenario.ts'

export interface WhereAbouts {
  /** Undefined when everything was removed. */
  keptDir: string | undefined
}

const ruler = '─'.repeat(74)

/** The last page: what was lost, how long it took, that the answers are equal, and where to look next. */
export function renderOutcome(outcome: Outcome, { keptDir }: WhereAbouts, colors: Colors): string {
  const { answers, backup } = outcome
  const { series, samples } = backup.recoveryPoint.knownAnswers
  const lostMs = outcome.disasterAtMs - outcome.newestRestoredMs
  const lines = [
    ruler,
    colors.bold('It came back.'),
    '',
    headline('RPO', 'what was lost; usual objective 60 s', seconds(lostMs), colors),
    `        newest restored sample ${formatTime(outcome.newestRestoredMs)}`,
    `        disaster               ${formatTime(outcome.disasterAtMs)}, ${seconds(outcome.afterBackupMs)} after the backup`,
    '',
    headline('RTO', 'decision to first right answer; usual objective 5 min', seconds(outcome.rtoMs), colors),
    ...outcome.phases.map(({ name, durationMs }) => `        ${name.padEnd(57)}${seconds(durationMs).padStart(9)}`),
    '',
    headline('ANSWERS', 'equal before and after', `${answers.length} of ${answers.length}`, colors),
    ...answers.map(({ title, before, after }) => `        ${title.padEnd(26)}${before} = ${after}`),
    `        ${`${count(samples, 'sample')} of ${count(series, 'series', 'series')}`.padEnd(26)}equal bit for bit (the known answers of the recovery point)`,
    '',
    ...whereToLook(keptDir, colors),
    ruler,
  ]
  return `\n${lines.join('\n')}\n`
}

function headline(name: string, what: string, figure: string, colors: Colors): string {
  return `${colors.green(name.padEnd(8))}${what.padEnd(57)}${colors.bold(figure.padStart(9))}`
}

function whereToLook(keptDir: string | undefined, colors: Colors): string[] {
  const kept = keptDir === undefined ? 'Everything was temporary and is removed; "npm run quickstart -- --keep DIR" leaves it for a look.' : `Kept in ${keptDir}: repository/ (blocks in the Thanos layout), restored/ (a data directory), prom-dr.yml.`
  const commands = keptDir === undefined ? [] : [`   node bin/prom-dr.js list --config ${keptDir}/prom-dr.yml`, `   node bin/prom-dr.js verify --read-data --config ${keptDir}/prom-dr.yml`]
  return [
    colors.bold('Where to look next'),
    `   ${kept}`,
    ...commands,
    '   node bin/prom-dr.js init      writes a prom-dr.yml for your own Prometheus',
    '   node bin/prom-dr.js doctor    tells what is missing for a backup of it',
    '   README.md, ARCHITECTURE.md and runbooks/',
  ]
}
