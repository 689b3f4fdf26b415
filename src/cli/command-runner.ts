import type { Command } from 'commander'
import type { CommandContext } from './context.ts'
import type { ExitCode } from './exit-codes.ts'

/** Runs a command's handler with the context opened for its options; the code it gives is what prom-dr ends with. */
export type CommandRunner = (command: Command, handler: (context: CommandContext) => Promise<ExitCode | void>) => Promise<void>

/** `Examples:` below a command's help. */
export function examples(...lines: readonly (readonly [command: string, does: string])[]): string {
  return `\nExamples:\n${lines.map(([command, does]) => `  # ${does}\n  $ prom-dr ${command}`).join('\n')}`
}
