import './system/schema-settings.ts'
import { setMaxListeners } from 'node:events'
import { hostname } from 'node:os'
import { fileURLToPath } from 'node:url'
import { runCli } from './cli/run-cli.ts'
import { type ExitCode, exitCodes } from './cli/exit-codes.ts'
import type { Operations } from './cli/operations.ts'
import type { Opening } from './cli/context.ts'
import { loadConfig } from './config/load-config.ts'
import { PromDrError, systemCode } from './errors.ts'
import { readText, whyUnreadable } from './system/config-files.ts'

/** Runs the command line of this process; the launcher exits with the code once stdout has taken everything. */
export async function main(): Promise<ExitCode> {
  // Everything that runs at the same time listens to the same signals, and to those made of them; Node would take more than ten for a leak, and say so on stderr.
  setMaxListeners(0)
  let lost: Error | undefined
  // The reader of a pipe that has seen enough (`prom-dr list | head`) is no failure; a full disk is, or a script takes half an answer for a whole.
  process.stdout.on('error', (error) => (lost = systemCode(error) === 'EPIPE' ? lost : error))
  // There is nothing left to say it with.
  process.stderr.on('error', () => undefined)
  const code = await runThisProcess()
  await new Promise((resolve) => process.stdout.write('', () => setImmediate(resolve)))
  if (lost === undefined) return code
  process.stderr.write(`error: the answer could not be written: ${lost.message}\nhint: look at what stdout leads to; the command itself ended with exit code ${code}\n`)
  return code === exitCodes.done ? exitCodes.failed : code
}

function runThisProcess(): Promise<ExitCode> {
  return runCli(process.argv.slice(2), {
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    version: readVersion(),
    signal: signalOfInterruption(),
    now: () => new Date(),
    loadConfig: (file) =>
      loadConfig({ ...(file !== undefined && { file }), env: process.env, workingDir: process.cwd(), hostName: hostname(), files: { readText, whyUnreadable } }),
    openOperations,
  })
}

/** Adapters are loaded only when a verb needs them: help and completion answer at once. */
async function openOperations({ config, logging, progress, signal }: Opening): Promise<Operations> {
  const [{ compose }, { createLogger }] = await Promise.all([import('./compose.ts'), import('./system/logger.ts')])
  return compose(config, { logger: await createLogger(logging), progress, signal, decidedAtMs: 0 })
}

const interruptions = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** timeout(1) signals its program and then the program's group; Ctrl-C reaches a program below npm in both ways. */
const oneDecisionMs = 500

/** The first SIGINT, SIGTERM or SIGHUP asks everything to stop and tidy up; a second, unless it comes with the first, ends the process at once. */
function signalOfInterruption(): AbortSignal {
  const controller = new AbortController()
  const interrupt = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) return
    controller.abort(new PromDrError('INTERRUPTED', `interrupted by ${name}`, { hint: 'what was committed before is intact; run the same command again' }))
    setTimeout(() => interruptions.forEach((other) => process.removeListener(other, interrupt)), oneDecisionMs).unref()
  }
  for (const name of interruptions) process.on(name, interrupt)
  return controller.signal
}

function readVersion(): string {
  const text = readText(fileURLToPath(new URL('../package.json', import.meta.url)))
  return text === undefined ? 'unknown' : (JSON.parse(text) as { version: string }).version
}
