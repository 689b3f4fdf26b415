import type { Command, Option } from 'commander'

export interface CompletedOption {
  /** `-r`, `--repository`: as they are typed. */
  names: string[]
  description: string
  takesValue: boolean
  /** What the value may be; empty for free text. */
  choices: string[]
  /** What the shell itself completes the value with. */
  values: 'file' | 'directory' | 'none'
}

export interface CompletedCommand {
  name: string
  description: string
  options: CompletedOption[]
  /** What the first argument may be. */
  choices: string[]
}

/** The root with its global options, and the commands. */
export interface CommandTree {
  name: string
  globalOptions: CompletedOption[]
  commands: CompletedCommand[]
}

export function describeCommands(program: Command): CommandTree {
  const help = program.createHelp()
  return {
    name: program.name(),
    globalOptions: help.visibleOptions(program).map(describeOption),
    commands: help.visibleCommands(program).map((command) => ({
      name: command.name(),
      description: command.summary() || command.description(),
      options: command.options.filter((option) => !option.hidden).map(describeOption),
      choices: command.name() === 'help' ? help.visibleCommands(program).map((other) => other.name()) : [...(command.registeredArguments[0]?.argChoices ?? [])],
    })),
  }
}

function describeOption(option: Option): CompletedOption {
  return {
    names: [option.short, option.long].filter((name) => name !== undefined && name !== null),
    description: option.description,
    takesValue: option.required || option.optional,
    choices: [...(option.argChoices ?? [])],
    values: /<file>/.test(option.flags) ? 'file' : /<dir>/.test(option.flags) ? 'directory' : 'none',
  }
}
