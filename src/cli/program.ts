import { Command, type Option } from 'commander'
import type { CommandRunner } from './command-runner.ts'
import { archiveCommand } from './commands/archive.ts'
import { backupCommand } from './commands/backup.ts'
import { completionCommand } from './commands/completion.ts'
import { doctorCommand } from './commands/doctor.ts'
import { expireCommand } from './commands/expire.ts'
import { holdCommand } from './commands/hold.ts'
import { initCommand } from './commands/init.ts'
import { listCommand } from './commands/list.ts'
import { repositoryCommand } from './commands/repository.ts'
import { restoreCommand } from './commands/restore.ts'
import { shipCommand } from './commands/ship.ts'
import { showCommand } from './commands/show.ts'
import { statusCommand } from './commands/status.ts'
import { verifyCommand } from './commands/verify.ts'
import { addGlobalOptions } from './global-options.ts'
import type { OutputStream, Style } from './output.ts'

export interface ProgramParts {
  version: string
  run: CommandRunner
  stdout: OutputStream
  /** For help on stdout. */
  style: Style
}

/** Every verb, in the order of a host's life. */
const verbs = [initCommand, doctorCommand, backupCommand, archiveCommand, shipCommand, statusCommand, listCommand, showCommand, verifyCommand, restoreCommand, expireCommand, holdCommand, repositoryCommand]

/** The commander program. It never exits: what it would exit for is thrown as a CommanderError. */
export function buildProgram(parts: ProgramParts): Command {
  const { style } = parts
  const program = addGlobalOptions(new Command('prom-dr'))
    .description('Backup and disaster recovery for Prometheus monitoring stacks.')
    .version(parts.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .configureHelp({
      showGlobalOptions: true,
      helpWidth: Math.min(parts.stdout.columns ?? 100, 120),
      optionDescription,
      styleTitle: style.bold,
      styleCommandText: style.cyan,
      styleOptionText: style.cyan,
      styleSubcommandText: style.cyan,
    })
    .addHelpText(
      'after',
      `
Start:
  $ prom-dr init && prom-dr doctor && prom-dr backup

Exit codes:
  0 done, 1 failed, 2 usage or configuration, 3 done in part, 4 refused with nothing changed, 5 verification failed,
  6 another run holds the lock, 7 the moment cannot be reached, 8 nothing to work with is in reach, 130 interrupted`,
    )
  for (const command of [...verbs.map((verb) => verb(parts.run)), completionCommand(program, (text) => parts.stdout.write(text))]) {
    program.addCommand(command.copyInheritedSettings(program).helpOption('-h, --help', 'print help'))
  }
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeOut: (text) => parts.stdout.write(text), writeErr: () => {}, getOutHasColors: () => true })
  }
  return program
}

/** What may be given and what is taken otherwise; that a switch is off by default goes without saying. */
function optionDescription(option: Option): string {
  const notes = [option.argChoices && `one of ${option.argChoices.join(', ')}`, typeof option.defaultValue === 'string' && `default: ${option.defaultValue}`].filter((note) => note)
  return notes.length === 0 ? option.description : `${option.description} (${notes.join('; ')})`
}
