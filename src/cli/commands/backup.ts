import { Command, Option } from 'commander'
import type { HeadMode } from '../../config/config.ts'
import type { BackupReport } from '../../operations/backup/backup-report.ts'
import { type CommandRunner, examples } from '../command-runner.ts'
import { type ExitCode, exitCodeOf, exitCodes, worstOf } from '../exit-codes.ts'
import { collect } from '../option-values.ts'
import { renderBackup } from '../render/backup.ts'

interface BackupOptions {
  head?: HeadMode
  adopt: boolean
  repository?: string[]
}

export function backupCommand(run: CommandRunner): Command {
  return new Command('backup')
    .summary('make a recovery point of the running server')
    .description('Take a snapshot of the running Prometheus and collect the configured components (configuration, rules, silences, dashboards, files…), and store what is new of them as a recovery point in every repository.')
    .addOption(new Option('--head <mode>', 'whether the samples still in memory are stored too (default: as configured, auto)').choices(['auto', 'always', 'never']))
    .option('--adopt', 'take over an instance name that another machine or data directory wrote under', false)
    .option('-r, --repository <name>', 'only to this repository; may be repeated (default: all)', collect)
    .addHelpText('after', examples(['backup', 'to every configured repository'], ['backup --repository primary --json', 'to one of them, for a script'], ['backup --adopt', 'on the machine that replaced the old one']))
    .action((options: BackupOptions, command: Command) =>
      run(command, async (context) => {
        const report = await context.operations.backup({
          head: options.head ?? context.config.backup.head,
          adopt: options.adopt,
          repositories: context.repositoryNames(options.repository),
        })
        const code = backupExitCode(report)
        context.summary(report, renderBackup, { wanted: code !== exitCodes.done })
        return code
      }),
    )
}

/** Damage at the source is 5. A component or one of several repositories that failed is 3; when none has the recovery point, the code of what went wrong. */
export function backupExitCode(report: BackupReport): ExitCode {
  if (report.damagedAtSource.length > 0) return exitCodes.verificationFailed
  const failed = report.repositories.filter((outcome) => !outcome.ok)
  if (failed.length === 0) return report.failedComponents.length === 0 ? exitCodes.done : exitCodes.partly
  if (failed.length < report.repositories.length) return exitCodes.partly
  return worstOf(...failed.map((outcome) => exitCodeOf(outcome.error?.code ?? 'INTERNAL')))
}
