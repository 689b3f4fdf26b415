import { Command } from 'commander'
import { type CommandRunner, examples } from '../command-runner.ts'
import { exitCodes, worstOf } from '../exit-codes.ts'
import { collect } from '../option-values.ts'
import { renderStatus } from '../render/status.ts'

interface StatusOptions {
  instance?: string
  repository?: string[]
  cost: boolean
}

export function statusCommand(run: CommandRunner): Command {
  return new Command('status')
    .summary('show what would be lost if a host vanished now')
    .description('Show for every instance what would be lost if its host vanished now, judged by the newest shipped sample. It asks the repositories alone, and can so be run anywhere.')
    .option('-i, --instance <name>', 'only of this instance (default: all)')
    .option('-r, --repository <name>', 'only in this repository; may be repeated (default: all)', collect)
    .option('--cost', 'also tell what is stored by tier, component and instance, and what a month of it costs', false)
    .addHelpText('after', examples(['status', 'every instance'], ['status --cost', 'with the month\'s bill; "prices" in the configuration sets what a gibibyte costs'], ['status --instance prom-a --json', 'of one host, for a script']))
    .action((options: StatusOptions, command: Command) =>
      run(command, async (context) => {
        const report = await context.operations.status({
          ...(options.instance !== undefined && { instance: options.instance }),
          repositories: context.repositoryNames(options.repository),
          ...(options.cost && { cost: true }),
        })
        context.answer(report, renderStatus)
        return worstOf(report.damaged.length > 0 ? exitCodes.verificationFailed : exitCodes.done, report.unreachable.length > 0 ? exitCodes.partly : exitCodes.done)
      }),
    )
}
