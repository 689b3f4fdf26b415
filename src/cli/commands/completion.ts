import { Argument, Command } from 'commander'
import { examples } from '../command-runner.ts'
import { describeCommands } from '../completion/command-tree.ts'
import { bashScript } from '../completion/bash.ts'
import { fishScript } from '../completion/fish.ts'
import { zshScript } from '../completion/zsh.ts'

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript }

/** Needs no configuration: the script is made from the commands themselves. */
export function completionCommand(program: Command, print: (text: string) => void): Command {
  return new Command('completion')
    .summary('print a completion script for a shell')
    .description('Print a script that completes commands, options and their values in a shell.')
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(scripts)))
    .addHelpText(
      'after',
      examples(
        ['completion bash > /etc/bash_completion.d/prom-dr', 'for every user of bash'],
        ['completion zsh > "${fpath[1]}/_prom-dr"', 'for zsh'],
        ['completion fish > ~/.config/fish/completions/prom-dr.fish', 'for fish'],
      ),
    )
    .action((shell: keyof typeof scripts) => print(scripts[shell](describeCommands(program))))
}
