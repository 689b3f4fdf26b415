import { Command, Option } from 'commander'
import { recoveryPointArgument } from '../recovery-point-argument.ts'
import { type CommandRunner, examples } from '../command-runner.ts'
import { collect } from '../option-values.ts'
import { renderDiff } from '../render/diff.ts'
import { renderShow } from '../render/show.ts'

interface ShowOptions {
  instance?: string
  repository?: string[]
  files: boolean
  diff?: string
  cat?: string
}

export function showCommand(run: CommandRunner): Command {
  return new Command('show')
    .summary('show one recovery point in full')
    .description('Show what a recovery point is made of: its blocks, their times and sizes, archives, known answers, what it cost; or what is in its archives.')
    .argument('<id>', 'id of a recovery point, or "latest"', recoveryPointArgument)
    .option('-i, --instance <name>', 'whose latest (default: as configured)')
    .option('-r, --repository <name>', 'only in this repository; may be repeated (default: all)', collect)
    .option('--files', 'list the files in its archives, too', false)
    .addOption(new Option('--diff <id>', 'show what changed in its archives from it to another recovery point').argParser(recoveryPointArgument).conflicts(['files', 'cat']))
    .addOption(new Option('--cat <path>', 'print one file of its archives as it is, such as prometheus/prometheus.yml').conflicts(['files']))
    .addHelpText(
      'after',
      examples(
        ['show latest', 'the newest of this host'],
        ['show 20261121T023615Z-79535b5f --json', 'a chosen one, for a script'],
        ['show 20261120T230000Z-0c535b5f --diff latest', 'what did someone change since last night?'],
        ['show latest --cat prometheus/prometheus.yml > prometheus.yml', 'one file'],
      ),
    )
    .action((id: string, options: ShowOptions, command: Command) =>
      run(command, async (context) => {
        const { instance, files, diff, cat } = options
        const which = { ...(instance !== undefined && { instance }), repositories: context.repositoryNames(options.repository) }
        if (diff !== undefined) return context.answer(await context.operations.diff({ from: id, to: diff, ...which }), renderDiff)
        if (cat === undefined) return context.answer(await context.operations.show({ id, files, ...which }), renderShow)
        const { content, ...about } = await context.operations.showFile({ id, path: cat, ...which })
        if (!context.json) return context.bytes(content)
        const bytes = Buffer.from(content)
        const text = bytes.toString('utf8')
        const isText = Buffer.from(text).equals(bytes)
        return context.answer({ ...about, encoding: isText ? 'utf8' : 'base64', content: isText ? text : bytes.toString('base64') }, () => '')
      }),
    )
}
