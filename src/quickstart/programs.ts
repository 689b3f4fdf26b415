import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { PromDrError } from '../errors.ts'

export interface CommandResult {
  exitCode: number
  stdout: string
  stderr: string
}

/**
 * Every process of the quickstart. Each leads a process group of its own: Ctrl-C on the terminal reaches only the
 * quickstart, which then ends the groups, so that nothing outlives it, grandchildren included.
 */
export interface Programs {
  /** Starts a server whose output goes to `logFile`. @throws PROGRAM_MISSING */
  start(argv: readonly string[], logFile: string): Promise<ChildProcess>
  /** Runs a command to its end. When `signal` is aborted it is asked to stop first, so that it can tidy up. */
  run(argv: readonly string[], options: { signal: AbortSignal }): Promise<CommandResult>
  kill(child: ChildProcess): Promise<void>
  killAll(): Promise<void>
}

const graceMs = 10_000

export function createPrograms(): Programs {
  const running = new Set<ChildProcess>()
  // The last resort, when an exception ends the process before killAll could.
  process.once('exit', () => running.forEach(killGroup))

  const track = async (child: ChildProcess, program: string): Promise<ChildProcess> => {
    running.add(child)
    child.once('exit', () => {
      running.delete(child)
      killGroup(child)
    })
    try {
      await once(child, 'spawn')
    } catch (error) {
      running.delete(child)
      throw new PromDrError('PROGRAM_MISSING', `${program} could not be started`, { hint: 'run "npm run quickstart" again: it installs what is missing', cause: error })
    }
    return child
  }

  const kill = async (child: ChildProcess): Promise<void> => {
    if (!running.has(child)) return
    const ended = once(child, 'exit')
    killGroup(child)
    await ended
  }

  return {
    start: async (argv, logFile) => {
      const log = openSync(logFile, 'a')
      try {
        return await track(spawn(argv[0]!, argv.slice(1), { detached: true, env: environment(), stdio: ['ignore', log, log] }), argv[0]!)
      } finally {
        closeSync(log)
      }
    },
    run: async (argv, { signal }) => {
      signal.throwIfAborted()
      const child = spawn(argv[0]!, argv.slice(1), { detached: true, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] })
      const output = { stdout: '', stderr: '' }
      child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
      child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
      const closed = once(child, 'close')
      await track(child, argv[0]!)
      const stop = () => void endGently(child, kill)
      signal.addEventListener('abort', stop, { once: true })
      const [exitCode] = await closed
      signal.removeEventListener('abort', stop)
      signal.throwIfAborted()
      return { exitCode: exitCode ?? 1, ...output }
    },
    kill,
    killAll: async () => {
      await Promise.all([...running].map(kill))
    },
  }
}

async function endGently(child: ChildProcess, kill: (child: ChildProcess) => Promise<void>): Promise<void> {
  child.kill('SIGTERM')
  await delay(graceMs, undefined, { ref: false })
  await kill(child)
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Servers live in sbin on some systems; the scenario's settings come from its own file, not from the user's. */
function environment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('PROM_DR_'))
  return { ...Object.fromEntries(inherited), PATH: `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin` }
}
