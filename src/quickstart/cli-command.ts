import { relative } from 'node:path'
import { PromDrError } from '../errors.ts'
import { runProgram } from '../system/process.ts'

export interface CliRunner {
  /** The launcher, bin/prom-dr.js. */
  launcher: string
  configFile: string
  /** Told each command as a user would type it. */
  show(command: string): void
  signal: AbortSignal
}

/**
 * Runs the real command line with `--json` and gives its answer.
 * @throws PromDrError with the code, message and hint that the command itself gave
 */
export async function runCli<Report>(runner: CliRunner, args: readonly string[]): Promise<Report> {
  const argv = [...args, '--config', runner.configFile, '--json']
  runner.show(['node', relative(process.cwd(), runner.launcher), ...argv].join(' '))
  const result = await runProgram(process.execPath, [runner.launcher, ...argv], { env: environment(), signal: runner.signal })
  const answer = parseAnswer(result.stdout)
  if (result.exitCode === 0 && answer !== undefined) return answer as Report
  const { error } = (answer ?? {}) as { error?: { message: string; hint?: string } }
  throw new PromDrError('PROGRAM_FAILED', `prom-dr ${args[0]} ended with exit code ${result.exitCode}: ${error?.message ?? lastLines(result.stderr)}`, {
    ...(error?.hint === undefined ? {} : { hint: error.hint }),
  })
}

function parseAnswer(stdout: string): unknown {
  try {
    return JSON.parse(stdout)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-5).join('\n') || 'it said nothing'
}

/** The settings come from the scenario's own file, not from the user's environment. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PROM_DR_')))
}
