import { Command } from 'commander'
import type { ArchiveReport } from '../../operations/components/archive-report.ts'
import { type CommandRunner, examples } from '../command-runner.ts'
import { type ExitCode, exitCodeOf, exitCodes, worstOf } from '../exit-codes.ts'
import { collect } from '../option-values.ts'
import { renderArchive } from '../render/archive.ts'

interface ArchiveOptions {
  adopt: boolean
  repository?: string[]
}

export function archiveCommand(run: CommandRunner): Command {
  return new Command('archive')
    .summary('make a recovery point of the components alone')
    .description('Collect the configured components (configuration, rules, silences, dashboards, files…) and store what changed of them as a recovery point in every repository, without snapshot and without the TSDB. "backup" does both.')
    .option('--adopt', 'take over an instance name that another machine or data directory wrote under', false)
    .option('-r, --repository <name>', 'only to this repository; may be repeated (default: all)', collect)
    .addHelpText('after', examples(['archive', 'say before a change to the configuration'], ['show latest --files', 'what is in it'], ['archive --json', 'for a script']))
    .action((options: ArchiveOptions, command: Command) =>
      run(command, async (context) => {
        const report = await context.operations.archive({ adopt: options.adopt, repositories: context.repositoryNames(options.repository) })
        const code = archiveExitCode(report)
        context.summary(report, renderArchive, { wanted: code !== exitCodes.done })
        return code
      }),
    )
}

/** A component or one of several repositories that failed is 3; when no repository has the recovery point, the code of what went wrong. */
export function archiveExitCode(report: Pick<ArchiveReport, 'repositories' | 'failedComponents'>): ExitCode {
  const failed = report.repositories.filter((outcome) => !outcome.ok)
  if (failed.length === 0) return report.failedComponents.length === 0 ? exitCodes.done : exitCodes.partly
  if (failed.length < report.repositories.length) return exitCodes.partly
  return worstOf(...failed.map((outcome) => exitCodeOf(outcome.error?.code ?? 'INTERNAL')))
}
