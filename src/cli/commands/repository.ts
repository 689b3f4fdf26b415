import { Argument, Command } from 'commander'
import { type CommandRunner, examples } from '../command-runner.ts'
import { exitCodeOf, exitCodes, worstOf } from '../exit-codes.ts'
import { collect } from '../option-values.ts'
import { renderReEncrypt } from '../render/re-encrypt.ts'

interface RepositoryOptions {
  repository?: string[]
}

export function repositoryCommand(run: CommandRunner): Command {
  return new Command('repository')
    .summary('look after what is stored')
    .description(
      're-encrypt: seal what is stored for the recipients that are configured now, archives first, then (with encryption.data) blocks, heads and WAL. The old and the new key have to be in encryption.identityFile. Backups of an instance wait while its manifests are rewritten; shipping goes on. Interrupted, it goes on where it was.',
    )
    .addArgument(new Argument('<action>', 'what to do').choices(['re-encrypt']))
    .option('-r, --repository <name>', 'only in this repository; may be repeated (default: all)', collect)
    .addHelpText('after', examples(['repository re-encrypt', 'after a change of encryption.recipients'], ['repository re-encrypt -r remote', 'only there']))
    .action((_action: string, options: RepositoryOptions, command: Command) =>
      run(command, async (context) => {
        const report = await context.operations.reEncrypt({ repositories: context.repositoryNames(options.repository) })
        const codes = report.repositories.flatMap(({ error, failed }) => [...(error === undefined ? [] : [error.code]), ...failed.map(({ code }) => code)])
        const code = worstOf(...codes.map((failure) => (exitCodeOf(failure) === exitCodes.verificationFailed ? exitCodes.verificationFailed : exitCodes.partly)))
        context.summary(report, renderReEncrypt, { wanted: code !== exitCodes.done })
        return code
      }),
    )
}
