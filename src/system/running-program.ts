import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { PromDrError, systemCode } from '../errors.ts'
import { findProgram, requireProgram } from './programs.ts'

export interface StartOptions {
  /** Gets stdout and stderr, appended. */
  logFile: string
  cwd?: string
  /** Replaces the environment; default: this process's own. */
  env?: NodeJS.ProcessEnv
  /** Whom to run as; only root may choose. */
  owner?: { uid: number; gid: number }
}

export interface ProgramExit {
  exitCode: number | null
  signal: NodeJS.Signals | null
}

/** A program that runs until it is told to stop. It does not outlive this process, where the system can see to that. */
export interface RunningProgram {
  readonly pid: number
  readonly isRunning: boolean
  /** Resolves when it has ended, however. */
  readonly exited: Promise<ProgramExit>
  /** SIGTERM, and SIGKILL after `graceMs` (default 10 s). Resolves when it has ended; a second call waits for the same. */
  stop(graceMs?: number): Promise<ProgramExit>
  /** SIGKILL. Resolves when it has ended. */
  kill(): Promise<ProgramExit>
  /** The end of the log file, at most 64 KiB of it. */
  logTail(lines?: number): string
}

const running = new Set<ChildProcess>()
let exitHookSet = false
const tailBytes = 64 * 1024

/**
 * Starts a program by its arguments, never through a shell, in a process group of its own, so that Ctrl-C on the terminal
 * reaches this process first. When this process ends, it is killed: by an exit hook, and where `setpriv` is installed by
 * the kernel, which also covers a SIGKILL of this process, but for the first milliseconds, until it has asked for that.
 * @throws PROGRAM_MISSING
 * @throws PROGRAM_FAILED when the system refuses to start it
 */
export async function startProgram(file: string, args: readonly string[], options: StartOptions): Promise<RunningProgram> {
  const path = requireProgram(file, options.env)
  const setpriv = process.platform === 'linux' ? findProgram('setpriv') : undefined
  const argv = setpriv === undefined ? [path, ...args] : [setpriv, '--pdeathsig', 'SIGKILL', '--', path, ...args]
  const log = openSync(options.logFile, 'a')
  const child = spawnInto(log, argv, options)
  const exited = new Promise<ProgramExit>((resolve) => {
    child.once('exit', (exitCode, signal) => {
      running.delete(child)
      resolve({ exitCode, signal })
    })
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (error) => reject(new PromDrError('PROGRAM_FAILED', `${file} could not be started: ${error.message}`, { cause: error })))
  })
  killAtExit(child)
  return controlOf(child, exited, options.logFile)
}

function spawnInto(log: number, argv: readonly string[], options: StartOptions): ChildProcess {
  try {
    return spawn(argv[0]!, argv.slice(1), {
      detached: true,
      stdio: ['ignore', log, log],
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      ...(options.env !== undefined && { env: options.env }),
      ...options.owner,
    })
  } finally {
    closeSync(log)
  }
}

function controlOf(child: ChildProcess, exited: Promise<ProgramExit>, logFile: string): RunningProgram {
  const isRunning = () => child.exitCode === null && child.signalCode === null
  const kill = () => {
    if (isRunning()) killGroup(child)
    return exited
  }
  return {
    pid: child.pid!,
    get isRunning() {
      return isRunning()
    },
    exited,
    stop: async (graceMs = 10_000) => {
      if (isRunning()) child.kill('SIGTERM')
      const timer = setTimeout(kill, graceMs)
      try {
        return await exited
      } finally {
        clearTimeout(timer)
      }
    },
    kill,
    logTail: (lines = 20) => tailOf(logFile, lines),
  }
}

function killAtExit(child: ChildProcess): void {
  running.add(child)
  if (exitHookSet) return
  exitHookSet = true
  process.once('exit', () => running.forEach(killGroup))
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error
  }
}

function tailOf(path: string, lines: number): string {
  const sizeBytes = statSync(path).size
  const buffer = Buffer.alloc(Math.min(sizeBytes, tailBytes))
  const file = openSync(path, 'r')
  try {
    const readBytes = readSync(file, buffer, 0, buffer.byteLength, sizeBytes - buffer.byteLength)
    return buffer.toString('utf8', 0, readBytes).trimEnd().split('\n').slice(-lines).join('\n')
  } finally {
    closeSync(file)
  }
}
