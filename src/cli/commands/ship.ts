import { Command } from 'commander'
import type { ShipReport } from '../../operations/ship/ship-report.ts'
import { type CommandRunner, examples } from '../command-runner.ts'
import { type ExitCode, exitCodeOf, exitCodes, worstOf } from '../exit-codes.ts'
import { collect } from '../option-values.ts'
import { renderShip } from '../render/ship.ts'

interface ShipOptions {
  once: boolean
  adopt: boolean
  newGeneration: boolean
  repository?: string[]
}

export function shipCommand(run: CommandRunner): Command {
  return new Command('ship')
    .summary('send what is new in the WAL, again and again')
    .description('Send what Prometheus has added to its WAL to every repository, every few seconds until interrupted, so that a lost host costs seconds and any moment can be restored. It needs no admin API, and goes on where the repository says. Interrupted (SIGINT, SIGTERM), it sends what was logged since, for five seconds at most; a second signal ends it at once. With ship.metricsFile it writes metrics for node_exporter.')
    .option('--once', 'send what there is now, and end', false)
    .option('--adopt', 'take over an instance name that another machine or data directory wrote under', false)
    .option('--new-generation', 'go on although another host was restored from the history of this one', false)
    .option('-r, --repository <name>', 'only to this repository; may be repeated (default: all)', collect)
    .addHelpText('after', examples(['ship', 'in the foreground, as a service does'], ['ship --once --json', 'one pass, for a script']))
    .action((options: ShipOptions, command: Command) =>
      run(command, async (context) => {
        const report = await context.operations.ship({ once: options.once, adopt: options.adopt, newGeneration: options.newGeneration, repositories: context.repositoryNames(options.repository) })
        const code = shipExitCode(report)
        context.summary(report, renderShip, { wanted: code !== exitCodes.done })
        return code
      }),
    )
}

/** A corrupt WAL at the source is 5; one of several repositories that failed is 3, and so is a recovery point that was needed and could not be made. */
export function shipExitCode(report: ShipReport): ExitCode {
  const failed = report.repositories.filter((outcome) => !outcome.ok)
  const codes: ExitCode[] = []
  if (report.corruption.length > 0) codes.push(exitCodes.verificationFailed)
  if ((failed.length > 0 && failed.length < report.repositories.length) || report.backups.some(({ ok }) => !ok)) codes.push(exitCodes.partly)
  if (failed.length === report.repositories.length) codes.push(...failed.map((outcome) => exitCodeOf(outcome.error?.code ?? 'INTERNAL')))
  return worstOf(exitCodes.done, ...codes)
}
