import { Command } from 'commander'
import { type CommandRunner, examples } from '../command-runner.ts'
import { exitCodes, worstOf } from '../exit-codes.ts'
import { collect } from '../option-values.ts'
import { renderList } from '../render/list.ts'

interface ListOptions {
  instance?: string
  repository?: string[]
}

export function listCommand(run: CommandRunner): Command {
  return new Command('list')
    .summary('list the recovery points')
    .description('List the recovery points of every instance in the repositories, and the times that can be restored.')
    .option('-i, --instance <name>', 'only of this instance (default: all)')
    .option('-r, --repository <name>', 'only in this repository; may be repeated (default: all)', collect)
    .addHelpText('after', examples(['list', 'everything there is'], ['list --instance prom-a --json', 'of one host, for a script']))
    .action((options: ListOptions, command: Command) =>
      run(command, async (context) => {
        const report = await context.operations.list({
          ...(options.instance !== undefined && { instance: options.instance }),
          repositories: context.repositoryNames(options.repository),
        })
        context.answer(report, renderList)
        return worstOf(report.damaged.length > 0 ? exitCodes.verificationFailed : exitCodes.done, report.unreachable.length > 0 ? exitCodes.partly : exitCodes.done)
      }),
    )
}
