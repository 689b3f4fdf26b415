import { Command } from 'commander'
import { type ReadSubset, parseReadSubset } from '../../domain/read-subset.ts'
import { type CommandRunner, examples } from '../command-runner.ts'
import { exitCodes, worstOf } from '../exit-codes.ts'
import { collect, named } from '../option-values.ts'
import { recoveryPointArgument } from '../recovery-point-argument.ts'
import { renderVerify } from '../render/verify.ts'

interface VerifyOptions {
  readData: boolean
  readDataSubset?: ReadSubset
  startServer: boolean
  instance?: string
  repository?: string[]
}

export function verifyCommand(run: CommandRunner): Command {
  return new Command('verify')
    .summary('check that recovery points can be restored')
    .description('Check recovery points: that every object is there and has its size; with --read-data that every byte is right; with --start-server that a server started on them answers as the source did.')
    .argument('[id...]', 'ids of recovery points, or "latest" (default: all)', (text: string, previous: string[] | undefined) => [...(previous ?? []), recoveryPointArgument(text)])
    .option('--read-data', 'read every byte and compare it with its digest and checksums', false)
    .option('--read-data-subset <part>', 'read a part: n/t for the n-th of t parts, or a share such as 10% (those read longest ago first)', named('--read-data-subset', parseReadSubset))
    .option('--start-server', 'restore into a temporary directory, start a throwaway server on it and ask the known answers', false)
    .option('-i, --instance <name>', 'only of this instance (default: all; whose latest: as configured)')
    .option('-r, --repository <name>', 'only in this repository; may be repeated (default: all)', collect)
    .addHelpText(
      'after',
      examples(['verify', 'what is there and how large it is, in seconds'], ['verify --read-data-subset 10%', 'a tenth of the bytes each night; ten nights cover all'], ['verify --read-data --start-server', 'the whole proof']),
    )
    .action((ids: string[] | undefined, options: VerifyOptions, command: Command) =>
      run(command, async (context) => {
        const report = await context.operations.verify({
          ids: ids ?? [],
          ...(options.instance !== undefined && { instance: options.instance }),
          repositories: context.repositoryNames(options.repository),
          readData: options.readData || options.readDataSubset !== undefined,
          ...(options.readDataSubset !== undefined && { subset: options.readDataSubset }),
          startServer: options.startServer,
        })
        const code = worstOf(report.ok ? exitCodes.done : exitCodes.verificationFailed, report.unreachable.length > 0 ? exitCodes.partly : exitCodes.done)
        context.summary(report, renderVerify, { wanted: code !== exitCodes.done })
        return code
      }),
    )
}
