import type { AnswersReport, VerifyReport } from '../../operations/verify/verify-report.ts'
import type { Style } from '../output.ts'
import { damageLine, facts, paragraphs, unreachableRepositories, warnings } from './layout.ts'
import { counted, formatByteSize, formatElapsed } from './units.ts'

const shownDifferences = 10

export function renderVerify(report: VerifyReport, style: Style): string {
  const { checkedObjects, checkedRecoveryPoints, subset } = report
  const wrong = report.damaged.length > 0 ? counted(report.damaged.length, 'damaged object') : 'a server gives other answers than the source did'
  const title = report.ok ? style.green('verified: nothing is damaged') : style.red(`verification failed: ${wrong}`)
  const read =
    report.checkedBytes === 0 ? 'nothing (--read-data reads every byte)' : `${formatByteSize(report.checkedBytes)}, ${counted(report.checkedChunks, 'chunk')}${subset === null ? '' : `; group ${subset.group} of ${subset.groups}`}`
  const details = facts(
    [
      ['checked', `${counted(checkedRecoveryPoints, 'recovery point')}, ${counted(checkedObjects, 'object')}, ${formatByteSize(report.listedBytes)}`],
      ['read', read],
      ['took', formatElapsed(report.durationMs)],
    ],
    style,
  )
  const damaged = report.damaged.map(
    ({ repository, key, reason, recoveryPoints }) => `${damageLine({ repository, key, reason }, style)}${recoveryPoints.length === 0 ? '' : `\n  named by ${recoveryPoints.join(', ')}`}`,
  )
  return paragraphs(`${title}\n${details}`, damaged.join('\n'), ...report.answers.map((answers) => renderAnswers(answers, style)), unreachableRepositories(report.unreachable, style), warnings(report.warnings, style))
}

/** What a throwaway server answered, and where it differs from what the source had answered. */
export function renderAnswers(answers: AnswersReport, style: Style): string {
  const asked = `${answers.series} series, ${counted(answers.samples, 'sample')}, ${counted(answers.queries, 'query', 'queries')}${answers.skipped > 0 ? `; ${answers.skipped} not asked` : ''}`
  // Nothing asked shows nothing.
  const none = answers.equal && answers.series + answers.queries === 0
  const line = `known answers of ${answers.recoveryPoint}: ${none ? style.yellow('none to compare') : answers.equal ? style.green('equal') : style.red('different')} (${asked})`
  const differences = answers.differences.slice(0, shownDifferences).map(({ what, expected, observed }) => `  ${what}: expected ${expected}, got ${observed}`)
  const more = answers.differences.length - differences.length
  return [line, ...differences, ...(more > 0 ? [`  and ${more} more`] : [])].join('\n')
}
