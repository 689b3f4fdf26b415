import { Command } from 'commander'
import { recoveryPointArgument } from '../recovery-point-argument.ts'
import { type CommandRunner, examples } from '../command-runner.ts'
import { collect } from '../option-values.ts'
import { renderShow } from '../render/show.ts'

interface ShowOptions {
  instance?: string
  repository?: string[]
}

export function showCommand(run: CommandRunner): Command {
  return new Command('show')
    .summary('show one recovery point in full')
    .description('Show what a recovery point is made of: its blocks, their times and sizes, known answers, what it cost.')
    .argument('<id>', 'id of a recovery point, or "latest"', recoveryPointArgument({ latest: true }))
    .option('-i, --instance <name>', 'whose latest (default: as configured)')
    .option('-r, --repository <name>', 'only in this repository; may be repeated (default: all)', collect)
    .addHelpText('after', examples(['show latest', 'the newest of this host'], ['show 20261121T023615Z-79535b5f --json', 'a chosen one, for a script']))
    .action((id: string, options: ShowOptions, command: Command) =>
      run(command, async (context) => {
        const report = await context.operations.show({
          id,
          ...(options.instance !== undefined && { instance: options.instance }),
          repositories: context.repositoryNames(options.repository),
        })
        context.answer(report, renderShow)
      }),
    )
}
