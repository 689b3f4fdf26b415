import { CommanderError } from 'commander'
import { PromDrError, hasCode, messageOf } from '../errors.ts'
import type { Surroundings } from './context.ts'
import { withContext } from './context.ts'
import { type ExitCode, exitCodeOf, exitCodes } from './exit-codes.ts'
import type { GlobalOptions } from './global-options.ts'
import { colourWanted, createStyle } from './output.ts'
import { jsonText } from './printable.ts'
import { buildProgram } from './program.ts'
import { errorDocument, renderError } from './render/error.ts'

/**
 * Runs one command line, `argv` without the program's own name, and answers with the code to exit with. Everything that
 * goes wrong is printed here: as `error:` and `hint:` on stderr, or as one JSON document on stdout with --json.
 */
export async function runCli(argv: readonly string[], surroundings: Surroundings): Promise<ExitCode> {
  const { stdout, env } = surroundings
  const color = !argv.includes('--no-color')
  let code: ExitCode = exitCodes.done
  const program = buildProgram({
    version: surroundings.version,
    stdout,
    style: createStyle(colourWanted(stdout, env, { color })),
    run: async (command, handler) => {
      code = await withContext(surroundings, command.optsWithGlobals<GlobalOptions>(), handler)
    },
  })
  if (argv.length === 0) {
    surroundings.stderr.write(program.helpInformation())
    return exitCodes.usage
  }
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.done
    return reportFailure(asPromDrError(error, surroundings.signal), surroundings, { color, json: argv.includes('--json') })
  }
}

function reportFailure(error: PromDrError, { stdout, stderr, env }: Surroundings, options: { color: boolean; json: boolean }): ExitCode {
  if (options.json) stdout.write(jsonText(errorDocument(error)))
  else stderr.write(renderError(error, createStyle(colourWanted(stderr, env, options))))
  return exitCodeOf(error.code)
}

function asPromDrError(error: unknown, signal: AbortSignal): PromDrError {
  if (error instanceof CommanderError) return usageError(error)
  if (signal.aborted && !(hasCode(error, 'INTERRUPTED') && error.hint !== undefined)) {
    return new PromDrError('INTERRUPTED', 'interrupted', { cause: error, hint: 'what was committed before is intact; run the same command again' })
  }
  if (error instanceof PromDrError) return error
  const stack = error instanceof Error ? error.stack : undefined
  return new PromDrError('INTERNAL', `this is a mistake in prom-dr: ${messageOf(error)}`, {
    cause: error,
    hint: 'please report it with the command line and this trace',
    details: { stack: stack ?? null },
  })
}

/** Commander writes `error: what is wrong\n(Did you mean x?)`. */
function usageError(error: CommanderError): PromDrError {
  if (error.code === 'commander.help') return new PromDrError('USAGE', 'no command was given that prom-dr has', { hint: 'run "prom-dr --help" to see them' })
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n')
  const suggested = /^\(Did you mean (.*)\?\)$/.exec(rest.join(' ').trim())?.[1]
  const hint = suggested === undefined ? 'run "prom-dr --help", or a command with --help' : `did you mean ${suggested}?`
  return new PromDrError('USAGE', first, { hint })
}
