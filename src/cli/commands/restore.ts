import { Command, Option } from 'commander'
import { parseDuration } from '../../domain/duration.ts'
import { parseMoment, parsePastTime } from '../../domain/moment.ts'
import type { RestoreReport, RestoreRequest } from '../../operations/restore-report.ts'
import { type CommandRunner, examples } from '../command-runner.ts'
import type { CommandContext } from '../context.ts'
import { type ExitCode, exitCodes, worstOf } from '../exit-codes.ts'
import { collect, named, parseOwner, parsePath } from '../option-values.ts'
import { renderRestore } from '../render/restore.ts'

interface RestoreOptions {
  at: string
  target?: string
  instance?: string
  repository?: string[]
  generation?: string
  dryRun: boolean
  replace: boolean
  nearest: boolean
  includeDeletes: boolean
  laterBlocks: boolean
  start: boolean
  owner?: string
  retention?: number
  disasterAt?: string
  sideInstance: boolean
}

export function restoreCommand(run: CommandRunner): Command {
  return new Command('restore')
    .summary('bring a recovery point back into a data directory')
    .description('Bring a recovery point back into a data directory: plan, check, fetch with every byte checked, put in place, measure. Nothing is touched before all checks have passed.')
    .requiredOption('--at <moment>', '"latest", a time with its zone, "2h ago", or the id of a recovery point')
    .option('-t, --target <dir>', 'the TSDB directory to fill (default: as configured)', named('--target', parsePath))
    .option('-i, --instance <name>', 'whose recovery points (default: as configured)')
    .option('-r, --repository <name>', 'only from this repository; may be repeated (default: all)', collect)
    .option('-n, --dry-run', 'print the plan and the checks, and change nothing', false)
    .option('--replace', 'move what is in the target aside, into a directory inside it', false)
    .option('--nearest', 'take the recovery point before a moment that cannot be reached', false)
    .option('--generation <id>', 'follow the history of this generation of the WAL (default: the newest)')
    .option('--include-deletes', 'take in deletions of which it is not known whether they came before the moment', false)
    .option('--later-blocks', 'reach a moment in a gap of the log, or without one, from blocks made later: deletions and late samples are as they were then', false)
    .option('--start', 'then start a throwaway server on a clone of the result and ask it the known answers', false)
    .option('--owner <user[:group]>', 'who the files will belong to (default: as configured, or as at the source)', named('--owner', parseOwner))
    .option('--retention <duration>', 'retention of the server that will use the target, such as 15d', named('--retention', parseDuration))
    .option('--side-instance', 'the target will not go live: its history is not judged by retention from now', false)
    .addOption(new Option('--disaster-at <time>', 'when the source was lost: RPO is measured from there (default: now for "latest", the moment asked for otherwise)'))
    .addHelpText(
      'after',
      examples(
        ['restore --at latest --dry-run', 'what would be done'],
        ['restore --at latest --target /var/lib/prometheus/metrics2 --owner prometheus:prometheus', 'the newest, where the server will look for it'],
        ['restore --at 2026-11-21T03:00:00Z --target /tmp/then --side-instance --start', 'a look at the past'],
      ),
    )
    .action((options: RestoreOptions, command: Command) =>
      run(command, async (context) => {
        const report = await context.operations.restore(restoreRequest(options, context))
        const code = restoreExitCode(report)
        context.summary(report, renderRestore, { wanted: report.dryRun || code !== exitCodes.done })
        return code
      }),
    )
}

function restoreRequest(options: RestoreOptions, context: CommandContext): RestoreRequest {
  const { target, instance, owner, generation, retention, disasterAt } = options
  return {
    at: named('--at', (text) => parseMoment(text, context.now))(options.at),
    ...(target !== undefined && { target }),
    ...(instance !== undefined && { instance }),
    repositories: context.repositoryNames(options.repository),
    dryRun: options.dryRun,
    replace: options.replace,
    nearest: options.nearest,
    ...(generation !== undefined && { generation }),
    includeDeletes: options.includeDeletes,
    laterBlocks: options.laterBlocks,
    start: options.start,
    ...(owner !== undefined && { owner }),
    ...(retention !== undefined && { retentionMs: retention }),
    sideInstance: options.sideInstance,
    ...(disasterAt !== undefined && { disasterAtMs: named('--disaster-at', (text) => parsePastTime(text, context.now))(disasterAt) }),
  }
}

/** A dry run ends as the restore would, as far as the checks can tell. */
export function restoreExitCode(report: RestoreReport): ExitCode {
  if (report.dryRun && report.plan.preflight.some((check) => !check.ok)) return exitCodes.refused
  return worstOf(report.answers?.equal === false ? exitCodes.verificationFailed : exitCodes.done, report.unreachable.length > 0 ? exitCodes.partly : exitCodes.done)
}
