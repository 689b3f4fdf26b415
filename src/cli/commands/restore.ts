import { Command, Option } from 'commander'
import { parseDuration } from '../../domain/duration.ts'
import { parseMoment, parsePastTime } from '../../domain/moment.ts'
import type { RestorePartsReport, RestorePartsRequest } from '../../operations/components/restore-components-report.ts'
import { PromDrError } from '../../errors.ts'
import { type CommandRunner, examples } from '../command-runner.ts'
import type { CommandContext } from '../context.ts'
import { type ExitCode, exitCodeOf, exitCodes, worstOf } from '../exit-codes.ts'
import { collect, collectNames, named, parseOwner, parsePath } from '../option-values.ts'
import { renderRestore } from '../render/restore.ts'
import { renderComponentsOnly } from '../render/restored-components.ts'

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
  only?: string[]
  all: boolean
  componentsTarget?: string
  force: boolean
  part?: string[]
}

export function restoreCommand(run: CommandRunner): Command {
  return new Command('restore')
    .summary('bring a recovery point back into a data directory')
    .description('Bring a recovery point back into a data directory: plan, check, fetch with every byte checked, put in place, measure. Nothing is touched before all checks have passed.')
    .requiredOption('--at <moment>', '"latest", a time with its zone, "2h ago", or the id of a recovery point')
    .option('-t, --target <dir>', 'the TSDB directory to fill (default: as configured)', named('--target', parsePath))
    .option('--only <names>', 'what to restore: tsdb, config (of Prometheus), alertmanager, grafana… by their names, with commas between (default: tsdb)', collectNames)
    .option('--all', 'the TSDB and every component that is configured', false)
    .option('-i, --instance <name>', 'whose recovery points (default: as configured)')
    .option('-r, --repository <name>', 'only from this repository; may be repeated (default: all)', collect)
    .option('-n, --dry-run', 'print the plan and the checks, and change nothing', false)
    .option('--replace', 'move what is in the target aside, into a directory inside it', false)
    .option('--nearest', 'take the recovery point before a moment that cannot be reached', false)
    .option('--generation <id>', 'follow the history of this generation of the WAL (default: the newest)')
    .option('--include-deletes', 'take in deletions of which it is not known whether they came before the moment', false)
    .option('--later-blocks', 'reach a moment in a gap of the log, or without one, from blocks made later: deletions and late samples are as they were then', false)
    .option('--components-target <dir>', 'put components\' files below this directory instead, and install nothing', named('--components-target', parsePath))
    .option('--force', 'install components also where their own check refuses them', false)
    .option('--part <name>', 'only this part of the component that --only names, such as a folder of Grafana; may be repeated', collect)
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
        ['restore --at "2h ago" --only config,alertmanager', 'configuration, rules and silences as they were'],
        ['restore --at latest --only grafana --components-target /tmp/grafana', 'a look at the files, nothing is installed'],
        ['restore --at 2026-11-21T03:00:00Z --target /tmp/then --side-instance --start', 'a look at the past'],
      ),
    )
    .action((options: RestoreOptions, command: Command) =>
      run(command, async (context) => {
        const report = await context.operations.restore(restoreRequest(options, context))
        const code = restoreExitCode(report, options)
        context.summary(report, (answer, style) => ('plan' in answer ? renderRestore(answer, style) : renderComponentsOnly(answer, style)), { wanted: report.dryRun || code !== exitCodes.done })
        return code
      }),
    )
}

/** @throws USAGE */
function partsRequest(options: RestoreOptions): Partial<RestorePartsRequest> {
  const { only, all, componentsTarget, force, part } = options
  if (all && only !== undefined) throw new PromDrError('USAGE', '--all and --only exclude each other', { hint: 'name what is wanted with --only, or take everything with --all' })
  if (part !== undefined && only?.length !== 1) throw new PromDrError('USAGE', '--part needs --only with one component', { hint: 'for example --only grafana --part Operations' })
  return { ...(only !== undefined && { only }), all, force, ...(componentsTarget !== undefined && { componentsTarget }), ...(part !== undefined && { parts: part }) }
}

function restoreRequest(options: RestoreOptions, context: CommandContext): RestorePartsRequest {
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
    ...partsRequest(options),
    ...(disasterAt !== undefined && { disasterAtMs: named('--disaster-at', (text) => parsePastTime(text, context.now))(disasterAt) }),
  }
}

/** A component that was not restored is 3, or its own code where none was. A dry run ends as the restore would, as far as the checks can tell. */
export function restoreExitCode(report: RestorePartsReport, { force = false }: { force?: boolean } = {}): ExitCode {
  const components = report.components ?? []
  const failed = components.filter(({ ok }) => !ok)
  if (report.dryRun && 'plan' in report && report.plan.preflight.some((check) => !check.ok)) return exitCodes.refused
  if (report.dryRun && !force && components.some(({ findings }) => findings.some(({ level }) => level === 'fail'))) return exitCodes.refused
  const unread = report.unreachable.length > 0 ? exitCodes.partly : exitCodes.done
  if (!('plan' in report)) return failed.length === components.length && failed.length > 0 ? worstOf(...failed.map(({ error }) => exitCodeOf(error?.code ?? 'INTERNAL'))) : failed.length > 0 ? exitCodes.partly : unread
  return worstOf(failed.length > 0 ? exitCodes.partly : exitCodes.done, report.answers?.equal === false ? exitCodes.verificationFailed : exitCodes.done, unread)
}
