import { Command } from 'commander'
import { type CommandRunner, examples } from '../command-runner.ts'
import { renderInit } from '../render/init.ts'

interface InitOptions {
  output: string
  stdout: boolean
}

export function initCommand(run: CommandRunner): Command {
  return new Command('init')
    .summary('write a configuration from what is found on this host')
    .description('Ask the Prometheus on this host (at http://127.0.0.1:9090, or where PROM_DR_PROMETHEUS_URL says) about itself and write a commented configuration. An existing file is never overwritten.')
    .option('-o, --output <file>', 'the file to write', './prom-dr.yml')
    .option('--stdout', 'print the configuration instead of writing it', false)
    .addHelpText('after', examples(['init', 'writes ./prom-dr.yml'], ['init --output /etc/prom-dr/prom-dr.yml', 'for the whole host'], ['init --stdout', 'only to look']))
    .action((options: InitOptions, command: Command) =>
      run(command, async (context) => {
        const report = await context.operations.init(options)
        if (options.stdout && !context.json) context.text(report.text)
        else context.summary(report, renderInit)
      }),
    )
}
