import type { Config } from '../config/config.ts'
import { suggestion } from '../config/problems.ts'
import { PromDrError } from '../errors.ts'
import type { Progress } from '../domain/progress.ts'
import { type ExitCode, exitCodes } from './exit-codes.ts'
import type { GlobalOptions, LogLevel } from './global-options.ts'
import type { Operations } from './operations.ts'
import { type OutputStream, type Style, colourWanted, createStyle, cursorMoves } from './output.ts'
import { jsonText, printable } from './printable.ts'
import { createProgressBar } from './progress-bar.ts'

export interface Logging {
  level: LogLevel
  /** Human lines instead of JSON. */
  pretty: boolean
  colour: boolean
}

/** What operations are opened with. */
export interface Opening {
  config: Config
  logging: Logging
  progress: Progress
  signal: AbortSignal
}

/** What the launcher gives; everything of the machine that the command line sees. */
export interface Surroundings {
  env: NodeJS.ProcessEnv
  stdout: OutputStream
  stderr: OutputStream
  version: string
  signal: AbortSignal
  now(): Date
  loadConfig(file: string | undefined): Config
  openOperations(opening: Opening): Promise<Operations>
}

/** What a command's handler receives. */
export interface CommandContext {
  readonly signal: AbortSignal
  readonly config: Config
  readonly now: Date
  readonly operations: Operations
  /** Prints what was asked for: the report as JSON, or what `render` makes of it. */
  answer<Report>(report: Report, render: (report: Report, style: Style) => string): void
  /** As `answer`, but silent with --quiet unless it is `wanted` all the same: for verbs whose exit code says it all. */
  summary<Report>(report: Report, render: (report: Report, style: Style) => string, options?: { wanted: boolean }): void
  /** Prints a text as it is, as the answer. */
  text(text: string): void
  /** Writes bytes as they are, as the answer. */
  bytes(bytes: Uint8Array): void
  readonly json: boolean
  /** The names, checked; empty stands for all. @throws USAGE */
  repositoryNames(names: readonly string[] | undefined): string[]
}

/** Loads the configuration, opens the operations, runs the handler and closes them again. */
export async function withContext(surroundings: Surroundings, global: GlobalOptions, handler: (context: CommandContext) => Promise<ExitCode | void>): Promise<ExitCode> {
  const config = surroundings.loadConfig(global.config)
  const { stdout, stderr, signal } = surroundings
  const progress = createProgressBar({ stream: stderr, enabled: cursorMoves(stderr, surroundings.env) && !global.quiet && !global.json })
  const operations = await surroundings.openOperations({ config, logging: loggingOf(surroundings, global), progress, signal })
  const style = createStyle(colourWanted(stdout, surroundings.env, global))
  const print = <Report>(report: Report, render: (report: Report, style: Style) => string) => {
    progress.finish()
    stdout.write(global.json ? jsonText(report) : `${render(printable(report), style).trimEnd()}\n`)
  }
  try {
    const code = await handler({
      signal,
      config,
      now: surroundings.now(),
      operations,
      json: global.json,
      answer: print,
      summary: (report, render, options) => (global.quiet && !global.json && options?.wanted !== true ? undefined : print(report, render)),
      text: (text) => void stdout.write(text),
      bytes: (bytes) => void stdout.write(bytes),
      repositoryNames: (names) => checkedNames(config, names ?? []),
    })
    return code ?? exitCodes.done
  } finally {
    progress.finish()
    await operations.close()
  }
}

function loggingOf({ stderr, env }: Surroundings, global: GlobalOptions): Logging {
  const terminal = stderr.isTTY === true
  const level = global.logLevel ?? (global.quiet ? 'error' : terminal ? 'warn' : 'info')
  return { level, pretty: terminal, colour: colourWanted(stderr, env, global) }
}

function checkedNames(config: Config, names: readonly string[]): string[] {
  const known = config.repositories.map((repository) => repository.name)
  for (const name of names) {
    if (known.includes(name)) continue
    throw new PromDrError('USAGE', `there is no repository ${JSON.stringify(name)} in the configuration${suggestion(name, known)}`, {
      hint: `configured: ${known.join(', ')}`,
    })
  }
  return [...new Set(names)]
}
