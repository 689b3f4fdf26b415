import { Command } from 'commander'
import { type CommandRunner, examples } from '../command-runner.ts'
import { exitCodes } from '../exit-codes.ts'
import { renderDoctor } from '../render/doctor.ts'

export function doctorCommand(run: CommandRunner): Command {
  return new Command('doctor')
    .summary('check everything a backup and a restore need')
    .description('Check every precondition of backup, verify and restore on this host, and say what to do where one is not met. Exit code 1 when a check failed.')
    .addHelpText('after', examples(['doctor', 'after writing the configuration'], ['doctor --json', 'for a script']))
    .action((_options: object, command: Command) =>
      run(command, async (context) => {
        const report = await context.operations.doctor()
        context.answer(report, renderDoctor)
        return report.ok ? exitCodes.done : exitCodes.failed
      }),
    )
}
